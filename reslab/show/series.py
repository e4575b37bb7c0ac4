"""Records as series that can be drawn: sound lines alone, runs gathered by net, thinned without hiding a spike.

A record may be torn, half-finished or hold numbers that are not finite. What cannot be drawn is left out and counted,
so that a caption can tell it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reslab.claims.cells import Cell, cells
from reslab.claims.evidence import key_of
from reslab.training.runlog import Record

MOST = 180  # points of one line: a run has two, and stays below 400 rows
FEWEST = 20
TOTAL = 4000  # points of one figure, as far as FEWEST allows: a page has many figures


@dataclass(frozen=True)
class Sound:
    """What can be drawn of some records.

    records   with every line whole and every error finite; a run whose last error is not finite has no end
    left_out  measured moments without a finite error
    broken    records that do not say which net they are of
    """

    records: tuple[Record, ...]
    left_out: int
    broken: int


@dataclass(frozen=True)
class Runs:
    """The runs of one net under one recipe; `short` is what a legend says: the depth where that tells them apart."""

    label: str
    short: str
    kind: str
    depth: int
    records: tuple[Record, ...]

    @property
    def cell(self) -> Cell | None:
        """Final errors over the seeds, or None where no run has ended."""
        return next(iter(cells(self.records)), None)


def finite(value: Any) -> bool:
    """Whether it is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def kind_of(residual: bool) -> str:
    return "residual" if residual else "plain"


def sound(records: Iterable[Record]) -> Sound:
    """Every record without the lines that are torn or hold no finite error."""
    found, left_out, broken = [], 0, 0
    for record in records:
        try:
            _ = (key_of(record), record.depth, record.residual, record.seed)
        except (KeyError, TypeError, ValueError, AttributeError):
            broken += 1
            continue
        lines, last = [], {}
        for line in record.metrics:
            kind = line.get("kind")
            if kind == "eval":
                good = finite(line.get("iteration")) and finite(line.get("top1_error"))
                good = good and isinstance(line.get("split"), str)
                if isinstance(line.get("split"), str):
                    last[line["split"]] = good
                left_out += not good
            else:
                good = kind == "end" or (isinstance(kind, str) and finite(line.get("iteration")))
            if good:
                lines.append(line)
        if not all(last.values()):  # its last error is unknown; an earlier one must not stand for it
            lines = [line for line in lines if line["kind"] != "end"]
        found.append(replace(record, metrics=tuple(lines)))
    return Sound(tuple(found), left_out, broken)


def by_net(records: Iterable[Record]) -> list[Runs]:
    """Sound records gathered by net and recipe; plain before residual, shallow before deep."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for r in sorted(records, key=lambda r: (r.residual, r.depth, key_of(r), r.seed)):
        groups.setdefault((key_of(r), json.dumps(r.run.get("recipe"), sort_keys=True)), []).append(r)
    nets: dict[str, list[list[Record]]] = {}
    for (net, _), group in groups.items():
        nets.setdefault(net, []).append(group)
    runs = [
        Runs(_label(group[0], number, several), "", kind_of(group[0].residual), group[0].depth, tuple(group))
        for several in nets.values()
        for number, group in enumerate(several)
    ]
    return [replace(one, short=str(one.depth) if _is_alone(one, runs) else one.label) for one in runs]


def _label(record: Record, number: int, several: Sequence[Sequence[Record]]) -> str:
    """The net in words; where it was trained under several recipes, also how long, or which of them."""
    switches = key_of(record).partition(" ")[2].strip("{}").replace('"', "")
    label = f"{record.model} {switches}".strip()
    if len(several) == 1:
        return label
    lengths = [group[0].run["recipe"].get("iterations") for group in several]
    if lengths.count(lengths[number]) == 1 and finite(lengths[number]):
        return f"{label}, {lengths[number]:,} it."
    return f"{label}, recipe {number + 1}"


def _is_alone(one: Runs, runs: Sequence[Runs]) -> bool:
    depths = [other.depth for other in runs if other.kind == one.kind]
    return len(set(depths)) == len(depths)


def room(lines: int) -> int:
    """How many points each of so many lines may have."""
    return max(FEWEST, min(MOST, TOTAL // max(1, lines)))


def thinned(points: Sequence[tuple[float, float]], most: int = MOST) -> list[tuple[float, float]]:
    """At most `most` (4 or more) of the points (x, y), in their order: of each stretch its lowest and its highest.

    The first and the last point stay, and so does every spike, be it one point wide.
    """
    if len(points) <= most:
        return list(points)
    stretches = (most - 2) // 2
    inner = len(points) - 2
    kept = {0, len(points) - 1}
    for i in range(stretches):
        part = range(1 + i * inner // stretches, 1 + (i + 1) * inner // stretches)
        kept |= {min(part, key=lambda k: points[k][1]), max(part, key=lambda k: points[k][1])}
    return [points[k] for k in sorted(kept)]
