"""McNemar's exact test against scipy's binomial test, fractions, and a case by hand."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

from reslab.measure.mcnemar import compared, p_value


def test_as_fractions():
    """Every pair of counts up to 25: the sum over all outcomes that are at least as unequal."""
    for one in range(26):
        for other in range(26):
            n, low = one + other, min(one, other)
            likely = sum(comb(n, k) for k in range(n + 1) if min(k, n - k) <= low)
            assert p_value(one, other) == pytest.approx(float(Fraction(likely, 2**n)), rel=1e-14)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 9), (365, 412), (100, 400), (4000, 4200), (0, 900), (30, 2000)])
def test_as_scipy(one, other):
    assert p_value(one, other) == pytest.approx(binomtest(one, one + other).pvalue, rel=1e-9)
    assert p_value(one, other) == p_value(other, one)


def test_by_hand():
    """1 of 8 discordant images: 2 (1 + 8) / 256."""
    assert p_value(1, 7) == 18 / 256
    assert p_value(0, 0) == p_value(5, 5) == p_value(5, 6) == 1.0
    assert p_value(0, 5000) == 0.0  # below the smallest float


def test_the_counts():
    first = np.array([True, True, False, False, True, False])
    this = np.array([True, False, True, False, False, False])
    found = compared(first, this)
    assert (found.only_first_wrong, found.only_this_wrong, found.both_wrong) == (1, 2, 2)
    assert found.to_dict() == {"only_first_wrong": 1, "only_this_wrong": 2, "both_wrong": 2, "p_value": 1.0}
    assert compared(first, first).p_value == 1.0
