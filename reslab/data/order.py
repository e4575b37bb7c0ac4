"""The order of samples, and random numbers as a pure function of (seed, stream, epoch, index) without a generator.

The function is splitmix64 (Steele, Lea, Flood 2014), used as a counter-based hash: within one epoch it maps each index
to other bits, so sorting by the bits gives a permutation without ties. A resumed run needs no saved state and skips
nothing: sample number `p` of a run is `permutation(seed, p // n, n)[p % n]`.

Sorting more than `SORTED` numbers would delay the first batch of every epoch, in every worker. For larger sets each
position is permuted by itself, by a Feistel network over a grid (Black, Rogaway 2002, "Ciphers with arbitrary finite
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
SORTED = 2**17  # samples; never change it, or a seed gives another order
ROUNDS = 6  # of the Feistel network; four are hard to distinguish from random (Luby, Rackoff 1988)
LAST_BATCH = ("fill", "drop", "keep")


@functools.lru_cache(maxsize=64)
def _key(seed: int, stream: str) -> int:
    # SHA-256 makes streams independent for any names; little-endian, so that all platforms agree.
    return int.from_bytes(hashlib.sha256(f"{int(seed)}/{stream}".encode()).digest()[:8], "little")


def _mix(z: np.ndarray) -> np.ndarray:
    # z has at least one dimension: numpy lets arrays overflow silently, but warns about scalars.
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed


def _counter(value: np.ndarray | int) -> np.ndarray:
    return np.atleast_1d(np.asarray(value, dtype=np.int64)).astype(np.uint64)


def random_bits(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int) -> np.ndarray:
    """Return 64 random bits for each (epoch, index): uint64 in their broadcast shape, 0-d for plain integers.

    stream   name of the purpose, so that, for example, the order and the crops of a sample are independent
    """
    state = _mix(np.uint64(_key(int(seed), stream)) + _counter(epoch) * _GAMMA)
    bits = _mix(state + (_counter(index) + np.uint64(1)) * _GAMMA)
    return bits.reshape(np.broadcast_shapes(np.shape(epoch), np.shape(index)))


def uniform(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int) -> np.ndarray:
    """Return float64 in [0, 1) with 53 random bits each; arguments and shape as in `random_bits`."""
    return (random_bits(seed, stream, epoch, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(seed: int, stream: str, epoch: np.ndarray | int, index: np.ndarray | int, high: int) -> np.ndarray:
    """Return int64 in [0, high), 1 <= high <= 2**31; otherwise as `random_bits`. The bias is below high / 2**32."""
    if not 1 <= high <= 2**31:
        raise ValueError(f"high must be in 1..2**31, not {high}")
    top = random_bits(seed, stream, epoch, index) >> np.uint64(32)
    return ((top * np.uint64(high)) >> np.uint64(32)).astype(np.int64)


@functools.lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the order of `n` samples in `epoch`: int64 [n], read-only. The latest two are cached."""
    if n > SORTED:
        order = _permuted(seed, np.full(n, epoch, np.int64), np.arange(n), n)
    else:
        bits = random_bits(seed, "order", epoch, np.arange(n))
        order = np.argsort(bits, kind="stable").astype(np.int64, copy=False)
    order.setflags(write=False)
    return order


def positions(seed: int, start: int, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (epochs, indices), int64 [count] each: samples start .. start + count - 1 of the stream of epochs."""
    numbers = np.arange(start, start + count, dtype=np.int64)
    epochs, offsets = np.divmod(numbers, n)
    if n > SORTED:
        return epochs, _permuted(seed, epochs, offsets, n)
    if count and epochs[0] == epochs[-1]:  # the usual case: one slice of one permutation
        return epochs, permutation(seed, int(epochs[0]), n)[offsets[0] : offsets[0] + count].copy()
    indices = np.empty(count, dtype=np.int64)
    for epoch in np.unique(epochs):
        is_epoch = epochs == epoch
        indices[is_epoch] = permutation(seed, int(epoch), n)[offsets[is_epoch]]
    return epochs, indices


def _permuted(seed: int, epochs: np.ndarray, offsets: np.ndarray, n: int) -> np.ndarray:
    """Return the sample (int64 [M]) at each of `offsets` (int64 [M], 0 .. n - 1) of its epoch, without the others.

    An offset is a row and a column of a grid slightly larger than `n`. Each round shifts one of them by a random number
    that depends on the other. A round can be inverted, so all rounds together permute the grid. A result outside of
    0 .. n - 1 is permuted again until it is inside.
    """
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    indices, outside = offsets.copy(), np.arange(len(offsets))
    while len(outside):
        row, column = np.divmod(indices[outside], columns)
        for number in range(0, ROUNDS, 2):
            shift = random_bits(seed, f"order round {number}", epochs[outside], column) % np.uint64(rows)
            row = (row + shift.astype(np.int64)) % rows
            shift = random_bits(seed, f"order round {number + 1}", epochs[outside], row) % np.uint64(columns)
            column = (column + shift.astype(np.int64)) % columns
        indices[outside] = row * columns + column
        outside = outside[indices[outside] >= n]
    return indices


def batches_per_epoch(batch: int, n: int, last_batch: str) -> int:
    """Return the iterations in one epoch: floor(n / batch) for "drop", ceil for "fill" and "keep".

    With "keep", a single last sample is merged into the batch before it, which makes one iteration less. Raises
    UserError if there would be no iteration, or only a batch of one sample although `batch` is larger.
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
    is_merged = last_batch == "keep" and batch > 1 and n > batch and n % batch == 1
    return -(-n // batch) - is_merged


def batch_span(iteration: int, batch: int, n: int, last_batch: str) -> tuple[int, int]:
    """Return (start, count): iteration `iteration` (from 0) takes the samples number start .. start + count - 1.

    "fill": the last batch of an epoch is filled from the next epoch; always `batch` samples.
    "drop": floor(n / batch) batches an epoch; the rest of the epoch is skipped. Raises UserError if batch > n.
    "keep": ceil(n / batch) batches an epoch, the last one shorter (batch > n gives n samples). A single last sample is
    merged into the batch before it (batch + 1 samples), because batch normalisation over one sample would divide by a
    variance of zero. Raises UserError for a split of one sample.
    """
    if last_batch == "fill" and batch >= 1 and n >= 1:
        return iteration * batch, batch
    per_epoch = batches_per_epoch(batch, n, last_batch)
    epoch, k = divmod(iteration, per_epoch)
    count = n - k * batch if last_batch == "keep" and k == per_epoch - 1 else batch
    return epoch * n + k * batch, count


def positions_of(seed: int, iteration: int, batch: int, n: int, last_batch: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (epochs, indices), int64 each, of the samples of `iteration` (from 0); `last_batch`: see `batch_span`."""
    return positions(seed, *batch_span(iteration, batch, n, last_batch), n)


def samples_before(iteration: int, batch: int, n: int, last_batch: str) -> int:
    """Return the number of samples in the iterations 0 .. iteration - 1."""
    start, _ = batch_span(iteration, batch, n, last_batch)
    return iteration * batch if last_batch == "drop" else start
