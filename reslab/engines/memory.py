"""How much memory an update will take, from the plan: what the backward pass needs kept, weights, gradients, momentum.

Kept for the way back are the inputs of convolutions and of batch norm, the outputs of activations, and for max-pooling
the place of each maximum. Gradients of maps exist a few at a time, when much of this has been
let go already.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from reslab.nets.cost import cost
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe

PASSING = 8  # maps of the largest kind alive or not yet given back to the system beside what is kept (measured)
SCRATCH = 25_000_000  # bytes of code and of the convolutions' own buffers (measured)
HOLES = 0.5  # with `recompute`, of what is kept: free places between maps too small for the next (measured)
FLOAT, INDEX = 4, 8  # bytes
DRAWS = 8 * INDEX  # bytes of an image's number, label, place and flip, in a batch and on the way to it


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that one update takes beyond what the process already has.

    kept     activations kept for the backward pass
    weights  weights, gradients and momentum
    passing  temporary tensors at the peak
    """

    kept: int
    weights: int
    passing: int

    @property
    def total(self) -> int:
        return self.kept + self.weights + self.passing


def need(spec: Spec, recipe: Recipe, precision: str, recompute: bool = False) -> MemoryEstimate:
    """What an update takes with activations in `precision` ("fp32", "bf16"); `recompute`: see `segment`."""
    batch, size = recipe.bn_batch or recipe.batch, 2 if precision == "bf16" else FLOAT
    rows = plan(spec)
    images = batch * spec.in_channels * spec.image_size**2
    parts = _by_part(rows)
    each = [batch * sum(_kept(row, _reader(row, part), size) for row in part) for part in parts]
    if recompute:
        length = segment(spec)
        ends = [batch * _elements(part[-1]) * size for part in parts]
        runs = [each[i : i + length] for i in range(0, len(each), length)]
        kept = sum(ends[::length]) + max(sum(run) for run in runs)
    else:
        kept = sum(each)
    largest = batch * max(_elements(row) for row in rows) * size
    parameters = cost(spec).parameters
    weights = parameters * (3 * FLOAT + (size if size < FLOAT else 0))  # weights, gradients, momentum; casts to bf16
    holes = round(HOLES * kept) if recompute else 0
    return MemoryEstimate(kept + images * (FLOAT + size), weights, PASSING * largest + holes + SCRATCH)


def inputs(spec: Spec, images: int) -> int:
    """Bytes of a batch as the net reads it, and of the draws that made it."""
    return images * (spec.in_channels * spec.image_size**2 * FLOAT + DRAWS)


def update(spec: Spec, recipe: Recipe, precision: str, recompute: bool = False) -> int:
    """Bytes of an update with the whole batch that it reads, of which `need` counts what BN sees at once."""
    rest = recipe.batch - (recipe.bn_batch or recipe.batch)
    return need(spec, recipe, precision, recompute).total + inputs(spec, rest) + recipe.batch * DRAWS


def least(spec: Spec, recipe: Recipe, precision: str, recompute: bool = False) -> int:
    """Bytes of an update that exist at the same time, however early all else is given back: `update` is an estimate,
    this is a lower bound of it."""
    parameters, kept = cost(spec).parameters * FLOAT, need(spec, recipe, precision, recompute).kept
    # weights, momentum and what is kept when the way back begins; weights, momentum and gradients when it ends
    rest = recipe.batch - (recipe.bn_batch or recipe.batch)
    return max(kept + 2 * parameters, 3 * parameters) + inputs(spec, rest)


def evaluation(spec: Spec, images: int) -> int:
    """Bytes of maps alive at once while so many images are scored: input, output and shortcut of the largest layer."""
    return images * 3 * max(_elements(row) for row in plan(spec)) * FLOAT


def segment(spec: Spec) -> int:
    """Blocks between two kept outputs where the rest is computed again on the way back: half a square root of all."""
    blocks = len({row.block for row in plan(spec) if row.block})
    return max(1, round(sqrt(blocks) / 2))


def _by_part(rows: tuple[Row, ...]) -> list[list[Row]]:
    """Rows block by block; what stands outside blocks by its part."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.block or row.part, []).append(row)
    return list(parts.values())


def _reader(row: Row, part: list[Row]) -> Row | None:
    """The row that reads this one's output: the next of its path, or what follows both paths; None: another part."""
    rest = part[part.index(row) + 1 :]
    return next((r for r in rest if r.path == row.path), None) or next((r for r in rest if r.path == "after"), None)


def _kept(row: Row, reader: Row | None, size: int) -> int:
    """Bytes of one image that this row's output keeps alive until the way back."""
    if row.facts.keeps_output or reader is None or reader.facts.keeps_input:  # the next part begins with such a reader
        return _elements(row) * (size + INDEX * row.facts.keeps_places)
    return 0


def _elements(row: Row) -> int:
    return row.c_out * row.size_out**2


def shown(size: float) -> str:
    """Bytes in words: "744 MB", "5.7 GB", "1.2 TB"."""
    if size >= 1e12:
        return f"{size / 1e12:,.1f} TB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
