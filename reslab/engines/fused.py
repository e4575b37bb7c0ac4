"""The forward pass in training, with batch norm, addition and ReLU fused into one pass each way.

Why one pass: on a CPU, BN, addition and ReLU are limited by memory, not by arithmetic. If each reads and writes its map
by itself, the three take as long as the convolutions. Here a BN, the addition after it and the ReLU after that are one
kernel (`kernels.normalise`): y = ReLU(BN(x) + shortcut).

What is kept for the backward pass: x, y (the ReLU's mask is y > 0) and two numbers per channel, the mean and 1/√(σ²+ε).
These are also what eager autograd keeps; BN's output and the sum exist in registers only.

Why it equals the eager update: it runs the same modules in the same order, computes the same formulas and updates the
same running statistics. Only rounding differs: the order of sums, and in bf16 one rounding per kernel instead of one
per operator. `Block.forward` in `nets.model` is the version to read, and the reference in the tests
(tests/engines/test_kernels.py).

The engine `winograd` also replaces the 3x3 convolutions of stride 1 (`winograd.convolve`); `fused` leaves all
convolutions to torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from reslab.engines.grouping import groups
from reslab.engines.kernels import LANES, normalise
from reslab.engines.winograd import convolve
from reslab.nets.model import Block, Chain, Network
from reslab.nets.modules import PadShortcut
from reslab.nets.plan import is_random
from reslab.nets.spec import Spec

ENGINES = ("winograd", "fused")


def unsuitable_reason(spec: Spec) -> str:
    """Return the reason this engine does not speed up `spec`, or ""."""
    if spec.family == "mlp" or not spec.batch_norm:
        return "the net has no batch norm of maps"
    if any(width % LANES for width in spec.widths):
        return f"its widths are no multiples of {LANES}"
    return ""


def forward(net: Network, images: Tensor, segment: int = 0, engine: str = "fused") -> Tensor:
    """Return the logits [B, classes] of `net` in training mode for images [B, in_channels, S, S].

    segment  activation checkpointing: keep only the output of every `segment`-th part and recompute the rest in the
             backward pass. Gradients and running statistics are equal; it takes less memory and one more forward pass.
             0 keeps everything
    engine   one of `ENGINES`; any other name computes with torch's own operators
    """
    parts = [net.get_submodule(name) for name in net.parts]
    pairs = list(zip(parts, [*parts[1:], None], strict=True))
    anchor = torch.zeros((), requires_grad=True)  # checkpoint computes gradients only if an input requires one
    # `skip` has the values of `x`, for the next block's shortcut. Both are outputs of one kernel, so their gradients
    # are added inside its backward pass instead of in a pass of their own.
    x = skip = images
    # Frozen parts before any that learns need no gradients, and a segment without any cannot be recomputed by torch.
    first = next((place for place, name in enumerate(net.parts) if name not in net.frozen), 0)
    with torch.no_grad():
        x, skip = _parts(pairs[:first], engine, x, skip)
    for start in range(first, len(pairs), segment or len(pairs)):
        pairs_of_segment = pairs[start : start + (segment or len(pairs))]
        if segment:
            # Reentrant checkpointing builds no graph in the first computation. The small objects of that graph would
            # live until the backward pass and fragment the memory of freed maps (1,202 layers: twice the memory;
            # docs/performance.md).
            run = partial(_recomputable, pairs_of_segment, engine)
            x, skip = checkpoint(run, anchor, x, skip, use_reentrant=True, preserve_rng_state=is_random(net.spec))
        else:
            x, skip = _parts(pairs_of_segment, engine, x, skip)
    return x


def _parts(
    pairs: list[tuple[nn.Module, nn.Module | None]], engine: str, x: Tensor, skip: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute parts of a net in order; `pairs` are (part, next part)."""
    for part, following in pairs:
        twice = isinstance(following, Block) and following.added is not None
        if isinstance(part, Block):
            x, skip = _block(part, x, skip, twice, engine)
        else:
            assert isinstance(part, Chain)
            x, skip = _run(part.children(), x, None, engine, twice)
    return x, skip


def _recomputable(
    pairs: list[tuple[nn.Module, nn.Module | None]], engine: str, _: Tensor, x: Tensor, skip: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute a segment: without gradients in the forward pass, and again with gradients in the backward pass.

    The second computation must not update the running statistics again.
    """
    norms = [m for part, _ in pairs for m in part.modules() if isinstance(m, _BatchNorm)]
    with _frozen_statistics(norms) if torch.is_grad_enabled() else nullcontext():
        return _parts(pairs, engine, x, skip)


@contextmanager
def _frozen_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]  # type: ignore[union-attr]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]


def _block(block: Block, x: Tensor, skip: Tensor, twice: bool, engine: str) -> tuple[Tensor, Tensor]:
    """Compute `Block.forward` with its layers grouped."""
    activated, _ = _run(block.before.children(), x, None, engine)
    shortcut_input = activated if block.projected and block.before.rows else skip
    shortcut, _ = _run(block.shortcut.children(), shortcut_input, None, engine)
    return _run(block.sequence(), activated, shortcut if block.added else None, engine, twice)


def _run(
    modules: Iterable[nn.Module], x: Tensor, shortcut: Tensor | None, engine: str, twice: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute modules in order, grouped. Return the output for the next branch and, again, for the next shortcut."""
    chain = [*groups(modules)]
    skip = x
    for position, group in enumerate(chain, 1):
        if group.layer is not None:
            x = skip = _layer(group.layer, x, engine)
        if group.norm is not None:
            x, skip = normalise(
                group.norm,
                x,
                shortcut if group.adds else None,
                relu=group.relu is not None,
                twice=twice and position == len(chain),
                kernels=engine in ENGINES,
            )
            continue
        if group.adds:
            assert shortcut is not None
            x = skip = x + shortcut
        if group.relu is not None:
            x = skip = group.relu(x)
    return x, skip


def _layer(module: nn.Module, x: Tensor, engine: str) -> Tensor:
    """Return the output of one layer, computed by our own kernel if `engine` has one for it."""
    if engine == "winograd" and isinstance(module, nn.Conv2d):
        return convolve(module, x)
    if engine in ENGINES and isinstance(module, PadShortcut) and x.dim() == 4:
        padded: Tensor = _OptionA.apply(x, module)
        return padded
    output: Tensor = module(x)
    return output


class _OptionA(torch.autograd.Function):
    """`PadShortcut` for channels_last maps; torch's own backward pass would return the other memory layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: PadShortcut) -> Tensor:
        ctx.stride, ctx.shape = module.stride, x.shape
        ctx.channels = slice(module.pad[0], module.pad[0] + x.shape[1])
        strided = x[:, :, :: module.stride, :: module.stride]
        y = _zeros((len(x), x.shape[1] + sum(module.pad), *strided.shape[2:]), x)
        y[:, ctx.channels] = strided
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        dx = _zeros(ctx.shape, gradient)
        dx[:, :, :: ctx.stride, :: ctx.stride] = gradient[:, ctx.channels]
        return dx, None


def _zeros(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last).zero_()
