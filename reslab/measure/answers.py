"""The answers of a network, sample by sample: class, confidence and loss; and the confusions they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

UNFIT = -1  # the class of an answer whose scores are not finite


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to N samples, in the order of the split.

    labels      int64 [N], the true classes
    predicted   int64 [N], the classes with the highest score; -1 if a score is not finite
    confidence  float64 [N], the softmax of the predicted class, 0 to 1; NaN if a score is not finite
    loss        float64 [N], the cross-entropy in nats; NaN if a score is not finite
    tempered    float64 [N], the confidence of the scores divided by a temperature; None without one
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    tempered: np.ndarray | None = None

    @property
    def right(self) -> np.ndarray:
        """bool [N]: the predicted class is the true one."""
        right: np.ndarray = self.predicted == self.labels
        return right

    @property
    def fit(self) -> np.ndarray:
        """bool [N]: all scores are finite."""
        fit: np.ndarray = self.predicted != UNFIT
        return fit


def answers_of(logits: Tensor, labels: Tensor, temperature: float | None = None) -> Answers:
    """Return the answers of logits (float64 [B, C]) to samples with `labels` (int64 [B]), both on the CPU."""
    fit = torch.isfinite(logits).all(1)
    safe = logits.masked_fill(~fit[:, None], 0.0)
    loss = F.cross_entropy(safe, labels, reduction="none").masked_fill(~fit, torch.nan)
    predicted = safe.argmax(1).masked_fill(~fit, UNFIT)

    def confidence(scale: float) -> np.ndarray:
        highest: np.ndarray = torch.softmax(safe / scale, 1).amax(1).masked_fill(~fit, torch.nan).numpy()
        return highest

    tempered = None if temperature is None else confidence(temperature)
    return Answers(labels.numpy(), predicted.numpy(), confidence(1.0), loss.numpy(), tempered)


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several batches as one."""
    tempered = [part.tempered for part in parts if part.tempered is not None]
    return Answers(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.loss for part in parts]),
        np.concatenate(tempered) if tempered else None,
    )


def confusion(answers: Answers, classes: int) -> np.ndarray:
    """Return the numbers of samples by true and predicted class, int64 [classes, classes].

    A sample whose scores are not finite is in no column: a row adds up to its class's samples without these.
    """
    fit = answers.fit
    places = answers.labels[fit] * classes + answers.predicted[fit]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def largest_confusions(answers: Answers, classes: int, most: int) -> list[tuple[int, int, int]]:
    """Return at most `most` triples (true class, predicted class, samples), largest first; equal ones by class."""
    wrong = answers.fit & ~answers.right
    places, counts = np.unique(answers.labels[wrong] * classes + answers.predicted[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(places[i] // classes), int(places[i] % classes), int(counts[i])) for i in order]


def highest_losses(answers: Answers, count: int) -> np.ndarray:
    """Return the places of the `count` samples with the highest loss, highest first; equal losses in their order.

    Samples whose scores are not finite have no loss and are left out.
    """
    order = np.argsort(-answers.loss, kind="stable")  # NaN last
    return order[: min(count, int(answers.fit.sum()))]
