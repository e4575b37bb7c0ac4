"""`train --processes 2`: real ranks that are stopped, killed and frozen; the same command ends with the same bits."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from reslab.store.files import sha256

WORDS = ["train", "cifar_resnet8", "--recipe", "digits", "--widths", "4,4,8", "--iterations", "600"]
WORDS += ["--set", "save_every=40", "--set", "eval_every=200", "--processes", "2", "--threads", "1", "--timeout", "8"]


def begun(folder: Path, out: str, *more: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "reslab", *WORDS, "--out", out, *more]
    return subprocess.Popen(words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """The status and the last line on standard error."""
    _, error = process.communicate(timeout=120)
    assert "Traceback" not in error
    return process.returncode, error.splitlines()[-1]


def rank_of(launcher: int, rank: int) -> int:
    """The process of a rank, by its environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"RANK={rank}".encode() in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
        except (OSError, IndexError):
            continue
    raise AssertionError(f"no rank {rank}")


def has_saved(out: Path, before: int) -> bool:
    return any(int(folder.name[5:]) > before for folder in out.glob("checkpoints/step-*"))


def hashes(out: Path) -> list[str]:
    return [sha256(file) for file in sorted((out / "checkpoints" / "step-00000600").glob("*.safetensors"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert ended(begun(folder, "run")) == (0, "finished 600 iterations: run")
    return folder / "run"


def test_a_dry_run_is_of_all_ranks(tmp_path):
    words = [word for word in WORDS if word != "8"] + ["60", "--dry-run"]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.run(
        [sys.executable, "-m", "reslab", *words], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.count("ms on 2 processes together") == 1
    assert " at the peak in each process" in process.stdout
    assert [*tmp_path.rglob("*")] == [temporary]


@pytest.mark.slow
def test_own_images_are_rehearsed_and_trained_by_all_ranks(tmp_path):
    """The expected time, for which all ranks make updates, comes first; the weights are those of BN in two parts."""
    draws = np.random.default_rng(0)
    for name, images in (("train/dark", 24), ("train/light", 24), ("val/dark", 5), ("val/light", 5)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(images):
            pixels = draws.integers(0, 128, (40, 40, 3), dtype=np.uint8) + 100 * ("light" in name)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pictures" / name / f"{k}.png")
    words = [sys.executable, "-m", "reslab", "train", "cifar_resnet8", "--data", "pictures", "--threads", "1"]
    words += ["--iterations", "12", "--batch", "8"]
    for out, more in (("two", ["--processes", "2"]), ("one", ["--set", "bn_batch=4"])):
        process = subprocess.run([*words, *more, "--out", out], cwd=tmp_path, text=True, capture_output=True)
        assert process.returncode == 0, process.stderr
        assert process.stderr.count("recipe photos for 48 images: 12 updates of 8 images, 2 epochs; about ") == 1
    one, two = (
        load_file(tmp_path / out / "checkpoints" / "step-00000012" / "weights.safetensors") for out in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-5, atol=1e-7)


GOES_ON = "the same command goes on from the newest checkpoint"
CASES = [
    ("TERM", 1, 75, "and saved; the same command goes on from there"),
    ("TERM", None, 75, "and saved; the same command goes on from there"),
    ("INT", None, 75, "and saved; the same command goes on from there"),
    ("KILL", 0, 1, f"reslab: rank 0 was ended by SIGKILL; {GOES_ON}"),
    ("KILL", 1, 1, f"reslab: rank 1 was ended by SIGKILL; {GOES_ON}"),
    ("STOP", 1, 1, f"reslab: rank 1 did not answer within --timeout 8 s; {GOES_ON}"),
    ("KILL", None, -signal.SIGKILL, ""),
]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank", "status", "line"), CASES)
def test_stopped_or_killed_and_begun_again_it_ends_with_equal_bits(whole, tmp_path, name, rank, status, line):
    process = begun(tmp_path, "run")
    deadline = time.monotonic() + 60
    while not has_saved(tmp_path / "run", 100):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid if rank is None else rank_of(process.pid, rank), getattr(signal, f"SIG{name}"))
    if status == -signal.SIGKILL:  # the ranks notice that the launcher is gone, save and leave
        process.wait(timeout=30)
        process.stdout.close()
        process.stderr.close()
        time.sleep(5)
    else:
        code, said = ended(process)
        assert code == status, said
        assert line in said
    assert ended(begun(tmp_path, "run")) == (0, "finished 600 iterations: run")
    assert hashes(tmp_path / "run") == hashes(whole)


@pytest.mark.slow
def test_after_a_killed_rank_all_begin_again_by_themselves(whole, tmp_path):
    process = begun(tmp_path, "run", "--max-restarts", "1")
    while not has_saved(tmp_path / "run", 100):
        time.sleep(0.02)
    os.kill(rank_of(process.pid, 1), signal.SIGKILL)
    assert ended(process) == (0, "finished 600 iterations: run")
    assert hashes(tmp_path / "run") == hashes(whole)


@pytest.mark.slow
def test_under_torchrun_a_saved_stop_is_no_failure(whole, tmp_path):
    words = [word for k, word in enumerate(WORDS) if "--processes" not in WORDS[max(0, k - 1) : k + 1]]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3"]
    words = [sys.executable, *torchrun, "-m", "reslab", *words, "--out", "run"]
    process = subprocess.Popen(words, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not has_saved(tmp_path / "run", 100):
        time.sleep(0.02)
    os.kill(rank_of(process.pid, 0), signal.SIGTERM)
    code, said = ended(process)
    assert code == 0
    assert "and saved; the same command goes on from there" in said
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0
    assert hashes(tmp_path / "run") == hashes(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--set", "batch=1"], "reslab: --processes 2: a batch has 1 images, fewer than ranks; give fewer"),
        pytest.param(["--data", "digts"], "reslab: data: 'digts' is neither a known word", marks=pytest.mark.slow),
    ],
)
def test_bad_input_is_one_line(tmp_path, words, line):
    process = begun(tmp_path, "run", *words)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    (said,) = error.splitlines()
    assert said.startswith(line)


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ranks = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        words = [sys.executable, "-m", "reslab", "train", "cifar_resnet8", "--out", "run"]
        done = subprocess.run(words, cwd=tmp_path, env=os.environ | ranks, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    remedy = "give torchrun another (--master-port or --rdzv-endpoint)"
    assert done.stderr == f"reslab: rank 0: 127.0.0.1:{port}: the port is in use; {remedy}\n"
    assert not (tmp_path / "run").exists()
