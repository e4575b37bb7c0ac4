"""Runs of one net over its seeds as one cell of a table: final errors, mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from reslab.claims.evidence import key_of
from reslab.training.runlog import Record


@dataclass(frozen=True)
class Cell:
    """Figures of one net over its seeds: errors in percent, sample standard deviation (nan for one seed)."""

    model: str
    switches: str
    depth: int
    residual: bool
    n: int
    train_mean: float
    train_std: float
    test_mean: float
    test_std: float


def cells(records: Iterable[Record]) -> tuple[Cell, ...]:
    """One cell for each net among the finished records; plain before residual, shallow before deep."""
    groups: dict[str, list[Record]] = {}
    for record in sorted((r for r in records if r.finished), key=lambda r: (r.residual, r.depth, key_of(r), r.seed)):
        groups.setdefault(key_of(record), []).append(record)
    return tuple(_cell(key, group) for key, group in groups.items())


def _cell(key: str, records: list[Record]) -> Cell:
    def figures(split: str) -> tuple[float, float]:
        values = [final["top1_error"] for r in records if (final := r.final(split)) is not None]
        if not values:
            return math.nan, math.nan
        return mean(values), stdev(values) if len(values) > 1 else math.nan

    first = records[0]
    switches = key.partition(" ")[2].strip("{}")
    return Cell(
        first.model, switches, first.depth, first.residual, len(records), *figures("train"), *figures("test")
    )  # fmt: skip
