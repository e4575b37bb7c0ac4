"""What an executor costs: a study of 30 runs by each of them, beside `local` on the same machine.

`python -m benchmarks.executors [--quick] [--pairs N] [--record]`. Seconds of the whole command, interpreter and report
included; two runs at a time with one thread each, digits, seed 0 to 4.

Peer    `reslab reproduce degradation` with `local`.
Ours    the same with `--on folder`, `--on ray` (started for the command) and `--on slurm:cluster=local`, whose every
        run has an interpreter of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, timed

WORDS = ["reproduce", "degradation", "--depths", "8,14,20", "--seeds", "5", "--scale", "0.1"]
NAMES = ("folder", "ray", "slurm:cluster=local")


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    with TemporaryDirectory() as work:
        numbers = count()

        def seconds(on: str) -> float:
            out = Path(work) / f"study{next(numbers)}"
            command = [sys.executable, "-m", "reslab", *WORDS, "--out", str(out), "--on", on]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=environment))

        for name in NAMES:
            notes = ("30 runs: plain and residual, 8, 14 and 20 layers, 5 seeds", "2 at a time, 1 thread each")
            yield in_turn(
                f"30 runs on {name}",
                "s",
                lambda name=name: seconds(name),
                lambda: seconds("local"),
                options,
                Bar(),
                notes,
            )


if __name__ == "__main__":
    sys.exit(main("executors", "A study of many runs by each executor, beside local", rows))
