"""Calibration: whether a network is right as often as it is confident, and the temperature that corrects it.

Expected calibration error and temperature as in C. Guo et al. 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15  # of equal width; a bin holds its upper end, as in Guo et al.
COLDEST, HOTTEST = 0.01, 100.0  # temperatures outside these are no correction


@dataclass(frozen=True)
class Bin:
    """The samples whose confidence is above `low` and at most `high`: n, mean confidence, accuracy; all from 0 to 1.

    Both means are None for an empty bin.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, in percent."""
        values = {"low": self.low, "high": self.high, "confidence": self.confidence, "accuracy": self.accuracy}
        return {"n": self.n, **{key: None if value is None else 100.0 * value for key, value in values.items()}}


@dataclass(frozen=True)
class Temperature:
    """A temperature fitted on the val split: scores are divided by it.

    value   None if none was fitted
    n       number of images that it was fitted on
    reason  why none was fitted; or ""
    """

    value: float | None
    n: int = 0
    reason: str = ""


def bins(confidence: np.ndarray, right: np.ndarray) -> list[Bin]:
    """Return the 15 bins of confidences (float64 [N], 0 to 1) and whether each answer is right (bool [N]).

    Samples with a confidence of NaN, whose scores are not finite, are in no bin.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], right[known]
    places = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    result = []
    for place in range(BINS):
        inside = places == place
        n = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if n else (None, None)
        result.append(Bin(place / BINS, (place + 1) / BINS, n, *means))
    return result


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return the expected calibration error in percent; None without samples.

    The mean over samples of |accuracy - mean confidence| of their bin.
    """
    total = sum(b.n for b in bins)
    gaps = [b.n * abs(b.accuracy - b.confidence) for b in bins if b.accuracy is not None and b.confidence is not None]
    return 100.0 * math.fsum(gaps) / total if total else None


def fitted_temperature(logits: Tensor, labels: Tensor) -> Temperature:
    """Return the temperature T that minimises the mean cross-entropy of logits / T.

    logits   float64 [N, C]; rows that are not finite are left out
    labels   int64 [N]
    The cross-entropy is convex in 1 / T, so its slope has one zero. None is fitted if every image is right (T would be
    0) or if T would be outside 0.01 to 100.
    """
    from scipy.optimize import brentq

    fit = torch.isfinite(logits).all(1)
    logits, labels = logits[fit].double(), labels[fit]
    n = len(labels)
    if not n:
        return Temperature(None, 0, "no image of val has finite scores")
    if bool((logits.argmax(1) == labels).all()):
        return Temperature(None, n, "every image of val is right, so no temperature is the best one")
    true = logits.gather(1, labels[:, None])[:, 0]

    def slope(exponent: float) -> float:
        """Return the derivative of the mean cross-entropy with respect to b = 1 / T = exp(exponent)."""
        shares = F.softmax(logits * math.exp(exponent), 1)
        return float(((shares * logits).sum(1) - true).mean())

    low, high = -math.log(HOTTEST), -math.log(COLDEST)
    if slope(low) >= 0 or slope(high) <= 0:
        return Temperature(None, n, f"no temperature from {COLDEST:g} to {HOTTEST:g} is the best one on val")
    return Temperature(math.exp(-brentq(slope, low, high)), n)
