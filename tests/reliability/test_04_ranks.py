"""Rows 4, 5 and 21: one run by two ranks that are signalled, killed and frozen, and its bits beside one process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from counts import scaled
from test_launch import begun, ended, has_saved, hashes, rank_of
from test_ranks import test_two_ranks_have_the_bits_of_two_parts as two_ranks_equal_two_parts

SIGNALS, DEATHS, FREEZES = scaled(4), scaled(6), scaled(2)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[str]:
    """The hashes of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(begun(folder, "run"))[0] == 0
    return hashes(folder / "run")


def survived(folder: Path, whole: list[str], draws: Random, number: int, rank: int, expected: int) -> bool:
    """Whether the run said so and ended with its own bits, after a rank got a signal at a random moment."""
    out, after = folder / "run", draws.randrange(80, 480)
    process = begun(folder, "run")
    while process.poll() is None and not has_saved(out, after):
        time.sleep(0.02)
    os.kill(rank_of(process.pid, rank), number)
    status, _ = ended(process)
    return status == expected and ended(begun(folder, "run"))[0] == 0 and hashes(out) == whole


@pytest.mark.parametrize(
    ("row", "what", "number", "tries", "status"),
    [
        (4, "SIGTERM to one rank of two, then resumed", signal.SIGTERM, SIGNALS, 75),
        (5, "kill -9 of one rank of two, then resumed", signal.SIGKILL, DEATHS, 1),
        (5, "one rank of two frozen past --timeout, then resumed", signal.SIGSTOP, FREEZES, 1),
    ],
)
def test_fault_04_05_signals(whole, tmp_path, count, row, what, number, tries, status):
    draws = Random(what)
    good = 0
    for trial in range(tries):
        folder = tmp_path / str(trial)
        folder.mkdir()
        good += survived(folder, whole, draws, number, trial % 2, status)
    count(row, what, tries, good)


def test_fault_21_bits(tmp_path, count):
    """Two ranks of half a batch against one process with BN in two parts."""
    good = 0
    cases = [("eager", "fp32"), ("fused", "fp32"), ("fused", "bf16")]
    for engine, precision in cases:
        folder = tmp_path / f"{engine}-{precision}"
        folder.mkdir()
        good += holds(lambda case=(folder, engine, precision): two_ranks_equal_two_parts(*case))
    count(21, "two ranks beside one process with BN in two parts: equal weights and losses", len(cases), good)


def holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True
