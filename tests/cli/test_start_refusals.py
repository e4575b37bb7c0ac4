"""What cannot be computed is refused before the start, in a dry run too, with a remedy that works."""

import re
import subprocess
import sys

import pytest
from cases import some
from commands import environment

TRAIN = ("train", "resnet18", "--image-size", "32", "--iterations", "2", "--workers", "0", "--device", "cpu")


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry-run"])
@pytest.mark.parametrize(("sets", "key"), [(("batch=1",), "batch"), (("batch=4", "bn_batch=1"), "bn_batch")])
def test_one_sample_for_batch_norm(warm, images, tmp_path, sets, key, more):
    words = [word for one in sets for word in ("--set", one)]
    told = warm(*TRAIN, "--data", images, *words, *more, "--out", tmp_path / "run")
    told.refused(f"recipe: {key} = 1: conv5_1.bn1 of resnet18", "has no variance", f"set {key} to 2 or more")


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry-run"])
def test_a_batch_beyond_any_memory(warm, images, tmp_path, more):
    told = warm(*TRAIN, "--data", images, "--set", "batch=1000000", *more, "--out", tmp_path / "run")
    told.refused("recipe: batch = 1000000", "are free", "fits")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
@pytest.mark.parametrize(
    ("kilobytes", "batch"), some([(6_000_000, 512), (5_000_000, 4_096), (1_500_000, 8)], quick=1, names=2)
)
def test_a_limit_of_address_space(images, tmp_path, kilobytes, batch):
    """Refused in one line, or trained: never ended by a library that finds no memory."""
    words = (*TRAIN, "--image-size", "224", "--data", images, "--set", f"batch={batch}", "--out", tmp_path / "run")
    words = (*words[:2], *words[4:])  # one --image-size
    done = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh", sys.executable, "-m", "reslab", *map(str, words)],
        env=environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    if kilobytes < 2_000_000:
        assert "a package that reslab needs cannot be imported; `reslab doctor` says what to do" in line
    else:
        assert re.search(r"takes at least .* are free; .*(--set batch=\d+ fits|raise the limit \(ulimit -v\))", line)
