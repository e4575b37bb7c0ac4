"""The error of a trained network without some of its blocks, and with two neighbours swapped.

Veit, Wilber, Belongie 2016, "Residual networks behave like ensembles of relatively shallow networks". A removed block
is replaced by the identity, as in `removal`; only a block that keeps its input's shape can be removed or swapped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch

from reslab.errors import UserError
from reslab.measure.evaluate import Tally
from reslab.measure.passes import Batches, Progress, moved
from reslab.measure.removal import removable
from reslab.nets.model import Network, Note, layer_seed

DRAWS = 5  # sets of k random blocks
MOST_REMOVED = 10  # the largest k


@dataclass(frozen=True)
class Removal:
    """The top-1 error, in percent, without one block."""

    block: str
    error: float


@dataclass(frozen=True)
class Swap:
    """The top-1 error, in percent, if two neighbouring blocks of one shape are computed in the other order."""

    first: str
    second: str
    error: float


@dataclass(frozen=True)
class Draw:
    """The top-1 error, in percent, without a set of blocks."""

    blocks: tuple[str, ...]
    error: float


@dataclass(frozen=True)
class Removals:
    """The top-1 errors, in percent, without `k` blocks: mean, least and largest over the draws."""

    k: int
    mean: float
    low: float
    high: float
    draws: tuple[Draw, ...]


@dataclass(frozen=True)
class Lesions:
    """Top-1 errors, in percent, of a damaged network on the probed samples, in evaluation mode.

    seed       of the random sets
    error      of the whole network
    without    one removed block; blocks in network order
    several    k removed blocks, k = 1, 2 … 10 at most; five different random sets, or every set if there are no more
               than five, and for k = 1
    swaps      two swapped neighbours, in network order
    """

    seed: int
    error: float
    without: tuple[Removal, ...]
    several: tuple[Removals, ...]
    swaps: tuple[Swap, ...]


def checked_blocks(net: Network) -> list[str]:
    """Return the removable blocks in network order. Raises UserError if there are none."""
    blocks = removable(net)
    if not blocks:
        raise UserError(f"--lesions: {net.name} has no block that keeps its input's shape, so none can be removed")
    return blocks


def lesions(net: Network, batches: Batches, n: int, seed: int, tell: Callable[[str], None]) -> Lesions:
    """Return the errors of `net`, in evaluation mode, over its `n` samples with each lesion; `net` is not changed.

    Raises UserError if no block can be removed.
    """
    blocks = checked_blocks(net)
    whole = tuple(net.parts)
    sets = {k: draws(blocks, k, seed) for k in range(1, min(len(blocks), MOST_REMOVED) + 1)}
    pairs = swappable(net)
    orders = [whole, *(_less(whole, s) for k in sets for s in sets[k]), *(_swapped(whole, *pair) for pair in pairs)]
    errors = errors_of(net, list(dict.fromkeys(orders)), batches, n, tell)
    several = []
    for k, chosen in sets.items():
        found = [Draw(blocks, errors[_less(whole, blocks)]) for blocks in chosen]
        values = [draw.error for draw in found]
        several.append(Removals(k, math.fsum(values) / len(values), min(values), max(values), tuple(found)))
    return Lesions(
        seed,
        errors[whole],
        tuple(Removal(block, errors[_less(whole, [block])]) for block in blocks),
        tuple(several),
        tuple(Swap(*pair, errors[_swapped(whole, *pair)]) for pair in pairs),
    )


def draws(blocks: Sequence[str], k: int, seed: int) -> list[tuple[str, ...]]:
    """Return random sets of `k` of the blocks, all different, each in network order.

    Five of them, or every set if there are no more than five, and for k = 1.
    """
    if k == 1 or math.comb(len(blocks), k) <= DRAWS:
        return [*combinations(blocks, k)]
    random, found = np.random.default_rng(layer_seed(seed, f"lesions {k}")), dict[tuple[int, ...], None]()
    while len(found) < DRAWS:
        found[tuple(sorted(random.choice(len(blocks), k, replace=False).tolist()))] = None
    return [tuple(blocks[place] for place in places) for places in found]


def swappable(net: Network) -> list[tuple[str, str]]:
    """Return the pairs of removable blocks that follow each other; both have one shape."""
    blocks = set(removable(net))
    return [(first, second) for first, second in pairwise(net.parts) if {first, second} <= blocks]


def _less(parts: Sequence[str], removed: Iterable[str]) -> tuple[str, ...]:
    gone = set(removed)
    return tuple(part for part in parts if part not in gone)


def _swapped(parts: Sequence[str], first: str, second: str) -> tuple[str, ...]:
    other = {first: second, second: first}
    return tuple(other.get(part, part) for part in parts)


@torch.no_grad()
def errors_of(
    net: Network, orders: Sequence[tuple[str, ...]], batches: Batches, n: int, tell: Callable[[str], None]
) -> dict[tuple[str, ...], float]:
    """Return the top-1 error, in percent, of each sequence of the network's parts.

    What a sequence has in common with the whole network at its beginning is computed once for each batch.
    """
    tallies = {order: Tally(net.spec.classes) for order in orders}
    progress = Progress(tell, "lesions")
    for images, labels in moved(net, batches):
        inputs = [images]
        for part in net.parts:
            inputs.append(net.get_submodule(part)(inputs[-1], Note()))
        for order, tally in tallies.items():
            start = next((i for i, pair in enumerate(zip(order, net.parts, strict=False)) if pair[0] != pair[1]), -1)
            x = inputs[start]
            for part in order[start:] if start >= 0 else ():
                x = net.get_submodule(part)(x, Note())
            tally.add(x, labels)
            progress.step(len(labels) / n / len(orders))
    return {order: tally.scores(n).top1_error for order, tally in tallies.items()}
