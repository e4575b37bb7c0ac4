"""The order of samples: a bijection each epoch, a pure function of (seed, epoch, index), equal on every platform."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reslab.data.order import (
    SORTED,
    _permuted,
    batch_span,
    batches_per_epoch,
    integers,
    permutation,
    positions,
    positions_of,
    random_bits,
    samples_before,
    uniform,
)
from reslab.errors import UserError

MASK = 2**64 - 1


def slow_mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def slow_draw(seed: int, stream: str, epoch: int, index: int) -> int:
    """The same hash in Python's own integers."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:8], "little")
    state = slow_mix((key + epoch * 0x9E3779B97F4A7C15) & MASK)
    return slow_mix((state + (index + 1) * 0x9E3779B97F4A7C15) & MASK)


@given(st.integers(0, 2**40), st.sampled_from(["order", "flip"]), st.integers(0, 10**6), st.integers(0, 10**9))
def test_draw_equals_its_slow_twin(seed, stream, epoch, index):
    assert int(random_bits(seed, stream, epoch, index)) == slow_draw(seed, stream, epoch, index)


GOLDEN_DRAWS = [4360471015379272766, 14629243494437666556, 8495676889351156539]
GOLDEN_MANY = [735391, 359830, 298312, 768636, 1067752]
GOLDEN_ORDER = [6, 4, 3, 0, 7, 2, 1, 5]


def test_golden_values_never_change():
    assert [int(v) for v in random_bits(0, "order", 0, np.arange(3))] == GOLDEN_DRAWS
    assert permutation(0, 0, 8).tolist() == GOLDEN_ORDER


def test_draws_broadcast_and_are_uniform():
    assert random_bits(0, "a", np.arange(4)[:, None], np.arange(5)).shape == (4, 5)
    values = uniform(3, "a", 0, np.arange(100_000))
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.005
    counts = np.bincount(integers(3, "b", 1, np.arange(90_000), 9), minlength=9)
    assert len(counts) == 9
    assert np.all(np.abs(counts - 10_000) < 400)
    assert abs(np.corrcoef(values, uniform(3, "b", 0, np.arange(100_000)))[0, 1]) < 0.02


@given(st.integers(0, 99), st.integers(0, 50), st.integers(1, 300))
def test_permutation_is_a_bijection_and_read_only(seed, epoch, n):
    order = permutation(seed, epoch, n)
    assert sorted(order) == list(range(n))
    with pytest.raises(ValueError, match="read-only"):
        order[0] = 1


