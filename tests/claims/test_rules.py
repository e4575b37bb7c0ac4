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
    HOLDS,
    NOT_RUN,
    UNDECIDED,
    VERDICTS,
    Above,
    Always,
    Below,
    Within,
    combined,
    figure,
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
