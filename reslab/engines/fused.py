"""A network's forward in training with batch norm, addition and ReLU in one pass each (`kernels.normalise`).

The same modules in the same order as `nets.model`, whose `forward` stays the one to read and is the slow twin in the
tests; only neighbours are taken together: a BN, the addition that follows it, the ReLU that follows that. The engine
`winograd` computes the 3x3 convolutions of stride 1 too (`winograd.convolve`), `fused` leaves all of them to torch.
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
    """Why nothing would be gained for `spec`, or ""."""
    if spec.family == "mlp" or not spec.batch_norm:
        return "the net has no batch norm of maps"
    if any(width % LANES for width in spec.widths):
        return f"its widths are no multiples of {LANES}"
    return ""


def forward(net: Network, images: Tensor, segment: int = 0, engine: str = "fused") -> Tensor:
    """Logits of `net` in training mode: images [B, in_channels, S, S] to [B, classes].

    With a `segment` only the output of every so many blocks is kept; what lies between is computed again on the way
    back (activation checkpointing): the same gradients and running statistics, less memory, one more forward.
    With an `engine` that is none of `ENGINES` torch's own operators compute everything.
    """
    parts = [net.get_submodule(name) for name in net.parts]
    pairs = list(zip(parts, [*parts[1:], None], strict=True))
    anchor = torch.zeros((), requires_grad=True)  # checkpoint computes gradients where an input wants one
    x = again = images  # `again`: the same values for a block's shortcut, so that the two gradients meet in the kernel
    for start in range(0, len(pairs), segment or len(pairs)):
        some = pairs[start : start + (segment or len(pairs))]
        if segment:
            draws = any(isinstance(m, nn.Dropout) for part, _ in some for m in part.modules())
            # Reentrant: the first computation then makes no graph, whose small objects, kept until the way back, would
            # lie among the maps let go and spoil their places (1,202 layers: twice the memory; docs/performance.md).
            run = partial(_twice, some, engine)
            x, again = checkpoint(run, anchor, x, again, use_reentrant=True, preserve_rng_state=draws)
        else:
            x, again = _parts(some, engine, x, again)
    return x


def _parts(
    pairs: list[tuple[nn.Module, nn.Module | None]], engine: str, x: Tensor, again: Tensor
) -> tuple[Tensor, Tensor]:
    """Some parts of a net one after another, each given with the one that follows."""
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
    """`_parts` of a segment, first without gradients; then with them, and running statistics stay as they are."""
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
    """The modules one after another, neighbours grouped; the result for its two readers."""
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
    """The output of one layer, by our own kernel if `engine` has one for it."""
    if engine == "winograd" and isinstance(module, nn.Conv2d):
        return convolve(module, x)
    if engine in ENGINES and isinstance(module, PadShortcut) and x.dim() == 4:
        padded: Tensor = _OptionA.apply(x, module)
        return padded
    output: Tensor = module(x)
    return output


class _OptionA(torch.autograd.Function):
    """`PadShortcut` of maps in channels_last, both ways: torch's own way back makes a map of the other layout."""

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
