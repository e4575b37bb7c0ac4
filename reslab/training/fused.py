"""A network's forward in training with batch norm, addition and ReLU in one pass each (`kernels.normalise`).

The same modules in the same order as `nets.model`, whose `forward` stays the one to read and is the slow twin in the
tests; only neighbours are taken together: a BN, the addition that follows it, the ReLU that follows that.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from reslab.nets.model import Block, Chain, Network
from reslab.nets.spec import Spec
from reslab.training.kernels import LANES, normalise

ADD = nn.Identity()  # stands for the addition in a sequence of modules


def why_not(spec: Spec) -> str:
    """Why nothing would be gained for `spec`, or ""."""
    if spec.family == "mlp" or not spec.batch_norm:
        return "the net has no batch norm of maps"
    if any(width % LANES for width in spec.widths):
        return f"its widths are no multiples of {LANES}"
    return ""


def forward(net: Network, images: Tensor) -> Tensor:
    """Logits of `net` in training mode: images [B, in_channels, S, S] to [B, classes]."""
    parts = [net.get_submodule(name) for name in net.parts]
    x = again = images  # `again`: the same values for a block's shortcut, so that the two gradients meet in the kernel
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        twice = isinstance(following, Block) and following.added is not None
        if isinstance(part, Block):
            x, again = _block(part, x, again, twice)
        else:
            assert isinstance(part, Chain)
            x, again = _run(part.children(), x, None, twice)
    return x


def _block(block: Block, x: Tensor, again: Tensor, twice: bool) -> tuple[Tensor, Tensor]:
    """`Block.forward`, grouped."""
    activated, _ = _run(block.before.children(), x, None)
    if not block.added:
        return _run([*block.branch.children(), *block.after.children()], activated, None, twice)
    read = activated if block.projected and block.before.rows else again
    shortcut, _ = _run(block.shortcut.children(), read, None)
    return _run([*block.branch.children(), ADD, *block.after.children()], activated, shortcut, twice)


def _run(
    modules: Iterable[nn.Module], x: Tensor, shortcut: Tensor | None, twice: bool = False
) -> tuple[Tensor, Tensor]:
    """The modules one after another, neighbours grouped; the result for its two readers."""
    rest = [*modules]
    again = x
    while rest:
        module = rest.pop(0)
        if module is ADD:
            assert shortcut is not None
            x = again = x + shortcut
        elif isinstance(module, nn.BatchNorm2d):
            adds = bool(rest) and rest[0] is ADD
            rest = rest[adds:]
            relu = bool(rest) and isinstance(rest[0], nn.ReLU)
            rest = rest[relu:]
            x, again = normalise(module, x, shortcut if adds else None, relu=relu, twice=twice and not rest)
        else:
            x = again = module(x)
    return x, again
