"""Calibration: bins against a slow loop, hand-computed errors, and temperatures that are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from reslab.measure.confidence import BINS, bins, calibration_error, fitted_temperature


def test_a_case_by_hand():
    """Ten answers at 0.95, eight right; ten at 0.55, six right: (10 x 0.15 + 10 x 0.05) / 20 = 10 %."""
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    right = np.array([True] * 8 + [False] * 2 + [True] * 6 + [False] * 4)
    parts = bins(confidence, right)
    assert calibration_error(parts) == pytest.approx(10.0)
    assert [(place, part.n) for place, part in enumerate(parts) if part.n] == [(8, 10), (14, 10)]
    assert parts[8].to_dict() == pytest.approx(
        {"n": 10, "low": 100 * 8 / 15, "high": 60.0, "confidence": 55.0, "accuracy": 60.0}
    )
    assert parts[0].to_dict()["accuracy"] is None


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_as_a_slow_loop(n):
    draws = np.random.default_rng(n)
    confidence = draws.uniform(0.1, 1, n)
    right = draws.uniform(size=n) < confidence**2
    total = 0.0
    for place in range(BINS):
        inside = [i for i in range(n) if place / BINS < confidence[i] <= (place + 1) / BINS]
        assert bins(confidence, right)[place].n == len(inside)
        total += abs(sum(float(right[i]) for i in inside) - sum(float(confidence[i]) for i in inside))
    assert calibration_error(bins(confidence, right)) == pytest.approx(100 * total / n)


def test_the_ends_of_bins():
    """Full confidence is in the last bin, the upper end of a bin in that bin; NaN is in none."""
    parts = bins(np.array([1.0, 0.2, math.nextafter(0.2, 1), math.nan]), np.array([True, True, True, False]))
    assert [(place, part.n) for place, part in enumerate(parts) if part.n] == [(2, 1), (3, 1), (14, 1)]
    assert calibration_error(bins(np.array([math.nan]), np.array([False]))) is None


def drawn(n: int, temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and labels that are drawn from the softmax of scores / temperature."""
    maker = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(n, 6, generator=maker, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=maker)[:, 0]
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = drawn(20_000, temperature)
    found = fitted_temperature(logits, labels)
    assert found.value == pytest.approx(temperature, rel=0.04)
    assert (found.n, found.reason) == (20_000, "")
    right = (logits.argmax(1) == labels).numpy()
    after = calibration_error(bins(torch.softmax(logits / found.value, 1).amax(1).numpy(), right))
    before = calibration_error(bins(torch.softmax(logits, 1).amax(1).numpy(), right))
    assert after < 1.5
    assert temperature == 1.0 or before > 3 * after


def test_it_is_the_minimum_of_the_loss():
    logits, labels = drawn(300, 2.0, 3)
    loss = lambda t: float(torch.nn.functional.cross_entropy(logits / math.exp(t), labels))  # noqa: E731
    theirs = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    assert math.log(fitted_temperature(logits, labels).value) == pytest.approx(theirs.x, abs=1e-6)


def test_the_scale_of_the_scores_is_undone():
    logits, labels = drawn(300, 2.0, 4)
    one = fitted_temperature(logits, labels).value
    assert fitted_temperature(7 * logits, labels).value == pytest.approx(7 * one, rel=1e-9)


def test_when_there_is_no_temperature():
    logits, labels = drawn(100, 1.0)
    assert fitted_temperature(logits, logits.argmax(1)).reason == (
        "every image of val is right, so no temperature is the best one"
    )
    wrong = fitted_temperature(logits, logits.argmin(1))
    assert (wrong.value, wrong.n) == (None, 100)
    assert "no temperature from 0.01 to 100" in wrong.reason
    assert fitted_temperature(torch.full((3, 4), math.nan), torch.zeros(3, dtype=torch.int64)).reason == (
        "no image of val has finite scores"
    )
    spoiled = torch.cat([logits, torch.full((2, 6), math.inf, dtype=torch.float64)])
    found = fitted_temperature(spoiled, torch.cat([labels, labels[:2]]))
    assert (found.value, found.n) == (fitted_temperature(logits, labels).value, 100)
