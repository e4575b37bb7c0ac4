"""Splits that never mix: hold-out, digits, labels out of range, asking for a split that is not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reslab.data.sets.digits import digits
from reslab.data.splits import Data, Files, Memory, fingerprint, hold_out, stratified
from reslab.errors import UserError


def memory(labels) -> Memory:
    labels = np.asarray(labels, np.int64)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return Memory(images, labels)


def data(labels, **parts) -> Data:
    return Data("tiny", ("a", "b", "c"), 1, 2, memory(labels), parts.get("val"), parts.get("test"), "f" * 64)


def test_digits_is_fixed():
    d = digits()
    assert (len(d.train), len(d.test), d.val) == (1297, 500, None)
    assert d.train.images.dtype == np.uint8
    assert d.train.images.shape == (1297, 8, 8, 1)
    assert d.train.images.max() == 255
    counts = np.bincount(d.test.labels)
    assert counts.min() >= 48
    assert counts.max() <= 51
    assert d.fingerprint == "1d41105fae2c39ff4f941c0a2951e25c31e7b6890a0453a4d34784056d798318"
    everything = np.concatenate([d.train.images, d.test.images]).reshape(1797, -1)
    from sklearn.datasets import load_digits

    source = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, source))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=200), st.data())
def test_stratified_takes_the_exact_number_as_evenly_as_it_can(labels, source):
    labels = np.array(labels)
    count = source.draw(st.integers(0, len(labels)))
    chosen = stratified(labels, count, 1, "test")
    assert chosen.sum() == count
    for kind in np.unique(labels):
        share = (labels == kind).sum() * count / len(labels)
        assert abs(chosen[labels == kind].sum() - share) < 1


def test_hold_out_moves_samples_and_keeps_the_fingerprint():
    d = data(np.arange(90) % 3)
    held = hold_out(d, 30)
    assert (len(held.train), len(held.val)) == (60, 30)
    assert np.bincount(held.val.labels).tolist() == [10, 10, 10]
    numbers = [set(part.images[:, 0, 0, 0].tolist()) for part in (held.train, held.val)]
    assert numbers[0] | numbers[1] == set(range(90))
    assert not numbers[0] & numbers[1]
    assert held.fingerprint == d.fingerprint
    assert "30 of 90" in held.notes[-1]
    again, other = hold_out(d, 30), hold_out(d, 30, seed=1)
    assert np.array_equal(held.val.images, again.val.images)
    assert not np.array_equal(held.val.images, other.val.images)


@pytest.mark.parametrize("count", [0, -1, 9, 10])
def test_hold_out_leaves_something_to_train_on(count):
    with pytest.raises(UserError, match=r"give 1\.\.8"):
        hold_out(data(np.zeros(9)), count)


def test_hold_out_refuses_a_second_val():
    with pytest.raises(UserError, match="already"):
        hold_out(hold_out(data(np.arange(9) % 3), 3), 3)


def test_asking_for_a_split_that_is_not_there():
    d = data([0, 1, 2], test=memory([0]))
    assert len(d.split("test")) == 1
    with pytest.raises(UserError, match=r"no 'tset' split \(there are: train, test\); did you mean test\?"):
        d.split("tset")
    with pytest.raises(UserError, match="hold some training samples out"):
        d.split("val")


@pytest.mark.parametrize("label", [-1, 3, 1000])
def test_fault_18_label_out_of_range(label):
    with pytest.raises(UserError, match=rf"sample 2: label {label} is outside 0\.\.2"):
        data([0, 1, label])
    files = Files(("x.jpg", "y.jpg"), np.array([0, label]), 32)
    with pytest.raises(UserError, match=r"y\.jpg"):
        Data("tiny", ("a", "b", "c"), 3, 32, files, None, None, "")


def test_subset_and_shapes():
    part = memory([0, 1, 2, 0])
    assert part.subset(np.array([2, 0])).images[:, 0, 0, 0].tolist() == [2, 0]
    assert part.subset(part.labels == 0).labels.tolist() == [0, 0]
    files = Files(("a", "b", "c"), np.array([0, 1, 2]), 8).subset(np.array([True, False, True]))
    assert files.paths == ("a", "c")
    assert repr(files) == "Files(2 images to 8×8)"
    with pytest.raises(ValueError, match="uint8"):
        Memory(np.zeros((2, 2, 2, 1)), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="int64"):
        Memory(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(3, np.int64))


def test_fingerprint_sees_content_shape_and_boundaries():
    a = np.arange(6, dtype=np.uint8)
    prints = [[a], [a.reshape(2, 3)], [a.astype(np.int64)], [a[:3], a[3:]], [bytes(a)], [b"ab", b"c"], [b"a", b"bc"]]
    assert len({fingerprint(p) for p in prints}) == len(prints)
