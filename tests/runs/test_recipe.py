"""Counts that no run can have are refused as fields, before anything is computed from them."""

import pytest

from reslab.data.order import batch_span
from reslab.errors import UserError
from reslab.runs.limits import LARGEST
from reslab.runs.recipe import Recipe, changed, parsed, scaled


@pytest.mark.parametrize("key", [*LARGEST, "drops"])
@pytest.mark.parametrize("beyond", [1, 10**20, 10**5_000], ids=["one", "more", "5,000 digits"])
def test_too_large_a_count_is_refused_by_name(key, beyond):
    """Also one of so many digits that Python writes it no more."""
    most = LARGEST.get(key, LARGEST["iterations"])
    value = most + beyond
    with pytest.raises(UserError) as told:
        changed(Recipe(), {key: [1, value] if key == "drops" else value})
    assert str(told.value) == f"recipe: {key} is too large; the largest value is {most:,}"


@pytest.mark.parametrize("key", [*LARGEST, "drops"])
def test_the_largest_is_taken(key):
    most = LARGEST.get(key, LARGEST["iterations"])
    more = {"batch": most} if key == "bn_batch" else {}
    assert changed(Recipe(), {key: [most] if key == "drops" else most, **more})


def test_the_longest_run_of_the_largest_batch_is_counted_in_64_bits():
    for last in ("fill", "drop", "keep"):
        batch = LARGEST["batch"]
        start, count = batch_span(LARGEST["iterations"] - 1, batch, 2 * batch + 3, last)
        assert start + count + batch < 2**63


@pytest.mark.parametrize("factor", [1e8, 1e20, 1e308])
def test_a_scale_that_makes_a_run_too_long(factor):
    with pytest.raises(UserError, match="recipe: iterations is too large"):
        scaled(Recipe(), factor)


def test_text_of_thousands_of_digits():
    with pytest.raises(UserError, match="must be a whole number"):
        parsed("batch", "9" * 5_000)
