"""Records as series that can be drawn: sound lines alone, runs grouped by net, thinned without hiding a spike.

A record may be torn, half-finished or hold numbers that are not finite. What cannot be drawn is left out and counted
for the caption. Seeds are averaged; data, recipes and precisions never are, and a copy counts once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reslab.claims.evidence import key_of
from reslab.claims.rules import Figure, figure
from reslab.runs.init import Init
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Record
from reslab.show.format import clean

SPLITS = ("train", "val", "test")

MOST = 180  # points of one line: a run has two, and stays below 400 rows
FEWEST = 20
TOTAL = 4000  # points of one figure, as far as FEWEST allows: a page has many figures


@dataclass(frozen=True)
class Sound:
    """The parts of some records that can be drawn.

    records   with every line whole and every error finite; a run whose last error is not finite has no end
    left_out  measured moments without a finite error
    broken    records that do not name their net
    """

    records: tuple[Record, ...]
    left_out: int
    broken: int


@dataclass(frozen=True)
class Runs:
    """The runs of one net on one data set under one recipe and precision, one for each seed.

    short   the legend's word: the depth if that identifies the net among those of its kind, else the label
    apart   how it differs from other runs of the net: "data", "length", "recipe", "precision", "size", "course" →
            words, which are in the label too
    line    the same among the runs of all nets: runs that differ in it are not joined by a line
    """

    label: str
    short: str
    kind: str
    depth: int
    records: tuple[Record, ...]
    apart: dict[str, str] = field(default_factory=dict)
    line: str = ""

    @property
    def ended(self) -> bool:
        return any(r.finished for r in self.records)

    def final(self, split: str) -> Figure | None:
        """Return the error at the end of finished runs, percent: mean and 95 % interval over seeds; None without any.

        The interval of one seed has no ends.
        """
        ends = [end["top1_error"] for r in self.records if measured(r, split) and (end := r.final(split))]
        return figure([end for end in ends if finite(end)])


def finite(value: Any) -> bool:
    """Return whether the value is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def kind_of(residual: bool) -> str:
    return "residual" if residual else "plain"


def measured(record: Record, split: str) -> list[dict[str, Any]]:
    """Return a split's measurements as figures show them; those of "val" only if there is no test split."""
    return [] if split == "val" and record.evaluations("test") else record.evaluations(split)


def splits_of(records: Iterable[Record]) -> list[str]:
    """Return the splits that figures of these records show, in the order of SPLITS."""
    known = list(records)
    return [split for split in SPLITS if any(measured(r, split) for r in known)]


def sound(records: Iterable[Record]) -> Sound:
    """Return every record without the lines that are torn or hold no finite error."""
    whole, left_out, broken = [], 0, 0
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
                is_sound = finite(line.get("iteration")) and finite(line.get("top1_error"))
                is_sound = is_sound and isinstance(line.get("split"), str)
                if isinstance(line.get("split"), str):
                    last[line["split"]] = is_sound
                left_out += not is_sound
            else:
                is_sound = kind == "end" or (isinstance(kind, str) and finite(line.get("iteration")))
            if is_sound:
                lines.append(line)
        if not all(last.values()):  # the last error is unknown, and an earlier one must not be taken for it
            lines = [line for line in lines if line["kind"] != "end"]
        whole.append(replace(record, metrics=tuple(lines)))
    return Sound(tuple(whole), left_out, broken)


def by_net(records: Iterable[Record]) -> list[Runs]:
    """Group sound records by net, data, recipe and precision; plain before residual, shallow before deep."""
    groups: dict[tuple[str, ...], dict[int, Record]] = {}
    for r in sorted(records, key=lambda r: (r.residual, r.depth, key_of(r), r.seed)):
        seeds = groups.setdefault(_identity(r), {})
        if r.seed not in seeds or _counts(r) > _counts(seeds[r.seed]):  # a copy of a run counts once
            seeds[r.seed] = r
    firsts = {key: next(iter(seeds.values())) for key, seeds in groups.items()}
    runs = []
    for key, seeds in groups.items():
        first = firsts[key]
        switches = key_of(first).partition(" ")[2].strip("{}").replace('"', "")
        apart, line = _apart(key, firsts, key[:3]), ", ".join(_apart(key, firsts, key[1:3]).values())
        label = ", ".join([f"{first.model} {switches}".strip(), *apart.values()])
        runs.append(Runs(label, label, kind_of(first.residual), first.depth, tuple(seeds.values()), apart, line))
    return [replace(group, short=str(group.depth)) if _is_alone(group, runs) else group for group in runs]


