"""Exact scores: sums over exactly N samples, reduced once, divided once; and precise BN statistics.

A row of scores that is not finite counts as wrong (a comparison with NaN would count it as right).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.errors import Interrupted
from reslab.measure.interval import wilson


class LabelledBatch(Protocol):
    """What an evaluation reads: images [B,C,H,W] float32 and labels [B] int64."""

    @property
    def images(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor: ...


@dataclass(frozen=True)
class Scores:
    """Counts over n samples; `per_class` holds (samples, wrong) for each class. Errors are in percent.

    unfit   samples whose scores are not finite: wrong, whatever their label
    """

    n: int
    top1_wrong: int
    top5_wrong: int
    loss_sum: float
    per_class: tuple[tuple[int, int], ...]
    unfit: int = 0

    @property
    def top1_error(self) -> float:
        return 100.0 * self.top1_wrong / self.n

    @property
    def top5_error(self) -> float:
        return 100.0 * self.top5_wrong / self.n

    @property
    def loss(self) -> float:
        return self.loss_sum / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % binomial interval (Wilson) of the top-1 error, in percent."""
        return wilson(self.top1_wrong, self.n)

    def to_dict(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "top1_interval": list(self.interval),
        }


class Tally:
    """Counts and losses, added batch by batch and divided once."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.n = self.top1 = self.top5 = self.unfit = 0
        self.losses: list[float] = []
        self.seen = torch.zeros(classes, dtype=torch.int64)
        self.missed = torch.zeros(classes, dtype=torch.int64)

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Logits [B, classes] (or log-probabilities) and labels [B], any device; computed in float64."""
        logits, labels = scores.double().cpu(), labels.cpu()
        unfit = ~torch.isfinite(logits).all(1)
        wrong = (logits.argmax(1) != labels) | unfit
        own = logits.gather(1, labels[:, None])
        before = torch.arange(self.classes) < labels[:, None]  # ties go to the lower class, as argmax has it
        ahead = ((logits > own) | ((logits == own) & before)).sum(1)
        self.n += len(labels)
        self.unfit += int(unfit.sum())
        self.top1 += int(wrong.sum())
        self.top5 += int(((ahead >= 5) | unfit).sum())
        self.losses.append(float(F.cross_entropy(logits, labels, reduction="sum")))
        self.seen += torch.bincount(labels, minlength=self.classes)
        self.missed += torch.bincount(labels[wrong], minlength=self.classes)

    def scores(self, expected: int) -> Scores:
        """The result. Raises AssertionError where not exactly `expected` samples were added."""
        if self.n != expected:
            raise AssertionError(f"evaluated {self.n} samples where there are {expected}")
        per_class = tuple(zip(self.seen.tolist(), self.missed.tolist(), strict=True))
        return Scores(self.n, self.top1, self.top5, _total(self.losses), per_class, self.unfit)


def _total(losses: list[float]) -> float:
    """The sum, exactly rounded; NaN if one of `losses` is not finite, on which `fsum` may raise."""
    return math.fsum(losses) if all(map(math.isfinite, losses)) else math.nan


@torch.no_grad()
def evaluate(
    logits_of: Callable[[Tensor], Tensor],
    batches: Iterable[LabelledBatch],
    expected: int,
    classes: int,
    stop: Callable[[], bool] = lambda: False,
) -> Scores:
    """Score every sample of `batches` once; `expected` is how many there must be.

    `logits_of` maps images to logits [B, classes]; the caller has put the network in evaluation mode. `stop` is asked
    between batches; where it says yes, Interrupted is raised and nothing is returned.
    """
    tally = Tally(classes)
    for batch in batches:
        if stop():
            raise Interrupted("stopped while evaluating")
        tally.add(logits_of(batch.images), batch.labels)
    return tally.scores(expected)


@torch.no_grad()
def precise_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace BN's moving averages by plain averages over `batches` with the weights as they are (as He's release did).

    batches  of images [B, C, H, W], where the weights are
    The network is left in training mode.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    kept = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # torch's cumulative average
    net.train()
    for images in batches:
        net(images)
    for m, momentum in zip(norms, kept, strict=True):
        m.momentum = momentum
