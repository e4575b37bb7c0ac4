"""The real command line in a process of its own, on one thread."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def begin(*words: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("RESLAB_CIFAR10", "FORCE_COLOR", "PYTHONWARNINGS")}
    return subprocess.Popen(
        [sys.executable, "-m", "reslab", *map(str, words)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=kept | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    """Nothing that a test began outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


def run(*words: object, cwd: Path | None = None, code: int = 0) -> tuple[str, str]:
    """(standard output, standard error) of a command that ends with `code`."""
    process = begin(*words, cwd=cwd)
    try:
        out, err = process.communicate(timeout=400)
    finally:
        end(process)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.005)
