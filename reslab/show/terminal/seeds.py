"""Runs with several seeds as a table: the error of each, mean and 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reslab.show.format import clean, number


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of `SeedRuns.to_dict()`. There is no interval of one run."""
    errors = result["errors"]
    rows = [["seed", *(f"{split} error" for split in errors), "folder"]]
    for run in result["runs"]:
        shown = [number(run.get(f"{split}_error"), ".2f", " %") for split in errors]
        rows.append([str(run["seed"]), *shown, clean(run["folder"])])
    rows += [[str(f["seed"]), *("failed" for _ in errors), clean(f["reason"])] for f in result["failures"]]
    counts = {one["n"] for one in errors.values()}
    if max(counts, default=0) > 1:
        n = f"n = {', '.join(map(str, sorted(counts)))}"
        rows.append(["mean", *(number(one["mean"], ".2f", " %") for one in errors.values()), n])
        rows.append(["95 %", *(_interval(one) for one in errors.values()), "interval of the mean, Student's t"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(errors) + 1)]
    return ["  ".join([*(f"{c:>{w}}" for c, w in zip(row[:-1], widths, strict=True)), row[-1]]) for row in rows]


def _interval(one: Mapping[str, Any]) -> str:
    """Return the interval as far as an error can be."""
    if one["interval"] is None:
        return "–"
    low, high = one["interval"]
    return f"{max(0.0, low):.2f} to {min(100.0, high):.2f}"
