"""One update: forward, loss, backward, optimizer step. The only place where precision, engine and optimizer meet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.engines import choose, fused, memory
from reslab.engines.machine import Settings
from reslab.engines.ranks import ALONE, Ranks
from reslab.engines.replay import WARM_UP, RecordingError, Replayed
from reslab.engines.shares import part_ends
from reslab.engines.synced import synced
from reslab.nets.model import Network
from reslab.nets.modules import Dropout
from reslab.runs.recipe import Recipe
from reslab.training.average import Average
from reslab.training.descent import Descent
from reslab.training.reduction import Reduction


class Step:
    """`step(images, labels, lr)` makes one update and returns (loss, wrong).

    images  [B, in_channels, S, S] and labels [B], or shares of classes [B, classes], on the run's device
    loss    mean over the batch, before the update
    wrong   number of misclassified images. Both stay on the device, so that nothing waits for the GPU; a recorded
            update overwrites them in the next call. With several ranks both are of the whole batch, on all ranks

    Attributes: `net`, `descent`, `average` (of the weights, or None), `fallback` (why the engine was replaced by a
    slower one, or None), `warm_up` (updates until the engine runs at full speed).
    """

    def __init__(
        self, net: Network, recipe: Recipe, settings: Settings, class_weights: Tensor | None = None,
        ranks: Ranks = ALONE, should_stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """Prepare `net` for the engine; `class_weights`, float32 [classes], multiply the loss of an image.

        ranks         that make an update together, each with its share of the batch
        should_stop   whether this process has been told to stop; see `is_stopping`
        """
        self.net = net.to(settings.device)
        if net.spec.family != "mlp" and settings.layout == "channels_last":
            self.net = self.net.to(memory_format=torch.channels_last)
        self.recipe, self.settings = recipe, settings
        self.class_weights = None if class_weights is None else class_weights.to(settings.device)
        self.fallback: str | None = None
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = recipe.bn_momentum
        self.descent = Descent(net, recipe, settings.device)
        self._ranks, self._should_stop = ranks, should_stop
        self._dropouts = [m for m in net.modules() if isinstance(m, Dropout)]
        self._reduction = None
        if not ranks.is_alone:
            self._reduction = Reduction(
                self.net, ranks, recipe.bn_momentum, recipe.bn_batch, settings.sync_bn, should_stop
            )
        self._forward: Callable[[Tensor], Tensor] = self.net
        self._compiled: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
        if reason := choose.unavailable_reason(settings.engine):
            self.fallback = f"engine {settings.engine}: {reason}, so the run goes on eagerly: slower, not broken"
        if settings.recompute or (settings.engine in fused.ENGINES and not self.fallback):
            segment = memory.segment(net.spec) if settings.recompute else 0
            engine = "eager" if self.fallback else settings.engine
            self._forward = partial(fused.forward, self.net, segment=segment, engine=engine)
        elif settings.engine in choose.COMPILED and not self.fallback:
            # Otherwise torch logs at every compilation that there is no CUDA.
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
            self._compiled = torch.compile(self._score, fullgraph=True, dynamic=False)
        self._replayed = Replayed(self._update, settings.device) if self._is_recorded(ranks) else None
        self.average = Average(self.net, recipe.average) if recipe.average else None
        self.warm_up = WARM_UP + 1 if self._replayed else 1

    def _is_recorded(self, ranks: Ranks) -> bool:
        """Return whether updates are replayed on a GPU; those of several ranks are not, as their sums wait for it."""
        return self.settings.engine in choose.RECORDED and ranks.is_alone

    def _autocast(self) -> torch.autocast:
        device = self.settings.device.partition(":")[0]
        # cache_enabled=False: each weight is read once per forward pass, and cached casts would fragment the heap
        # between the maps (1,202 layers, 500 images at once: 4.7 GB instead of 0.1).
        return torch.autocast(device, torch.bfloat16, self.settings.precision == "bf16", cache_enabled=False)

    def _score(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with self._autocast():
            logits = self._forward(images)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        labels = labels.to(logits.dtype) if labels.is_floating_point() else labels
        smoothing = self.recipe.label_smoothing
        if self.class_weights is None:
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        else:  # the mean over images: torch's divides by the sum of their weights, which differs from part to part
            weights = self.class_weights.to(logits.dtype)
            loss = F.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=smoothing)
            loss = loss.mean()
        return loss, (logits.argmax(1) != (labels if labels.dim() == 1 else labels.argmax(1))).sum()

    def __call__(
        self, images: Tensor, labels: Tensor, lr: float, sizes: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Make one update. `sizes`: the images of each rank; without any, `images` are the whole batch."""
        self.descent.prepare(lr)
        if self._replayed is not None:
            try:
                loss, wrong = self._replayed(images, labels)
                return loss, wrong
            except RecordingError as error:  # nothing has been computed yet
                self.fallback = (
                    f"recording a CUDA graph failed ({str(error)[:100]}), so the run goes on without one: slower, not "
                    "broken"
                )
                self._replayed = None
        return self._update(images, labels, sizes)

    def _update(self, images: Tensor, labels: Tensor, sizes: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Make one update at the rate that `descent` has; the loss of each part counts by its share of the batch."""
        whole = sum(sizes) or len(images)
        if self._reduction is not None:
            self._reduction.begin()
        loss, wrong = torch.zeros((), device=images.device), torch.zeros((), dtype=torch.int64, device=images.device)
        masks = [(m, m.drawn(whole, images.device)) for m in self._dropouts if m.training]  # not of frozen parts
        before = sum(sizes[: self._ranks.rank])  # images of the ranks before this one
        ends = part_ends(len(images), self.recipe.bn_batch)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            share = (end - start) / whole
            for dropout, mask in masks:
                dropout.mask = mask[before + start : before + end]
            with synced(self.net, self._ranks) if self.settings.sync_bn else nullcontext():
                part_loss, part_wrong = self._scored(images[start:end], labels[start:end])
            if self._reduction is not None and end == len(images):
                self._reduction.last_part()
            (part_loss * share if share < 1 else part_loss).backward()
            loss, wrong = loss + part_loss.detach() * share, wrong + part_wrong
        for dropout, _ in masks:
            dropout.mask = None
        if self._reduction is not None:
            loss, wrong = self._reduction.finish(loss, wrong, sizes)
        self.descent.update()
        return loss, wrong

    def _scored(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (loss, wrong), compiled if the engine compiles; if compiling fails, use torch's operators from now on.

        The backward pass is compiled together with the forward pass, so nothing has changed yet if either fails. By
        default torch compiles it inside `backward`, after the BN statistics were updated.
        """
        if self._compiled is not None:
            from torch._functorch import config  # imports the whole compiler

            try:
                with warnings.catch_warnings(), config.patch(force_non_lazy_backward_lowering=True):
                    warnings.simplefilter("ignore")
                    return self._compiled(images, labels)
            except Exception as error:
                self.fallback = (
                    f"compiling failed ({type(error).__name__}), so the run goes on uncompiled: slower, not broken"
                )
                self._compiled = None
        return self._score(images, labels)

    def is_stopping(self) -> bool:
        """Return whether to stop before the next update, the same on all ranks.

        On CPUs several ranks have agreed on it in the last update, whose sums carried the question: with a message of
        its own, the faster rank would wait twice.
        """
        if self._reduction is None:
            return self._should_stop()
        agreed = self._reduction.is_stopping
        return self._ranks.agree(self._should_stop()) if agreed is None else agreed

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the net has the averages of its weights, if the recipe wants them."""
        return nullcontext() if self.average is None else self.average.applied()

    def logits(self, images: Tensor) -> Tensor:
        """Return logits [B, classes] in the run's precision. The caller sets the network's mode."""
        with torch.no_grad(), self._autocast():
            return self.net(images.to(self.settings.device, non_blocking=True))