def _identity(record: Record) -> tuple[str, str, str, str, str, str, str]:
    """Return what the seeds of one group share: net, data, their fingerprint, recipe, precision, size, course."""
    data, settings = (part if isinstance(part := record.run.get(k), dict) else {} for k in ("data", "settings"))
    recipe = record.run.get("recipe")
    full = Recipe().to_dict() | recipe if isinstance(recipe, dict) else recipe  # older records lack newer fields
    return (
        key_of(record), clean(data.get("name", "?")), clean(data.get("fingerprint", "")),
        json.dumps(full, sort_keys=True, default=str), clean(settings.get("precision", "?")),
        clean(record.run["spec"].get("image_size", "?")), _course(record),
    )  # fmt: skip


def _course(record: Record) -> str:
    """Return in a few words what sets a run apart from one of its recipe alone; "" for most runs."""
    init, ends = Init.of(record.run), record.ends
    words = [f"from {init.weights[:6]}", *(f"{part} frozen" for part in init.frozen)] if init else []
    return ", ".join([*words, *(f"extended to {end:,} it." for end in ends[1:])])


def _counts(record: Record) -> tuple[bool, float, bool]:
    """Return the rank of a record among copies of its run: finished, then longer, then with exact scores."""
    reached = max((m["iteration"] for m in record.metrics if finite(m.get("iteration"))), default=0)
    return record.finished, reached, bool(record.exact)


def _apart(key: tuple[str, ...], firsts: dict[tuple[str, ...], Record], among: tuple[str, ...]) -> dict[str, str]:
    """Return how a group differs from others of the figure: in its data from any, otherwise from those of `among`.

    A course of its own is named in any case.

    among   (net, data, fingerprint), or (data, fingerprint) for every net on these data
    """
    _, name, print_, recipe, precision, size, course = key
    apart: dict[str, str] = {}
    sets = dict.fromkeys(k[1:3] for k in firsts)
    if len(sets) > 1:
        alone = [key_of_set[0] for key_of_set in sets].count(name) == 1
        apart["data"] = name if alone else f"{name} {print_[:6]}".strip()
    here = {k: r for k, r in firsts.items() if k[1:3] == (name, print_)}
    peers = {k: r for k, r in here.items() if k[:3] == among or among == k[1:3]}
    recipes = {k[3]: r.run.get("recipe") for k, r in peers.items()}
    if len(recipes) > 1:
        lengths = {k: r.get("iterations") if isinstance(r, dict) else None for k, r in recipes.items()}
        if finite(lengths[recipe]) and list(lengths.values()).count(lengths[recipe]) == 1:
            apart["length"] = f"{lengths[recipe]:,} it."
        else:
            apart["recipe"] = f"recipe {list(dict.fromkeys(k[3] for k in here)).index(recipe) + 1}"
    if len({k[4] for k in peers}) > 1:
        apart["precision"] = precision
    if len({k[5] for k in peers}) > 1:
        apart["size"] = f"{size} px"
    if course:  # always, as a reader takes a run for one of its recipe alone
        apart["course"] = course
    return apart


def _is_alone(one: Runs, runs: Sequence[Runs]) -> bool:
    """Return whether a depth identifies a net among those of its kind; it does not if there are several data sets."""
    depths = [other.depth for other in runs if other.kind == one.kind]
    return len(set(depths)) == len(depths) and "data" not in one.apart


def room(lines: int) -> int:
    """Return how many points each of so many lines may have."""
    return max(FEWEST, min(MOST, TOTAL // max(1, lines)))


def thinned(points: Sequence[tuple[float, float]], most: int = MOST) -> list[tuple[float, float]]:
    """Return at most `most` (4 or more) of the points (x, y), in order: the lowest and the highest of each stretch.

    The first and the last point stay, and so does every spike, even of one point.
    """
    if len(points) <= most:
        return list(points)
    stretches = (most - 2) // 2
    inner = len(points) - 2
    indices = {0, len(points) - 1}
    for i in range(stretches):
        part = range(1 + i * inner // stretches, 1 + (i + 1) * inner // stretches)
        indices |= {min(part, key=lambda k: points[k][1]), max(part, key=lambda k: points[k][1])}
    return [points[k] for k in sorted(indices)]
