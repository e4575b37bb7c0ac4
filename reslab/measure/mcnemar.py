"""McNemar's exact test: whether two networks differ in the errors that they make on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """A network compared with the first one, on the same images.

    only_first_wrong  images on which only the first network is wrong
    only_this_wrong   images on which only this network is wrong
    both_wrong        images on which both are wrong
    p_value           of McNemar's exact test, two-sided
    """

    only_first_wrong: int
    only_this_wrong: int
    both_wrong: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain types."""
        return {
            "only_first_wrong": self.only_first_wrong, "only_this_wrong": self.only_this_wrong,
            "both_wrong": self.both_wrong, "p_value": self.p_value,
        }  # fmt: skip


def compared(first_right: np.ndarray, this_right: np.ndarray) -> Comparison:
    """Return the comparison of two networks from whether each is right, bool [N] each, on the same images in order."""
    first_alone = int((~first_right & this_right).sum())
    this_alone = int((first_right & ~this_right).sum())
    both = int((~first_right & ~this_right).sum())
    return Comparison(first_alone, this_alone, both, p_value(first_alone, this_alone))


def p_value(one: int, other: int) -> float:
    """Return the probability of counts at least as unequal if each discordant image is either network's by a fair coin.

    Two-sided: 2 P(X <= min(one, other)) for X binomial(one + other, 1/2), at most 1.
    """
    n, k = one + other, min(one, other)
    # P(X <= k) = C(n, k) / 2^n (1 + k / (n - k + 1) + …): the first factor exact in whole numbers, the terms falling.
    terms, term = [1.0], 1.0
    for i in range(k, 0, -1):
        term *= i / (n - i + 1)
        terms.append(term)
        if term < 1e-18:
            break
    share: float = math.comb(n, k) / 2**n
    return min(1.0, 2.0 * share * math.fsum(terms))