def slow_place(seed: int, epoch: int, place: int, n: int) -> int:
    """The Feistel network, one place at a time in Python's own integers."""
    rows = next(r for r in range(1, n + 1) if r * r >= n)
    columns = -(-n // rows)
    while True:
        row, column = divmod(place, columns)
        for number in (0, 2, 4):
            row = (row + slow_draw(seed, f"order round {number}", epoch, column) % rows) % rows
            column = (column + slow_draw(seed, f"order round {number + 1}", epoch, row) % columns) % columns
        place = row * columns + column
        if place < n:
            return place


@given(st.integers(0, 2**40), st.integers(0, 500), st.data())
def test_many_samples_equal_their_slow_twin(seed, epoch, source):
    n = source.draw(st.sampled_from([SORTED + 1, 362 * 363, 1_281_167]))
    start = source.draw(st.integers(0, n - 1)) + epoch * n
    epochs, indices = positions(seed, start, 9, n)  # of the last places some belong to the next epoch
    assert epochs.tolist() == [p // n for p in range(start, start + 9)]
    assert indices.tolist() == [slow_place(seed, p // n, p % n, n) for p in range(start, start + 9)]


@given(st.integers(0, 99), st.integers(0, 50), st.integers(2, 300))
def test_places_are_permuted_whatever_their_number(seed, epoch, n):
    found = _permuted(seed, np.full(n, epoch), np.arange(n), n)
    assert sorted(found) == list(range(n))


def test_the_order_of_many_samples():
    n = 1_281_167
    order = permutation(0, 5, n)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order[1000:1256], positions(0, 5 * n + 1000, 256, n)[1])
    assert permutation(0, 0, n)[:5].tolist() == GOLDEN_MANY
    # as from chance: places and samples hardly correlate, nor do neighbours; each batch sees its share of all parts
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 0.005
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.005

    def classes(order: np.ndarray) -> np.ndarray:
        """How many of a thousand classes, that lie one after another, are in each batch of 256."""
        return np.array([len(np.unique(batch)) for batch in (order[: n // 256 * 256] // 1282).reshape(-1, 256)])

    ours, chance = classes(order), classes(np.random.default_rng(0).permutation(n))
    assert abs(ours.mean() - 1000 * (1 - 0.999**256)) < 0.4  # 226, and the mean's own deviation is 0.07
    assert abs(ours.var() / chance.var() - 1) < 0.15


def test_permutations_differ_by_seed_and_epoch():
    orders = {tuple(permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


@given(st.integers(0, 9), st.integers(0, 200), st.integers(0, 150), st.integers(1, 40))
def test_positions_equal_the_definition(seed, start, count, n):
    epochs, indices = positions(seed, start, count, n)
    expected = [(p // n, permutation(seed, p // n, n)[p % n]) for p in range(start, start + count)]
    assert list(zip(epochs, indices, strict=True)) == expected
    assert epochs.dtype == indices.dtype == np.int64
    indices[:] = 0  # a copy: the cached permutation must not change with it


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.sampled_from(["fill", "drop", "keep"]))
def test_spans_follow_the_rule_for_the_last_batch(iterations, batch, n, last_batch):
    try:
        spans = [batch_span(i, batch, n, last_batch) for i in range(iterations)]
    except UserError:
        assert (last_batch == "drop" and batch > n) or (last_batch == "keep" and n == 1 < batch)
        return
    taken = 0
    for i, (start, count) in enumerate(spans):
        assert samples_before(i, batch, n, last_batch) == taken
        taken += count
        if last_batch != "fill":
            assert start // n == (start + count - 1) // n, "no batch crosses an epoch"
        if i and last_batch != "drop":
            assert start == sum(spans[i - 1]), "nothing is skipped"
        assert count == batch or last_batch == "keep"
        assert count > 1 or batch == 1, "no lone sample"


def test_whole_epochs():
    for last_batch, sizes in {"fill": [4] * 5, "drop": [4, 4], "keep": [4, 4, 2]}.items():
        assert [batch_span(i, 4, 10, last_batch)[1] for i in range(len(sizes))] == sizes
    assert [batch_span(i, 4, 9, "keep") for i in range(3)] == [(0, 4), (4, 5), (9, 4)]  # the lone ninth is merged
    assert [batches_per_epoch(4, 10, how) for how in ("fill", "drop", "keep")] == [3, 2, 3]
    for last_batch in ("keep", "fill"):
        seen = np.concatenate([positions_of(0, i, 3, 9, last_batch)[1] for i in range(3)])
        assert sorted(seen) == list(range(9))


def test_batch_larger_than_the_set():
    with pytest.raises(UserError, match="0 steps"):
        positions_of(0, 0, 11, 10, "drop")
    assert len(positions_of(0, 3, 11, 10, "keep")[1]) == 10
    assert len(positions_of(0, 3, 11, 10, "fill")[1]) == 11
    assert positions_of(0, 0, 5, 1, "fill")[1].tolist() == [0] * 5
    with pytest.raises(UserError, match="one sample"):
        positions_of(0, 0, 5, 1, "keep")
    with pytest.raises(UserError, match="fill, drop, keep"):
        positions_of(0, 0, 5, 9, "wrap")


def test_torch_free_import():
    code = (
        "import sys, reslab.data.order, reslab.data.batches.augment, reslab.data.images.decode, reslab.data.splits, "
        "reslab.data.sets.digits, reslab.data.sets.cifar, reslab.data.sets.folder, reslab.data.sources; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
