"""Differences in percent of an error, by hand."""

import pytest
from shelf import Shelf

from reslab.claims.evidence import net
from reslab.claims.quantity import error_gap, final_error, relative, relative_gap

ONE, OTHER = net("cifar_resnet20", shortcut="B"), net("cifar_resnet20")


@pytest.fixture
def shelf(tmp_path):
    found = Shelf(tmp_path / "study")
    for seed, (one, other) in enumerate([(2.5, 2.0), (4.5, 4.0), (5.0, 6.0)]):
        found.run(ONE, seed, 50.0 + one, one)
        found.run(OTHER, seed, 50.0, other)
    return found


def test_a_gap_in_percent_of_the_mean_error(shelf):
    """The mean of the other net is (2 + 4 + 6) / 3 = 4: one base for all seeds."""
    found = relative_gap(ONE, OTHER).read(shelf.evidence())
    assert found == pytest.approx({0: 12.5, 1: 12.5, 2: -25.0})
    assert relative_gap(ONE, OTHER, "train").read(shelf.evidence()) == pytest.approx({0: 5.0, 1: 9.0, 2: 10.0})


def test_only_seeds_that_both_have_are_in_the_mean(shelf):
    shelf.run(OTHER, 3, 50.0, 100.0)
    shelf.run(ONE, 4, 50.0, 100.0)
    assert relative_gap(ONE, OTHER).read(shelf.evidence()) == pytest.approx({0: 12.5, 1: 12.5, 2: -25.0})


def test_of_an_error_of_zero_there_is_no_percent(tmp_path):
    shelf = Shelf(tmp_path / "study")
    assert relative_gap(ONE, OTHER).read(shelf.evidence()) == {}
    for seed in range(3):
        shelf.run(ONE, seed, 1.0, 1.0)
        shelf.run(OTHER, seed, 1.0, 0.0)
    assert relative_gap(ONE, OTHER).read(shelf.evidence()) == {}
    assert len(error_gap(ONE, OTHER, "test").read(shelf.evidence())) == 3


def test_what_it_needs_and_reads():
    made = relative_gap(ONE, OTHER)
    assert set(made.nets) == {ONE, OTHER}
    assert made.key != relative(error_gap(ONE, OTHER, "test"), final_error(ONE, "test")).key
    assert made.key != relative_gap(ONE, OTHER, "train").key != error_gap(ONE, OTHER, "train").key
