"""Take the record of a run back to the iteration of a checkpoint, from which the run is resumed."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from reslab.runs.runlog import METRICS, RUN, Record, is_whole
from reslab.store import jsonl


def rewind(
    record: Record, facts: dict[str, Any], due: Collection[str]
) -> tuple[tuple[dict[str, Any], ...], set[str], list[str]]:
    """Remove the lines of `metrics.jsonl` that are newer than a checkpoint with these facts, and record the resume.

    due   what is measured at the checkpoint's iteration: names of splits, "probe"
    Returns the lines that are left, what of `due` has been measured, and warnings, one line each. All is measured
    (again) if only a part was, or if lines are lost, which may have been its results.
    """
    at, end, path = int(facts["iteration"]), jsonl.Tail.from_dict(facts.get("metrics")), record.folder / METRICS
    lost = jsonl.read(path, checked=True).lost_since(end) if end and record.sealed else 0
    there = {
        line["split"] if line["kind"] == "eval" else "probe"
        for line in record.metrics
        if line["kind"] in ("eval", "probe") and line["iteration"] == at
    }
    measured = there if there >= {*due} and not lost else set[str]()

    def belongs(line: dict[str, Any]) -> bool:
        iteration = line.get("iteration", 0) if is_whole(line) else math.inf
        return bool(iteration < at or (iteration == at and (measured or line["kind"] not in ("eval", "probe"))))

    jsonl.keep(path, belongs, checked=record.sealed)
    jsonl.append(path, {"kind": "resume", "iteration": at})
    warnings = []
    if end and lost:
        jsonl.append(path, {"kind": "lost", "iteration": at, "lines": lost})
        warnings.append(
            f"{lost} of the {end.lines} lines of {METRICS} before iteration {at:,} are damaged or missing; the weights "
            "are complete, the record of their training is not"
        )
    if not record.sealed:
        warnings.append(f"begun by an older reslab, without checksums: {RUN} and {METRICS} up to here are unchecked")
    return tuple(filter(belongs, record.metrics)), measured, warnings
