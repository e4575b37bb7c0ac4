"""How often each fault is tried; RELIABILITY_SCALE multiplies all of it. At 1 the whole takes less than 30 minutes."""

import os
from collections.abc import Iterable
from typing import TypeVar

Case = TypeVar("Case")

SCALE = float(os.environ.get("RELIABILITY_SCALE", "1"))


def scaled(count: int) -> int:
    return max(1, round(count * SCALE))


KILLS = scaled(10)  # of each engine, with and without data workers
STOPS = scaled(1)  # of each signal, target, moment and number of workers
FLIPS = scaled(40)  # of each kind of file and verb
FAST_FLIPS = scaled(400)  # where one process takes many of them
SLOW_FLIPS = scaled(12)  # where each costs a second and more
LENGTHS = scaled(10)  # random lengths, beside every sixteenth
FULL_DISKS = scaled(6)  # fill levels of each writer
FIELDS = scaled(150)  # of a hostile state.json, for each verb
COMMANDS = scaled(400)  # of the command-line fuzz
TABLES = scaled(150)  # TOML files of the fuzz
WORKER_KILLS = scaled(5)
UPDATES = scaled(2000)  # of the soak


def some(cases: Iterable[Case]) -> list[Case]:
    """All of `cases`, or at a scale below 1 a share of them, spread evenly, at least one."""
    every = list(cases)
    number = max(1, round(len(every) * min(SCALE, 1)))
    return [every[i * len(every) // number] for i in range(number)]
