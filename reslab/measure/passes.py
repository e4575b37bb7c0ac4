"""Passes of the probed samples through a network: its BN statistics, the samples on its device, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from reslab.measure.evaluate import LabelledBatch, precise_statistics
from reslab.nets.model import Network

Batches = Callable[[], Iterable[LabelledBatch]]  # returns the same samples at every call

FRESH = "BN has no statistics yet; it uses averages over batches of these samples"
PACE = 5.0  # seconds between two lines of progress


def norms_of(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the batch norms of a network."""
    return [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def settled(net: Network, batches: Batches) -> str:
    """Put `net` in evaluation mode with meaningful BN statistics; return which (see `Probe.bn`).

    With initial moving averages, 0 and 1, BN would be the identity, unlike in the first training step.
    """
    norms = norms_of(net)
    fresh = [m for m in norms if m.num_batches_tracked is not None and int(m.num_batches_tracked) == 0]
    if fresh:
        with torch.no_grad():
            precise_statistics(net, (images for images, _ in moved(net, batches)))
    net.eval()
    return "samples" if fresh else "running" if norms else "none"


def moved(net: Network, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels on the weights' device, images in the weights' precision."""
    weight = next(net.parameters())
    for batch in batches():
        yield batch.images.to(weight.device, weight.dtype), batch.labels.to(weight.device)


class Progress:
    """Report a long computation: `tell` gets a line such as "lesions: 12 %", at most every five seconds."""

    def __init__(self, tell: Callable[[str], None], what: str) -> None:
        self.tell, self.what = tell, what
        self.done, self.told_at = 0.0, time.monotonic()

    def step(self, share: float) -> None:
        """Add a share, from 0 to 1, of the whole computation to what is done."""
        self.done += share
        now = time.monotonic()
        if now - self.told_at >= PACE:
            self.told_at = now
            self.tell(f"{self.what}: {100 * self.done:.0f} %")
