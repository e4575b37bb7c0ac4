"""Draws of crops and flips: in range, balanced, independent of each other and of what else is in the batch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reslab.data.batches.augment import LONGEST, SHORTEST, crop_flip, flips, scale_crop_flip, windows

MANY = np.arange(50_000)


def test_crop_flip_ranges_and_frequencies():
    dy, dx, flip = crop_flip(0, 3, MANY, 4)
    assert dy.dtype == dx.dtype == np.int64
    assert flip.dtype == bool
    for offsets in (dy, dx):
        counts = np.bincount(offsets)
        assert len(counts) == 9
        assert np.all(np.abs(counts / len(MANY) - 1 / 9) < 0.01)
    assert abs(flip.mean() - 0.5) < 0.01
    assert np.abs(np.corrcoef([dy, dx, flip]) - np.eye(3)).max() < 0.02


def test_no_padding_means_one_place():
    dy, dx, _ = crop_flip(0, 0, MANY, 0)
    assert not dy.any()
    assert not dx.any()


def test_scale_crop_flip_is_the_papers_range():
    side, top, left, flip = scale_crop_flip(0, 0, MANY)
    assert side.min() >= SHORTEST
    assert side.max() < LONGEST
    assert round(224 * side.min()) == 256
    assert round(224 * side.max()) == 480
    for place in (top, left):
        assert place.min() >= 0
        assert place.max() < 1
    assert abs(flip.mean() - 0.5) < 0.01


@given(st.integers(0, 9), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 999)), min_size=1, max_size=20))
def test_a_draw_does_not_depend_on_its_batch(seed, samples):
    epochs, indices = np.array(samples).T
    for draws in (lambda e, i: crop_flip(seed, e, i, 4), lambda e, i: scale_crop_flip(seed, e, i)):
        together = draws(epochs, indices)
        for k in range(len(samples)):
            alone = draws(epochs[k], indices[k : k + 1])
            assert [v[k] for v in together] == [v[0] for v in alone]


def test_windows_are_crops():
    images = np.arange(2 * 6 * 7 * 3, dtype=np.uint8).reshape(2, 6, 7, 3)
    table = windows(images, 4, 5)
    assert table.shape == (2, 3, 3, 4, 15)
    assert not table.flags.writeable
    for n in range(2):
        for y in range(3):
            for x in range(3):
                assert np.array_equal(table[n, y, x].reshape(4, 5, 3), images[n, y : y + 4, x : x + 5])


def test_alternating_flips_show_each_side_once_in_two_epochs():
    seen = np.stack([flips(7, epoch, MANY, "alternating") for epoch in range(5)])
    assert np.array_equal(seen[1:], ~seen[:-1])
    assert np.array_equal(seen[0], flips(7, 0, MANY))  # the first epoch is that of random flips
    assert not np.array_equal(seen[2], flips(7, 2, MANY))
    both = flips(7, np.repeat([3, 4], 50), np.arange(100), "alternating")  # a batch that lies in two epochs
    assert np.array_equal(both, np.concatenate([seen[3][:50], seen[4][50:100]]))


def test_flips_change_no_crop():
    for draw in (lambda how: crop_flip(1, 5, MANY, 4, how), lambda how: scale_crop_flip(1, 5, MANY, how)):
        *one, _ = draw("random")
        *other, flip = draw("alternating")
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        assert np.array_equal(flip, flips(1, 5, MANY, "alternating"))
