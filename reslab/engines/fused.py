"""The forward pass in training, with batch norm, addition and ReLU fused into one pass each way.

On a CPU these three take as long as the convolutions if each reads and writes its map by itself: they are limited by
memory, not by arithmetic. Here a BN, the addition that follows it and the ReLU that follows that are one kernel
(`kernels.normalise`). Modules and their order are those of `nets.model`, which is the version to read and the reference
in the tests. The engine `winograd` also computes the 3x3 convolutions of stride 1 (`winograd.convolve`); `fused` leaves
all convolutions to torch.
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
from reslab.nets.spec import Spec

ENGINES = ("winograd", "fused")


def why_not(spec: Spec) -> str:
    """Return why this engine gains nothing for `spec`, or ""."""
    if spec.family == "mlp" or not spec.batch_norm:
        return "the net has no batch norm of maps"
    if any(width % LANES for width in spec.widths):
        return f"its widths are no multiples of {LANES}"
    return ""


def forward(net: Network, images: Tensor, segment: int = 0, engine: str = "fused") -> Tensor:
    """Return the logits [B, classes] of `net` in training mode, for images [B, in_channels, S, S].

    segment  keep the output of every `segment`-th part only and compute the rest again in the backward pass (activation
             checkpointing): equal gradients and running statistics, less memory, one more forward pass; 0: keep all
    engine   one of `ENGINES`; anything else computes with torch's own operators
    """
    parts = [net.get_submodule(name) for name in net.parts]
    pairs = list(zip(parts, [*parts[1:], None], strict=True))
    anchor = torch.zeros((), requires_grad=True)  # checkpoint computes gradients only if an input requires one
    # `again` holds the values of `x` for the next block's shortcut. As two outputs of one kernel, their two gradients
    # are added inside its backward pass, not in a pass of its own.
    x = again = images
    for start in range(0, len(pairs), segment or len(pairs)):
        some = pairs[start : start + (segment or len(pairs))]
        if segment:
            draws = any(isinstance(m, nn.Dropout) for part, _ in some for m in part.modules())
            # Reentrant, so that the first computation builds no graph: its small objects would live until the backward
            # pass and fragment the memory of freed maps (1,202 layers: twice the memory; docs/performance.md).
            run = partial(_twice, some, engine)
            x, again = checkpoint(run, anchor, x, again, use_reentrant=True, preserve_rng_state=draws)
        else:
            x, again = _parts(some, engine, x, again)
    return x


def _parts(
    pairs: list[tuple[nn.Module, nn.Module | None]], engine: str, x: Tensor, again: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute parts of a net in order; each comes with the part that follows it."""
    for part, following in pairs:
        twice = isinstance(following, Block) and following.added is not None
        if isinstance(part, Block):
            x, again = _block(part, x, again, twice, engine)
        else:
            assert isinstance(part, Chain)
            x, again = _run(part.children(), x, None, engine, twice)
    return x, again


def _twice(
    pairs: list[tuple[nn.Module, nn.Module | None]], engine: str, _: Tensor, x: Tensor, again: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute a segment: once without gradients, and in the backward pass with them.

    The second time running statistics must not move again.
    """
    norms = [m for part, _ in pairs for m in part.modules() if isinstance(m, _BatchNorm)]
    with _unmoved(norms) if torch.is_grad_enabled() else nullcontext():
        return _parts(pairs, engine, x, again)


@contextmanager
def _unmoved(norms: list[_BatchNorm]) -> Iterator[None]:
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]  # type: ignore[union-attr]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]


def _block(block: Block, x: Tensor, again: Tensor, twice: bool, engine: str) -> tuple[Tensor, Tensor]:
    """`Block.forward`, grouped."""
    activated, _ = _run(block.before.children(), x, None, engine)
    read = activated if block.projected and block.before.rows else again
    shortcut, _ = _run(block.shortcut.children(), read, None, engine)
    return _run(block.sequence(), activated, shortcut if block.added else None, engine, twice)


def _run(
    modules: Iterable[nn.Module], x: Tensor, shortcut: Tensor | None, engine: str, twice: bool = False
) -> tuple[Tensor, Tensor]:
    """Compute modules in order, neighbours grouped. Returns the result, and once more for the next shortcut."""
    chain = [*groups(modules)]
    again = x
    for place, group in enumerate(chain, 1):
        if group.layer is not None:
            x = again = _layer(group.layer, x, engine)
        if group.norm is not None:
            x, again = normalise(
                group.norm,
                x,
                shortcut if group.adds else None,
                relu=group.relu is not None,
                twice=twice and place == len(chain),
                kernels=engine in ENGINES,
            )
            continue
        if group.adds:
            assert shortcut is not None
            x = again = x + shortcut
        if group.relu is not None:
            x = again = group.relu(x)
    return x, again


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
    """`PadShortcut` for channels_last maps: torch's own backward pass would return a map in the other layout."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: PadShortcut) -> Tensor:
        ctx.stride, ctx.shape, ctx.at = module.stride, x.shape, slice(module.pad[0], module.pad[0] + x.shape[1])
        kept = x[:, :, :: module.stride, :: module.stride]
        y = _zeros((len(x), x.shape[1] + sum(module.pad), *kept.shape[2:]), x)
        y[:, ctx.at] = kept
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        dx = _zeros(ctx.shape, gradient)
        dx[:, :, :: ctx.stride, :: ctx.stride] = gradient[:, ctx.at]
        return dx, None


def _zeros(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last).zero_()
