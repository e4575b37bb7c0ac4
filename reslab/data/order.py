"""Which sample when: every draw is a pure function of (seed, stream, epoch, index), no generator holds state.

The mixer is splitmix64 (Steele, Lea, Flood 2014), used as a counter-based hash: within one epoch the draw is a
bijection of the index, so sorting the draws gives a permutation without ties. Nothing has to be saved for a resume
and nothing fast-forwarded: sample number `p` of a run is `permutation(seed, p // n, n)[p % n]`.

Sorting more than `SORTED` draws would keep every epoch (and every worker) waiting for its first batch; there each
place is permuted by itself, by a Feistel network over a grid (Black, Rogaway 2002, "Ciphers with arbitrary finite
domains").
"""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np

from reslab.errors import UserError

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
SORTED = 2**17  # samples; part of what a seed means, never to be changed
ROUNDS = 6  # of the Feistel network; four make it hard to tell from chance (Luby, Rackoff 1988)
LAST_BATCH = ("fill", "drop", "keep")


@functools.lru_cache(maxsize=64)
def _key(seed: int, stream: str) -> int:
    # SHA-256 keeps streams apart whatever their names; read little-endian so that every platform agrees.
    return int.from_bytes(hashlib.sha256(f"{int(seed)}/{stream}".encode()).digest()[:8], "little")


def _mix(z: np.ndarray) -> np.ndarray:
    # Arrays of at least one dimension: numpy wraps them silently, but warns when a scalar overflows.
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed


def _counter(value: np.ndarray | int) -> np.ndarray:
    return np.atleast_1d(np.asarray(value, dtype=np.int64)).astype(np.uint64)


def draw(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int) -> np.ndarray:
    """64 random bits for each (epoch, index), which broadcast against each other.

    Returns uint64 of the broadcast shape (0-d when both are plain integers). `stream` names what is drawn, so that
    the order and the crops of one sample are independent.
    """
    state = _mix(np.uint64(_key(int(seed), stream)) + _counter(epoch) * _GAMMA)
    bits = _mix(state + (_counter(index) + np.uint64(1)) * _GAMMA)
    return bits.reshape(np.broadcast_shapes(np.shape(epoch), np.shape(index)))


def uniform(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int) -> np.ndarray:
    """float64 in [0, 1), 53 bits each; arguments and shape as in `draw`."""
    return (draw(seed, stream, epoch, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int, high: int) -> np.ndarray:
    """int64 in [0, high), 1 <= high <= 2**31; arguments and shape as in `draw`. Bias below high / 2**32."""
    if not 1 <= high <= 2**31:
        raise ValueError(f"high must be in 1..2**31, not {high}")
    top = draw(seed, stream, epoch, index) >> np.uint64(32)
    return ((top * np.uint64(high)) >> np.uint64(32)).astype(np.int64)


@functools.lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of `n` samples in `epoch`: int64[n], read-only (the latest two are cached)."""
    if n > SORTED:
        order = _permuted(seed, np.full(n, epoch, np.int64), np.arange(n), n)
    else:
        order = np.argsort(draw(seed, "order", epoch, np.arange(n)), kind="stable").astype(np.int64, copy=False)
    order.setflags(write=False)
    return order


def positions(seed: int, start: int, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(epochs, indices), int64[count] each: samples start .. start + count - 1 of the endless stream over `n`."""
    numbers = np.arange(start, start + count, dtype=np.int64)
    epochs, places = np.divmod(numbers, n)
    if n > SORTED:
        return epochs, _permuted(seed, epochs, places, n)
    if count and epochs[0] == epochs[-1]:  # the usual case: one slice of one permutation
        return epochs, permutation(seed, int(epochs[0]), n)[places[0] : places[0] + count].copy()
    indices = np.empty(count, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = permutation(seed, int(epoch), n)[places[here]]
    return epochs, indices


def _permuted(seed: int, epochs: np.ndarray, places: np.ndarray, n: int) -> np.ndarray:
    """Where each of `places` (int64 [M], 0 .. n - 1) of its epoch leads, each by itself: int64 [M].

    A place is a row and a column of a grid hardly larger than `n`; a round shifts one by a draw made of the other, so
    it can be undone, and all of them permute the grid. A place that leaves 0 .. n - 1 goes on until it is back.
    """
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    found, todo = places.copy(), np.arange(len(places))
    while len(todo):
        row, column = np.divmod(found[todo], columns)
        for number in range(0, ROUNDS, 2):
            shift = draw(seed, f"order round {number}", epochs[todo], column) % np.uint64(rows)
            row = (row + shift.astype(np.int64)) % rows
            shift = draw(seed, f"order round {number + 1}", epochs[todo], row) % np.uint64(columns)
            column = (column + shift.astype(np.int64)) % columns
        found[todo] = row * columns + column
        todo = todo[found[todo] >= n]
    return found


def batches_per_epoch(batch: int, n: int, last_batch: str) -> int:
    """Iterations in one epoch: "drop" floor, "keep" ceil (less one where a lone sample is merged), "fill" ceil.

    Raises UserError where the choice gives no step at all, or a batch of one sample that nobody asked for.
    """
    if last_batch not in LAST_BATCH:
        raise UserError(f"last_batch: {last_batch!r} is unknown; choose one of {', '.join(LAST_BATCH)}")
    if batch < 1 or n < 1:
        raise UserError(f"batch: {batch} samples from a training split of {n} gives no step; both must be at least 1")
    if last_batch == "drop":
        if batch > n:
            raise UserError(
                f"batch: {batch} is more than the {n} training samples, and last_batch = 'drop' would leave 0 steps; "
                "use a smaller batch or last_batch = 'fill'"
            )
        return n // batch
    if last_batch == "keep" and n == 1 and batch > 1:
        raise UserError(
            "batch: the training split has one sample, and batch normalisation over one sample is undefined; "
            "use last_batch = 'fill'"
        )
    lone = last_batch == "keep" and batch > 1 and n > batch and n % batch == 1
    return -(-n // batch) - lone


def batch_span(iteration: int, batch: int, n: int, last_batch: str) -> tuple[int, int]:
    """(start, count): iteration `iteration` (from 0) takes the sample numbers start .. start + count - 1.

    "fill": the endless stream, the last batch of an epoch filled from the next; always `batch` samples.
    "drop": floor(n / batch) batches an epoch, the rest of the epoch is skipped. `batch > n` is a UserError.
    "keep": ceil(n / batch) batches an epoch, the last one shorter (`batch > n` gives n samples). A lone last sample
    is *merged* into the batch before it (batch + 1 samples), because batch normalisation over one sample would
    divide by a variance of zero; a split of one single sample is a UserError.
    """
    if last_batch == "fill" and batch >= 1 and n >= 1:
        return iteration * batch, batch
    per_epoch = batches_per_epoch(batch, n, last_batch)
    epoch, k = divmod(iteration, per_epoch)
    count = n - k * batch if last_batch == "keep" and k == per_epoch - 1 else batch
    return epoch * n + k * batch, count


def positions_of(seed: int, iteration: int, batch: int, n: int, last_batch: str) -> tuple[np.ndarray, np.ndarray]:
    """What iteration `iteration` (from 0) reads: (epochs, indices), int64 each; see `batch_span` for `last_batch`."""
    return positions(seed, *batch_span(iteration, batch, n, last_batch), n)


def samples_before(iteration: int, batch: int, n: int, last_batch: str) -> int:
    """How many samples the iterations 0 .. iteration - 1 took together."""
    start, _ = batch_span(iteration, batch, n, last_batch)
    return iteration * batch if last_batch == "drop" else start
