"""Estimate the memory of an update from the plan: activations kept, weights, gradients, momentum.

Kept for the backward pass are the inputs of convolutions and of batch norm, the outputs of activations, and for
max-pooling the index of each maximum. Only a few gradients of maps exist at a time, when much of this is already freed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import dropwhile
from math import sqrt

from reslab.engines.shares import sizes
from reslab.nets.cost import cost
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe

TEMPORARY = 8  # temporary maps of the largest size at the peak, in use or not yet returned to the system (measured)
SCRATCH = 25_000_000  # bytes of code and of the convolutions' own buffers (measured)
FRAGMENTATION = 0.5  # with `recompute`: bytes of gaps too small for the next map, per byte kept (measured)
FLOAT, INDEX = 4, 8  # bytes
DRAWS = 8 * INDEX  # bytes of an image's index, label, crop and flip, in a batch and while it is built


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that one update takes beyond what the process already has.

    activations  kept for the backward pass
    weights      weights, gradients and momentum
    temporary    temporary tensors at the peak
    """

    activations: int
    weights: int
    temporary: int

    @property
    def total(self) -> int:
        return self.activations + self.weights + self.temporary


def need(
    spec: Spec, recipe: Recipe, precision: str, recompute: bool = False, frozen: Collection[str] = ()
) -> MemoryEstimate:
    """Return the memory of an update with activations in `precision` ("fp32", "bf16").

    recompute   see `segment`
    frozen      parts that do not learn; of those before any that learns, no activations are kept
    """
    batch, size = recipe.bn_batch or recipe.batch, 2 if precision == "bf16" else FLOAT
    rows = plan(spec)
    parts = [*dropwhile(lambda part: part[0].part in frozen, _by_part(rows))]
    activations = _activations(spec, parts, batch, size, recompute)
    largest = batch * max(_elements(row) for row in rows) * size
    # weights, gradients, momentum, averages; casts to bf16
    copies = 3 + (recipe.average > 0)
    weights = cost(spec).parameters * (copies * FLOAT + size * (size < FLOAT)) - 2 * FLOAT * _fixed(rows, frozen)
    gaps = round(FRAGMENTATION * activations) if recompute else 0
    images = batch * spec.in_channels * spec.image_size**2 * (FLOAT + size)
    return MemoryEstimate(activations + images, weights, TEMPORARY * largest + gaps + SCRATCH)


def _activations(spec: Spec, parts: list[list[Row]], batch: int, size: int, recompute: bool) -> int:
    """Return the bytes of activations that `parts` keep for the backward pass, in `size` bytes each."""
    by_part = [batch * sum(_kept_bytes(row, _reader(row, part), size) for row in part) for part in parts]
    if not recompute:
        return sum(by_part)
    length = segment(spec)
    ends = [batch * _elements(part[-1]) * size for part in parts]
    segments = [by_part[i : i + length] for i in range(0, len(by_part), length)]
    return sum(ends[::length]) + max(sum(sizes) for sizes in segments)


def _fixed(rows: tuple[Row, ...], frozen: Collection[str]) -> int:
    """Return the number of parameters in frozen parts."""
    return sum(row.parameters for row in rows if row.part in frozen)


def share_of(recipe: Recipe, ranks: int) -> Recipe:
    """Return `recipe` with the largest share of its batch that one of `ranks` processes takes."""
    batch = max(sizes(recipe.batch, ranks, recipe.bn_batch))
    return replace(recipe, batch=batch, bn_batch=recipe.bn_batch if recipe.bn_batch < batch else 0)


def inputs(spec: Spec, images: int) -> int:
    """Return the bytes of a batch of `images`, and of the random draws behind it."""
    return images * (spec.in_channels * spec.image_size**2 * FLOAT + DRAWS)


def update(spec: Spec, recipe: Recipe, precision: str, recompute: bool = False, frozen: Collection[str] = ()) -> int:
    """Return the bytes of an update with its whole batch; `need` counts the part that BN sees at once."""
    other_parts = recipe.batch - (recipe.bn_batch or recipe.batch)
    return need(spec, recipe, precision, recompute, frozen).total + inputs(spec, other_parts) + recipe.batch * DRAWS


def least(spec: Spec, recipe: Recipe, precision: str, recompute: bool = False, frozen: Collection[str] = ()) -> int:
    """Return a lower bound of the bytes of an update: what exists at one time however early the rest is freed."""
    batch, size, rows = recipe.bn_batch or recipe.batch, 2 if precision == "bf16" else FLOAT, plan(spec)
    parts = [part for part in _by_part(rows) if part[0].part not in frozen]
    images = batch * spec.in_channels * spec.image_size**2 * (FLOAT + size)
    activations = _activations(spec, parts, batch, size, recompute) + images
    weights = cost(spec).parameters * FLOAT
    learning = weights - _fixed(rows, frozen) * FLOAT
    # When the backward pass begins: weights, momentum, activations. When it ends: weights, momentum, gradients.
    other_parts = recipe.batch - (recipe.bn_batch or recipe.batch)
    return weights + learning + max(activations, learning) + inputs(spec, other_parts)


def evaluation(spec: Spec, images: int) -> int:
    """Return the bytes of maps while `images` are scored: input, output and shortcut of the largest layer."""
    return images * 3 * max(_elements(row) for row in plan(spec)) * FLOAT


def segment(spec: Spec) -> int:
    """Return the blocks per segment of recomputation; only the output of each segment is kept.

    Half the square root of the number of blocks: about the minimum of segment outputs plus one recomputed segment.
    """
    blocks = len({row.block for row in plan(spec) if row.block})
    return max(1, round(sqrt(blocks) / 2))


def _by_part(rows: tuple[Row, ...]) -> list[list[Row]]:
    """Return the rows of each block, and outside of blocks those of each part."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.block or row.part, []).append(row)
    return list(parts.values())


def _reader(row: Row, part: list[Row]) -> Row | None:
    """Return the row that reads this row's output: the next on its path or after both paths; None: another part."""
    later = part[part.index(row) + 1 :]
    return next((r for r in later if r.path == row.path), None) or next((r for r in later if r.path == "after"), None)


def _kept_bytes(row: Row, reader: Row | None, size: int) -> int:
    """Return the bytes of this row's output, per image, that are kept for the backward pass."""
    if row.facts.keeps_output or reader is None or reader.facts.keeps_input:  # the next part begins with such a reader
        return _elements(row) * (size + INDEX * row.facts.keeps_places)
    return 0


def _elements(row: Row) -> int:
    return row.c_out * row.size_out**2


def shown(size: float) -> str:
    """Return bytes as text: "744 MB", "5.7 GB", "1.2 TB"."""
    if size >= 1e12:
        return f"{size / 1e12:,.1f} TB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
