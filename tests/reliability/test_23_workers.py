"""Row 23: a data worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from counts import WORKER_KILLS
from damage import Tally, crash, refusal
from trained import FOLDER, OFTEN, end_of, iteration_of, orphans, pets, same_end


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_fault_23_a_worker_is_killed(reslab, tmp_path, count, number):
    """One line that names the worker and --workers, exit 1, no process left; the run resumes bit for bit."""
    images, tally = pets(tmp_path / "pets"), Tally()
    words = (*FOLDER, "--widths", "4,4,8", *OFTEN, "--data", images, "--iterations", "60")
    reslab(*words, "--workers", "0", "--out", "whole").good()
    whole, draws = end_of(reslab.here / "whole"), Random(int(number))
    while tally.tried < WORKER_KILLS:
        out = reslab.here / f"run{tally.tried}"
        running = reslab.start(*words, "--workers", "2", "--out", out)
        at = draws.randrange(1, 40)
        running.until(lambda out=out, at=at: iteration_of(out) >= at)
        workers = children(running.pid)
        if not workers or not running.alive:
            running.wait()
            continue
        victim = draws.choice(workers)
        try:
            os.kill(victim, number)
        except ProcessLookupError:
            running.wait()
            continue
        ended = running.wait()
        wrong = crash(ended)
        if not wrong and ended.code:
            wrong = refusal(ended, "--workers") or ("" if "worker" in ended.last else f"message: {ended.last}")
        time.sleep(0.05)
        group = subprocess.run(["pgrep", "-g", str(running.pid)], capture_output=True, text=True).stdout.split()
        wrong = wrong or (f"processes left: {group}" if group else "")
        again = reslab(*words, "--workers", "2", "--out", out)
        wrong = (
            wrong
            or crash(again)
            or ("" if same_end(out, whole) and not orphans(out) else f"ends elsewhere: {again.last}")
        )
        tally.add(f"worker of iteration {at}", wrong)
    tally.told(count, 23, f"{number.name} to a data worker: one line, exit 1, resumed")
