"""A network as a column of boxes: which of the plan's rows are drawn, what stands in them, which blocks are folded.

Every label is made of a row's own numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.show.look import HUES, NO_HUE

MOST_LAYERS = 60  # a net with more makes the picture fold its runs of equal blocks
MOST_PERIOD = 4  # the longest pattern of mixed blocks that is folded


@dataclass(frozen=True)
class Box:
    """One box: kind is image, layer (it has weights) or pool; size is the side of the map that it puts out, pixels."""

    label: str
    kind: str
    part: str
    size: int


@dataclass(frozen=True)
class Unit:
    """A block, or one layer outside of blocks; line is solid, dotted, or "" where nothing is added."""

    boxes: tuple[Box, ...]
    line: str = ""
    block: bool = False


@dataclass(frozen=True)
class Column:
    """A net: its units as runs (pattern, times), each pattern drawn once."""

    spec: Spec
    runs: tuple[tuple[tuple[Unit, ...], int], ...]

    def boxes(self) -> list[Box]:
        """Every box drawn, from the image to the classes."""
        return [box for units, _ in self.runs for unit in units for box in unit.boxes]


def box_of(row: Row) -> Box:
    """Return a row's box, with its label: "7x7 conv, 64, /2", "3x3 max pool, /2", "fc 1000"."""
    return Box(row.label, "layer" if row.is_weight_layer else "pool", row.part, row.size_out)


def units_of(spec: Spec) -> list[Unit]:
    """The whole net unfolded: the image, then every block and every layer outside of blocks."""
    side = spec.image_size
    found = [Unit((Box(f"image, {spec.in_channels}x{side}x{side}", "image", "", side),))]
    for (block, _), group in groupby(plan(spec), key=lambda r: (r.block, "" if r.block else r.name)):
        rows = list(group)
        boxes = tuple(box_of(r) for r in rows if r.label and r.path != "shortcut")
        if boxes:
            found.append(Unit(boxes, next((r.line for r in rows if r.kind == "add"), ""), bool(block)))
    return found


def folded(units: Sequence[Unit], fold: bool = True) -> tuple[tuple[tuple[Unit, ...], int], ...]:
    """The units as (pattern, times): runs of equal blocks, or of an equal pattern of mixed ones, once each."""
    runs: list[tuple[tuple[Unit, ...], int]] = []
    at = 0
    while at < len(units):
        pattern, times = tuple(units[at : at + 1]), 1
        for period in range(1, MOST_PERIOD + 1 if fold and units[at].block else 1):
            tried, count = tuple(units[at : at + period]), 1
            while tuple(units[at + count * period : at + (count + 1) * period]) == tried:
                count += 1
            if count > 1 and all(unit.block for unit in tried):
                pattern, times = tried, count
                break
        runs.append((pattern, times))
        at += len(pattern) * times
    return tuple(runs)


def columns_of(specs: Sequence[Spec]) -> list[Column]:
    """The nets, all of them folded where one is too deep to draw whole."""
    fold = any(layers_of(spec) > MOST_LAYERS for spec in specs)
    return [Column(spec, folded(units_of(spec), fold)) for spec in specs]


def layers_of(spec: Spec) -> int:
    """How many layers with weights a net has, its shortcuts' projections not counted: the depth in its name."""
    return sum(r.is_weight_layer and r.path != "shortcut" for r in plan(spec))


def stage_of(part: str) -> int:
    """A part's number: 3 for conv3_x, 1 for the stem, 0 for the head."""
    found = re.search(r"\d+", part)
    return int(found[0]) if found else int(part == "stem")


def hue_of(part: str) -> str:
    """A part's colour: the same for the same stage of every net."""
    number = stage_of(part)
    return HUES[(number - 1) % len(HUES) + 1] if number else NO_HUE
