"""Exact scores: counts over exactly N samples, divided once; and precise BN statistics.

A sample with scores that are not finite counts as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.engines.ranks import ALONE, Ranks
from reslab.errors import Interrupted, RunError
from reslab.measure.answers import Answers, answers_of, joined
from reslab.measure.interval import wilson
from reslab.measure.rounds import until_stopped


class LabelledBatch(Protocol):
    """A batch for evaluation: images [B, C, H, W] float32 and labels [B] int64."""

    @property
    def images(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor: ...


@dataclass(frozen=True)
class Scores:
    """Counts over n samples; `per_class` holds (samples, wrong) for each class. Errors are in percent.

    unfit     samples whose scores are not finite; all count as wrong
    answers   the answer to each sample, if the tally kept them
    """

    n: int
    top1_wrong: int
    top5_wrong: int
    loss_sum: float
    per_class: tuple[tuple[int, int], ...]
    unfit: int = 0
    answers: Answers | None = field(default=None, compare=False, repr=False)

    @property
    def top1_error(self) -> float:
        return 100.0 * self.top1_wrong / self.n

    @property
    def top5_error(self) -> float:
        return 100.0 * self.top5_wrong / self.n

    @property
    def balanced_error(self) -> float:
        """Mean of the top-1 errors of the classes that have samples, in percent."""
        return math.fsum(100.0 * wrong / n for n, wrong in self.per_class if n) / sum(n > 0 for n, _ in self.per_class)

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
    """Counts and losses, added batch by batch.

    keep         also keep the answer to each sample
    temperature  of the confidences that are kept besides those of the scores themselves
    """

    def __init__(self, classes: int, keep: bool = False, temperature: float | None = None) -> None:
        self.classes = classes
        self.temperature = temperature
        self.answers: list[Answers] | None = [] if keep else None
        self.n = self.top1 = self.top5 = self.unfit = 0
        self.losses: list[float] = []
        self.counts = torch.zeros(classes, dtype=torch.int64)
        self.missed = torch.zeros(classes, dtype=torch.int64)

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Add logits [B, classes] (or log-probabilities) and labels [B], on any device. Computes in float64."""
        logits, labels = scores.double().cpu(), labels.cpu()
        unfit = ~torch.isfinite(logits).all(1)
        wrong = (logits.argmax(1) != labels) | unfit
        own = logits.gather(1, labels[:, None])
        before = torch.arange(self.classes) < labels[:, None]  # ties: the lower class first, as in argmax
        ahead = ((logits > own) | ((logits == own) & before)).sum(1)
        self.n += len(labels)
        self.unfit += int(unfit.sum())
        self.top1 += int(wrong.sum())
        self.top5 += int(((ahead >= 5) | unfit).sum())
        self.losses.append(float(F.cross_entropy(logits, labels, reduction="sum")))
        self.counts += torch.bincount(labels, minlength=self.classes)
        self.missed += torch.bincount(labels[wrong], minlength=self.classes)
        if self.answers is not None:
            self.answers.append(answers_of(logits, labels, self.temperature))

    def scores(self, expected: int) -> Scores:
        """Return the result. Raises AssertionError unless exactly `expected` samples were added."""
        if self.n != expected:
            raise AssertionError(f"evaluated {self.n} samples, expected {expected}")
        per_class = tuple(zip(self.counts.tolist(), self.missed.tolist(), strict=True))
        answers = joined(self.answers) if self.answers else None
        return Scores(self.n, self.top1, self.top5, _total(self.losses), per_class, self.unfit, answers)


def sum_of(tallies: Sequence[Tally]) -> Tally:
    """Return the first of `tallies`, with the counts and losses of the others added; answers are not joined."""
    whole = tallies[0]
    for tally in tallies[1:]:
        whole.n, whole.unfit = whole.n + tally.n, whole.unfit + tally.unfit
        whole.top1, whole.top5 = whole.top1 + tally.top1, whole.top5 + tally.top5
        whole.counts, whole.missed = whole.counts + tally.counts, whole.missed + tally.missed
        whole.losses += tally.losses
    return whole


def _total(losses: list[float]) -> float:
    """Return the exactly rounded sum, or NaN if a loss is not finite (`fsum` may raise on those)."""
    return math.fsum(losses) if all(map(math.isfinite, losses)) else math.nan


@torch.no_grad()
def evaluate(
    logits_of: Callable[[Tensor], Tensor],
    batches: Iterable[LabelledBatch],
    expected: int,
    classes: int,
    stop: Callable[[], bool] = lambda: False,
    *,
    keep: bool = False,
    temperature: float | None = None,
    ranks: Ranks = ALONE,
) -> Scores:
    """Score every sample of `batches` once and return the counts.

    logits_of          maps images to logits [B, classes], in evaluation mode
    expected           the number of samples; those that a batch leaves out do not count
    stop               see `until_stopped`
    keep, temperature  as in `Tally`
    ranks              that score some of the batches each; they do not keep answers
    Raises Interrupted, and RunError if no image can be read.
    """
    tally, gone = Tally(classes, keep, temperature), 0
    for batch in until_stopped(batches, stop, ranks):
        gone += len(getattr(batch, "left_out", ()))  # only batches of files have it
        if len(batch.labels):
            tally.add(logits_of(batch.images), batch.labels)
    gone = sum(ranks.gathered(gone))
    tally = sum_of(ranks.gathered(tally))
    if gone and gone == expected:
        raise RunError("no image of the split can be read; make the files readable again")
    return tally.scores(expected - gone)


@torch.no_grad()
def precise_statistics(
    net: nn.Module, batches: Iterable[Tensor], stop: Callable[[], bool] = lambda: False, ranks: Ranks = ALONE
) -> None:
    """Replace BN's moving averages by plain averages over `batches`, with fixed weights (as in He's release).

    batches  images [B, C, H, W] on the weights' device
    stop     see `until_stopped`; after a stop the moving averages are those of before
    ranks    that have some of the batches each
    BN of frozen parts keeps its averages. Leaves the network in training mode.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    net.train()
    norms = [m for m in norms if m.training]
    momenta = [m.momentum for m in norms]
    before = [{name: buffer.clone() for name, buffer in m.named_buffers()} for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # torch's cumulative average
    is_stopped = False
    try:
        for images in until_stopped(batches, stop, ranks):
            net(images)
        if norms and not ranks.is_alone:
            _join(norms, ranks)
    except Interrupted:
        is_stopped = True
    for m, momentum, buffers in zip(norms, momenta, before, strict=True):
        m.momentum = momentum
        if is_stopped:
            m.load_state_dict({**m.state_dict(), **buffers})


def _join(norms: Sequence[nn.modules.batchnorm._BatchNorm], ranks: Ranks) -> None:
    """Replace averages over the batches of each rank by those over the batches of all."""
    buffers = [b for m in norms for b in m.buffers() if b.is_floating_point()]
    counts = [m.num_batches_tracked for m in norms if m.num_batches_tracked is not None]
    share = float(counts[0]) if counts else 0.0
    sums = torch.cat(
        [*(b.double().flatten() * share for b in buffers), torch.tensor([share], device=buffers[0].device)]
    )
    ranks.add(sums)
    start = 0
    for buffer in buffers:
        buffer.copy_((sums[start : start + buffer.numel()] / sums[-1]).view_as(buffer))
        start += buffer.numel()
    for count in counts:
        count.fill_(round(float(sums[-1])))
