"""Add up, over the ranks of a run, what an update needs of all of them: gradients, BN statistics, loss and error.

Gradients lie in a few long buffers, last layer first. While the last part of a batch is on its way back, each buffer is
sent as soon as its gradients are complete, so most of the communication is hidden behind the backward pass.

BN statistics: one process replaces the moving averages r by a·r + m·s for the statistics s of one part of the batch
after another (a = 1 - m). So after K parts they are a^K·r + Σ a^(K-j)·m·s_j. Each rank begins with r = 0, which leaves
its own terms of the sum; what is added over the ranks is these, times a to the number of parts that come later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.engines.ranks import Ranks
from reslab.engines.shares import part_ends
from reslab.nets.model import Network

BUFFER = 1 << 20  # bytes of gradients that are sent together, at least


class Reduction:
    """The sums over the ranks of one update: `begin`, `last_part` before the last backward pass, `finish`."""

    def __init__(
        self, net: Network, ranks: Ranks, bn_momentum: float, bn_batch: int, is_synced: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """Prepare the buffers.

        is_synced     BN has the statistics of all ranks already
        should_stop   whether this rank has been told to stop; asked in `finish`
        """
        self.is_synced, self.should_stop = is_synced, should_stop
        self.is_stopping: bool | None = None  # whether any rank was told to stop in the last update; None: unknown
        self.net, self.ranks, self.kept, self.bn_batch = net, ranks, 1 - bn_momentum, bn_batch
        self._buffers: list[Tensor] = []
        self._views: list[tuple[nn.Parameter, Tensor]] = []
        self._missing: list[int] = []  # gradients of each buffer that are not complete
        self._sizes: list[int] = []
        self._waits: list[Callable[[], None]] = []
        self._is_last = False
        learning = [p for p in reversed([*net.parameters()]) if p.requires_grad]
        for number, params in enumerate(_grouped(learning)):
            buffer = torch.zeros(sum(p.numel() for p in params), dtype=params[0].dtype, device=params[0].device)
            start = 0
            for p in params:
                view = buffer[start : start + p.numel()].as_strided(p.shape, p.stride())
                self._views.append((p, view))
                p.register_post_accumulate_grad_hook(lambda _, number=number: self._complete(number))
                start += p.numel()
            self._buffers.append(buffer)
            self._sizes.append(len(params))

    def begin(self) -> None:
        """Set the gradients and the moving averages to 0."""
        for buffer in self._buffers:
            buffer.zero_()
        for p, view in self._views:
            p.grad = view
        self._missing, self._waits, self._is_last = [*self._sizes], [], False
        own = () if self.is_synced else self.net.modules()
        self._norms = [m for m in own if isinstance(m, _BatchNorm) and m.training]
        self._averages = [a for m in self._norms for a in (m.running_mean, m.running_var) if a is not None]
        self._before = torch.cat([a.double() for a in self._averages]) if self._averages else torch.zeros(0)
        for average in self._averages:
            average.zero_()

    def last_part(self) -> None:
        """Send each buffer of gradients from now on when it is complete."""
        self._is_last = True

    def finish(self, loss: Tensor, wrong: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Wait for all sums, put them in place, and return the loss and the errors of all ranks.

        sizes   images of each rank
        """
        parts = [len(part_ends(size, self.bn_batch)) if size else 0 for size in sizes]
        own = torch.cat([a.double() for a in self._averages]) if self._averages else torch.zeros(0)
        own = own * self.kept ** sum(parts[self.ranks.rank + 1 :])
        self._send_complete(every=True)
        told = torch.full((1,), float(self.should_stop()), dtype=torch.float64, device=loss.device)
        sums = torch.cat([own.to(loss.device), loss.double()[None], wrong.double()[None], told])
        self.ranks.add(sums)
        for wait in self._waits:
            wait()
        # On a GPU reading it would wait for the update: the ranks ask each other over the CPUs instead.
        self.is_stopping = bool(sums[-1].item()) if sums.device.type == "cpu" else None
        averages = self._before.to(sums.device) * self.kept ** sum(parts) + sums[:-3]
        start = 0
        for average in self._averages:
            average.copy_(averages[start : start + average.numel()].view_as(average))
            start += average.numel()
        for m in self._norms:
            if m.num_batches_tracked is not None:
                m.num_batches_tracked += sum(parts) - parts[self.ranks.rank]
        return sums[-3], sums[-2].to(wrong.dtype)

    def _complete(self, number: int) -> None:
        """Note that a gradient of buffer `number` is complete, if this is the last part."""
        if self._is_last:
            self._missing[number] -= 1
            self._send_complete()

    def _send_complete(self, every: bool = False) -> None:
        """Send the complete buffers in order, which is the same on all ranks."""
        while len(self._waits) < len(self._buffers) and (every or not self._missing[len(self._waits)]):
            self._waits.append(self.ranks.begin_add(self._buffers[len(self._waits)]))


def _grouped(params: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters in order, in groups of one type and of at least BUFFER bytes, but for the last."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for p in params:
        if not groups or size >= BUFFER or groups[-1][0].dtype != p.dtype:
            groups.append([])
            size = 0
        groups[-1].append(p)
        size += p.numel() * p.element_size()
    return groups
