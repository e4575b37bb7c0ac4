"""A network as a column of boxes: the rows that are drawn, their labels, and the blocks that are folded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.show.look import HUES, NO_HUE

MOST_LAYERS = 60  # in a picture with a deeper net, equal blocks are folded
MOST_PERIOD = 4  # the longest pattern of mixed blocks that is folded


@dataclass(frozen=True)
class Box:
    """A box. `kind` is image, layer (with weights) or pool; `size` is the side of its output map, in pixels."""

    label: str
    kind: str
    part: str
    size: int


@dataclass(frozen=True)
class Unit:
    """A block, or a layer outside of blocks; `line` is solid, dotted, or "" without a shortcut."""

    boxes: tuple[Box, ...]
    line: str = ""
    block: bool = False


@dataclass(frozen=True)
class Column:
    """A net: its units as runs (pattern, times), each pattern drawn once."""

    spec: Spec
    runs: tuple[tuple[tuple[Unit, ...], int], ...]

    def boxes(self) -> list[Box]:
        """Return the drawn boxes, from the image to the classes."""
        return [box for units, _ in self.runs for unit in units for box in unit.boxes]


def box_of(row: Row) -> Box:
    """Return a row's box, with its label: "7x7 conv, 64, /2", "3x3 max pool, /2", "fc 1000"."""
    return Box(row.label, "layer" if row.is_weight_layer else "pool", row.part, row.size_out)


def units_of(spec: Spec) -> list[Unit]:
    """Return the net's units: the image, then every block and every layer outside of blocks."""
    side = spec.image_size
    units = [Unit((Box(f"image, {spec.in_channels}x{side}x{side}", "image", "", side),))]
    for (block, _), group in groupby(plan(spec), key=lambda r: (r.block, "" if r.block else r.name)):
        rows = list(group)
        boxes = tuple(box_of(r) for r in rows if r.label and r.path != "shortcut")
        if boxes:
            units.append(Unit(boxes, next((r.line for r in rows if r.kind == "add"), ""), bool(block)))
    return units


def folded(units: Sequence[Unit], fold: bool = True) -> tuple[tuple[tuple[Unit, ...], int], ...]:
    """Return the units as (pattern, times): repeated blocks, or repeated patterns of mixed blocks, once each."""
    runs: list[tuple[tuple[Unit, ...], int]] = []
    at = 0
    while at < len(units):
        pattern, times = tuple(units[at : at + 1]), 1
        for period in range(1, MOST_PERIOD + 1 if fold and units[at].block else 1):
            candidate, count = tuple(units[at : at + period]), 1
            while tuple(units[at + count * period : at + (count + 1) * period]) == candidate:
                count += 1
            if count > 1 and all(unit.block for unit in candidate):
                pattern, times = candidate, count
                break
        runs.append((pattern, times))
        at += len(pattern) * times
    return tuple(runs)


def columns_of(specs: Sequence[Spec]) -> list[Column]:
    """Return the nets' columns; all are folded if one has more than MOST_LAYERS layers."""
    fold = any(layers_of(spec) > MOST_LAYERS for spec in specs)
    return [Column(spec, folded(units_of(spec), fold)) for spec in specs]


def layers_of(spec: Spec) -> int:
    """Return the number of layers with weights, without projections: the depth in the net's name."""
    return sum(r.is_weight_layer and r.path != "shortcut" for r in plan(spec))


def stage_of(part: str) -> int:
    """Return a part's number: 3 for conv3_x, 1 for the stem, 0 for the head."""
    match = re.search(r"\d+", part)
    return int(match[0]) if match else int(part == "stem")


def hue_of(part: str) -> str:
    """Return a part's colour, the same for one stage of all nets."""
    number = stage_of(part)
    return HUES[(number - 1) % len(HUES) + 1] if number else NO_HUE
