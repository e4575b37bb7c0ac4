"""Ensembles: the scores of several networks averaged sample by sample, and each member's own scores (§4.1, Table 5).

The paper does not say what is averaged; its release averages softmax probabilities, so that is the default here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from reslab.measure.evaluate import LabelledBatch, Scores, Tally

AVERAGES = ("softmax", "logits")


def average(scores: Sequence[Tensor], how: str = "softmax") -> Tensor:
    """Return the average of k members' logits, each [B, C], as [B, C] in float64.

    "softmax": the log of the mean of the members' probabilities; "logits": the mean of the logits.
    """
    stacked = torch.stack([s.double() for s in scores])
    if how == "logits":
        return stacked.mean(0)
    return torch.logsumexp(torch.log_softmax(stacked, dim=2), dim=0) - math.log(len(scores))


@torch.no_grad()
def all_logits(
    logits_of: Callable[[Tensor], Tensor], batches: Iterable[LabelledBatch], expected: int
) -> tuple[Tensor, Tensor]:
    """Return one member's logits [N, C] in float64 and the labels [N], for use in several ensembles.

    Raises AssertionError unless there are exactly `expected` samples.
    """
    batch_results = [(logits_of(batch.images).double().cpu(), batch.labels) for batch in batches]
    logits, labels = (torch.cat(parts) for parts in zip(*batch_results, strict=True))
    if len(labels) != expected:
        raise AssertionError(f"evaluated {len(labels)} samples, expected {expected}")
    return logits, labels


def scored(logits: Tensor, labels: Tensor) -> Scores:
    """Return the scores of logits [N, C] (a member's or an `average`) for N labels."""
    tally = Tally(logits.shape[1])
    tally.add(logits, labels)
    return tally.scores(len(labels))


@torch.no_grad()
def evaluate_together(
    members: Sequence[tuple[Callable[[Tensor], Tensor], Iterable[LabelledBatch]]],
    expected: int,
    classes: int,
    how: str = "softmax",
    *,
    keep: bool = False,
    temperatures: Sequence[float | None] = (),
) -> tuple[list[Scores], Scores]:
    """Return each member's scores and the ensemble's, in one pass over the data.

    members   (function from images to logits, its batches); each has its own batches of the same samples, because each
              subtracts the mean of its own training data
    keep, temperatures   as in `Tally`; one temperature for each member and the last one for the ensemble, or none
    Raises AssertionError if the members' labels differ, or unless there are exactly `expected` samples.
    """
    scales = temperatures or (None,) * (len(members) + 1)
    *alone, whole = (Tally(classes, keep, scale) for scale in scales)
    for batches in zip(*(b for _, b in members), strict=True):
        labels = batches[0].labels
        if not all(torch.equal(b.labels, labels) for b in batches):
            raise AssertionError("the members have different samples")
        scores = [logits_of(b.images).double().cpu() for (logits_of, _), b in zip(members, batches, strict=True)]
        for tally, score in zip(alone, scores, strict=True):
            tally.add(score, labels)
        whole.add(average(scores, how), labels)
    return [tally.scores(expected) for tally in alone], whole.scores(expected)
