"""Batch norm over the images of all ranks, on any backend: torch's SyncBatchNorm refuses tensors of the CPU.

Each rank computes n, mean and the sum of squared differences of its own images. They are joined as in Chan, Golub and
LeVeque (1983), "Algorithms for computing the sample variance": nothing cancels, and shares may be of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reslab.engines.ranks import Ranks


class _Normalise(torch.autograd.Function):
    """y = γ·(x - mean)/√(var + ε) + β of images [B, C, …], with mean and var over the images of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        own = x.double()
        count = x.numel() // x.shape[1]
        mean = own.mean(dims)
        spread = ((own - mean.view(shape)) ** 2).sum(dims)
        every = torch.zeros(ranks.count, 2 * len(mean) + 1, dtype=torch.float64, device=x.device)
        every[ranks.rank] = torch.cat([mean, spread, mean.new_full((1,), count)])
        ranks.add(every)
        means, spreads, counts = every[:, : len(mean)], every[:, len(mean) : -1], every[:, -1:]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (spreads.sum(0) + (counts * (means - mean) ** 2).sum(0)) / total
        scale = (variance + eps).rsqrt()
        normal = ((own - mean.view(shape)) * scale.view(shape)).to(x.dtype)
        ctx.save_for_backward(normal, weight, scale)
        ctx.ranks, ctx.total, ctx.shape, ctx.dims = ranks, total, shape, dims
        ctx.mark_non_differentiable(mean, variance, total)
        return normal * weight.view(shape) + bias.view(shape), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None, None]:
        normal, weight, scale = ctx.saved_tensors
        shape, dims = ctx.shape, ctx.dims
        own, values = gradient.double(), normal.double()
        sums = torch.stack([own.sum(dims), (own * values).sum(dims)])
        bias_gradient, weight_gradient = (part.to(weight.dtype) for part in sums.clone())  # of this rank's images
        ctx.ranks.add(sums)
        means = sums / ctx.total
        inner = own - means[0].view(shape) - values * means[1].view(shape)
        into = (inner * (weight.double() * scale).view(shape)).to(gradient.dtype)
        return into, weight_gradient, bias_gradient, None, None


def _forward(module: _BatchNorm, ranks: Ranks, x: Tensor) -> Tensor:
    """Compute `module(x)` in training mode, and update its moving averages: the same on all ranks."""
    y, mean, variance, total = _Normalise.apply(x, module.weight, module.bias, module.eps, ranks)
    if module.running_mean is not None and module.running_var is not None:
        assert module.momentum is not None
        unbiased = variance * (total / (total - 1))
        module.running_mean.lerp_(mean.to(module.running_mean.dtype), module.momentum)
        module.running_var.lerp_(unbiased.to(module.running_var.dtype), module.momentum)
        assert module.num_batches_tracked is not None
        module.num_batches_tracked.add_(1)
    return y  # type: ignore[no-any-return]


@contextmanager
def synced(net: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Give every BN in training mode statistics of all ranks; outside (a probe of rank 0) they have their own."""
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.training]
    for module in norms:
        module.forward = partial(_forward, module, ranks)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in norms:
            del module.forward
