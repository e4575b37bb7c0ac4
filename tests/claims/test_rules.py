"""Rules on figures: the interval against scipy, every verdict of every rule, and how parts make a whole."""

import itertools
import math
import random

import pytest
from scipy import stats

from reslab.claims.rules import (
    CONDITION,
    DECIDED,
    FAILS,
    FEWEST,
    HOLDS,
    NOT_RUN,
    UNDECIDED,
    VERDICTS,
    Above,
    Always,
    Below,
    Figure,
    Within,
    combined,
    figure,
    seeds_needed,
    together,
)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_interval_is_students(n):
    rng = random.Random(n)
    values = [rng.gauss(3.0, 2.0) for _ in range(n)]
    found = figure(values)
    low, high = stats.t.interval(0.95, n - 1, loc=sum(values) / n, scale=stats.sem(values))
    assert (found.n, found.mean) == (n, pytest.approx(sum(values) / n))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.std == pytest.approx(stats.tstd(values))


def test_one_value_has_no_interval_and_none_is_nothing():
    found = figure([4.0])
    assert (found.low, found.high, found.mean) == (-math.inf, math.inf, 4.0)
    assert math.isnan(found.std)
    assert figure([]) is None
    for rule in (Above(0.0), Below(9.0), Within(9.0)):
        assert rule(found) == UNDECIDED, "one seed decides nothing"


SPREAD = (-0.1, 0.0, 0.1)  # half width of its interval: 0.248


@pytest.mark.parametrize(
    ("rule", "centre", "verdict"),
    [
        (Above(1.0), 1.3, HOLDS), (Above(1.0), 0.7, FAILS), (Above(1.0), 1.1, UNDECIDED), (Above(1.0), 0.9, UNDECIDED),
        (Below(1.0), 0.7, HOLDS), (Below(1.0), 1.3, FAILS), (Below(1.0), 1.1, UNDECIDED), (Below(1.0), 0.9, UNDECIDED),
        (Within(1.0), 0.0, HOLDS), (Within(1.0), 0.7, HOLDS), (Within(1.0), -0.7, HOLDS), (Within(1.0), 1.3, FAILS),
        (Within(1.0), -1.3, FAILS), (Within(1.0), 0.9, UNDECIDED), (Within(1.0), -1.1, UNDECIDED),
    ],
)  # fmt: skip
def test_an_interval_against_a_bar(rule, centre, verdict):
    assert rule(figure([centre + s for s in SPREAD])) == verdict


@pytest.mark.parametrize("rule", [Above(1.0), Below(1.0), Within(1.0)])
@pytest.mark.parametrize("value", [-50.0, 0.0, 50.0])
def test_no_rule_decides_on_fewer_than_three_seeds(rule, value):
    """However small their spread: of two seeds it is hardly known."""
    assert FEWEST == 3
    for n in range(1, FEWEST):
        assert rule(figure([value] * n)) == UNDECIDED
    assert rule(figure([value] * FEWEST)) in (HOLDS, FAILS)


@pytest.mark.parametrize(
    "rule", [Above(1.0), Below(1.0), Within(1.0), Above(-3.0), Below(3.0)], ids=lambda rule: type(rule).__name__
)
@pytest.mark.parametrize(
    ("centre", "spread"), [(1.4, 1.0), (0.9, 0.5), (-1.2, 0.3), (0.2, 2.0), (1.02, 0.4), (9.0, 0.1)]
)
def test_seeds_needed_against_every_count(rule, centre, spread):
    """The first count, from three on, at which the rule decides a figure of this mean and spread."""

    def decides(n):
        half = stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)
        return rule(Figure((0.0,) * n, centre, spread, centre - half, centre + half)) in (HOLDS, FAILS)

    needed = seeds_needed(Figure((0.0,) * 3, centre, spread, -math.inf, math.inf), rule)
    first = next(n for n in range(FEWEST, 10_000) if decides(n))
    assert needed == first


def test_no_number_of_seeds_would_decide():
    at_limit = Figure((0.0,) * 3, 1.0, 0.5, -1.0, 3.0)
    for rule in (Above(1.0), Below(1.0), Within(1.0)):
        assert seeds_needed(at_limit, rule) == math.inf
        assert seeds_needed(figure([0.5]), rule) == math.inf  # one value has no spread
        assert seeds_needed(Figure((0.0,) * 3, 1.0 + 1e-9, 0.5, -1.0, 3.0), rule) == math.inf  # more than ten million
    assert seeds_needed(at_limit, Always(0.0, 2.0)) == math.inf  # what is computed has no seeds
    assert seeds_needed(figure([4.0, 4.0, 4.0]), Above(1.0)) == FEWEST


def test_the_bar_itself_belongs_to_one_side():
    at_bar = figure([1.0, 1.0, 1.0])
    assert (Above(1.0)(at_bar), Below(1.0)(at_bar), Within(1.0)(at_bar)) == (FAILS, HOLDS, HOLDS)


@pytest.mark.parametrize(
    ("rule", "values", "verdict"),
    [
        (Always(high=1e-12), [0.0, 1e-13], HOLDS), (Always(high=1e-12), [0.0, 1e-11], FAILS),
        (Always(3.0, 3.0), [3.0], HOLDS), (Always(3.0, 3.0), [3.0, 4.0], FAILS),
        (Always(low=1.0), [1.0, 5.0], HOLDS), (Always(low=1.0), [0.5], FAILS),
    ],
)  # fmt: skip
def test_what_is_computed_has_every_case(rule, values, verdict):
    assert rule(figure(values)) == verdict


def test_a_claim_is_all_of_its_mains():
    for mains in itertools.product(VERDICTS, repeat=2):
        found = combined(mains)
        if NOT_RUN in mains:
            assert found == NOT_RUN
        elif set(mains) == {HOLDS}:
            assert found == HOLDS
        elif FAILS in mains and (HOLDS in mains or CONDITION in mains):
            assert found == CONDITION
        elif UNDECIDED in mains:  # beside FAILS too: what is undecided could still make it a condition
            assert found == UNDECIDED
        elif FAILS in mains:
            assert found == FAILS
        else:
            assert found == CONDITION
    assert combined([]) == NOT_RUN


def test_a_limit_that_holds_is_a_condition():
    for limit in VERDICTS:
        assert combined([HOLDS], [limit]) == (CONDITION if limit in (HOLDS, CONDITION) else HOLDS)
        for main in (FAILS, UNDECIDED, NOT_RUN):
            assert combined([main], [limit]) == main


def test_studies_that_differ_make_a_condition():
    assert together([]) == NOT_RUN
    assert together([NOT_RUN, UNDECIDED]) == UNDECIDED
    for one in DECIDED:
        assert together([one, NOT_RUN, UNDECIDED, one]) == one
        for other in DECIDED:
            assert together([one, other]) == (one if one == other else CONDITION)
