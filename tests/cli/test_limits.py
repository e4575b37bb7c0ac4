"""Streams that are closed, disks that are full, pipes, and numbers beyond any machine: one line each, nothing left."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cases import some
from commands import environment

# -- streams that are closed


def test_no_standard_error():
    """`reslab describe nothing 2>&-`: the message goes nowhere, not among the results, and the status is told."""
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "describe", "nothing"], stdout=subprocess.PIPE, env=environment(),
        preexec_fn=lambda: os.close(2), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.slow
def test_training_without_standard_error(tmp_path):
    words = ("train", "cifar_resnet8", "--recipe", "digits-smoke", "--iterations", "1", "--device", "cpu")
    done = subprocess.run(
        [sys.executable, "-m", "reslab", *words, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE,
        env=environment(), preexec_fn=lambda: os.close(2), timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "run" / "checkpoints").is_dir()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_error_keeps_the_status():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reslab", "describe", "nothing"], stdout=subprocess.PIPE, stderr=full,
            env=environment(), timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")


# -- a disk that takes no more


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.parametrize("ending", some(["svg", "html", "png"], quick=1))
@pytest.mark.parametrize(
    "words", [("draw", "resnet18"), ("figure", "table1"), ("figure", "macs-by-layer")], ids=lambda w: "-".join(w)
)
def test_a_full_disk_beside_a_picture(tmp_path, words, ending):
    out = tmp_path / f"picture.{ending}"
    done = subprocess.run(
        [sys.executable, "-m", "reslab", *words, "--out", str(out)], env=environment(),
        capture_output=True, text=True, timeout=120, preexec_fn=limited,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("reslab: ")
    assert str(out) in line
    assert os.listdir(tmp_path) == []


def test_a_picture_that_was_there_survives_a_full_disk(tmp_path):
    out = tmp_path / "picture.svg"
    out.write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "draw", "resnet18", "--out", str(out), "--overwrite"],
        env=environment(), capture_output=True, text=True, timeout=120, preexec_fn=limited,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert (os.listdir(tmp_path), out.read_text()) == (["picture.svg"], "mine")


def test_a_full_disk_beside_a_report(trained, tmp_path):
    out = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "report", str(trained), "--out", str(out)],
        env=environment(), capture_output=True, text=True, timeout=120, preexec_fn=limited,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert str(out) in line
    assert os.listdir(tmp_path) == []


# -- paths that would wait for ever


@pytest.fixture
def pipe(tmp_path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_file_of_settings(cold, pipe):
    cold("train", "cifar_resnet8", "--config", pipe).refused(f"--config {pipe}: ", "no regular file")
    if os.path.exists("/dev/zero"):
        cold("train", "cifar_resnet8", "--config", "/dev/zero").refused("--config /dev/zero: ", "no regular file")


def test_a_large_file_of_settings_is_not_read(warm, tmp_path):
    file = tmp_path / "run.toml"
    with file.open("wb") as large:
        large.truncate(1 << 36)  # 64 GB of zeros that take no room
    warm("train", "cifar_resnet8", "--config", file).refused(str(file), "more than 1,048,576 bytes")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_for_a_report_is_refused(warm, trained, tmp_path):
    os.mkfifo(tmp_path / "report.html")
    warm("report", trained, "--out", tmp_path / "report.html").refused("report.html", "not a report of reslab")


NUMBERS = {
    "--seed": ["--seed", "99999999999999999999"],
    "--threads": ["--threads", "1000000000"],
    "--workers": ["--workers", "99999999999999999999"],
    "--iterations": ["--iterations", "99999999999999999999"],
    "--set": ["--set", "iterations=99999999999999999999"],
    "--set list": ["--set", "drops=1,99999999999999999999"],
    "--widths": ["--widths", "16,32,99999999999999999999"],
    "--image-size": ["--image-size", "99999999999999999999"],
}


@pytest.mark.parametrize("option", NUMBERS)
def test_numbers_beyond_any_machine(warm, tmp_path, option):
    words = ("train", "cifar_resnet8", "--recipe", "digits-smoke", "--iterations", "1", "--out", tmp_path / "out")
    if option == "--iterations":
        words = words[:4] + words[6:]
    problem = "--threads is too large" if option == "--threads" else "has more than 63 bits; give a number nearer to 0"
    warm(*words, *NUMBERS[option]).refused(option.split()[0], problem)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "seed = 99999999999999999999",
        "iterations = -99999999999999999999",
        "epochs = 1" + "0" * 400,
        "[set]\nlr = 1" + "0" * 400,
        "[set]\ndrops = [1, 99999999999999999999]",
        "[net]\nclasses = 99999999999999999999",
        "[net]\nwidths = [16, 32, 99999999999999999999]",
        "seed = 0x" + "f" * 4000,
    ],
)
def test_numbers_beyond_any_machine_in_a_file(warm, tmp_path, text):
    file = tmp_path / "run.toml"
    file.write_text(f'model = "cifar_resnet8"\n{text}\n' if "[" not in text else f'model = "cifar_resnet8"\n{text}')
    warm("train", "--config", file).refused(f"--config {file}: ", "has more than 63 bits")
