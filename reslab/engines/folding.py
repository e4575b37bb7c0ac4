"""The parts of a network with batch norm folded into its convolutions, and bounds on their values.

In evaluation mode BN is γ(x − μ)/√(σ²+ε) + β with constants. A convolution W and the BN after it (§3.4) are therefore
one convolution with weights Wγ/√(σ²+ε) and bias β − μγ/√(σ²+ε). The convolution, its BN, the addition of Eq. (1) and
(2) and the ReLU are then one call of oneDNN. The weights are reordered into oneDNN's layout once, not at each call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.engines.grouping import groups
from reslab.nets.model import ADD, Block
from reslab.nets.modules import GlobalAverage

# kinds of layers whose bound is known; a net with any other kind is computed by its own forward
FOLDED = frozenset({"conv", "linear", "bn", "act", "maxpool", "gap", "pad", "add", "flatten", "dropout"})
ROUNDING = 1.01  # factor by which bf16 rounding may exceed the exact bound of a layer

Sizes = dict[nn.Module, int]  # convolution → side of its input map, pixels
Bound = Callable[[float, float], float]


@dataclass(frozen=True)
class Operation:
    """One step of the forward pass.

    run     (input, shortcut to add) → output
    bound   (largest |input|, largest |shortcut|) → upper bound of |output|
    """

    run: Callable[[Tensor, Tensor], Tensor]
    bound: Bound


@dataclass(frozen=True)
class Part:
    """A block, or modules in sequence.

    run     input → output
    bound   largest |input| → upper bound of every intermediate value
    """

    run: Callable[[Tensor], Tensor]
    bound: Callable[[float], float]


def part_of(part: Block | list[nn.Module], sizes: Sizes, dtype: torch.dtype) -> Part:
    """Return a block, or modules in sequence, as a function of its input."""
    if isinstance(part, list):
        chain = _grouped(part, sizes, dtype)
        return Part(lambda x: _run(chain, x), lambda largest: _bound(chain, largest))
    before, shortcut = (_grouped(chain.children(), sizes, dtype) for chain in (part.before, part.shortcut))
    branch = _grouped(part.sequence(), sizes, dtype)

    def block(x: Tensor) -> Tensor:
        """Compute `Block.forward` with its layers grouped."""
        activated = _run(before, x)
        return _run(branch, activated, _run(shortcut, activated if part.projected else x))

    def bound(largest: float) -> float:
        activated = _bound(before, largest)
        return _bound(branch, activated, _bound(shortcut, activated if part.projected else largest))

    return Part(block, bound)


def _run(operations: Iterable[Operation], x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    for operation in operations:
        x = operation.run(x, x if shortcut is None else shortcut)
    return x


def _bound(operations: Iterable[Operation], largest: float, shortcut: float | None = None) -> float:
    """Return the upper bound of all intermediate values, given the bounds of the input and of the shortcut."""
    overall = largest
    for operation in operations:
        largest = operation.bound(largest, largest if shortcut is None else shortcut)
        overall = largest if math.isnan(largest) else max(overall, largest)
    return overall


def _grouped(modules: Iterable[nn.Module], sizes: Sizes, dtype: torch.dtype) -> list[Operation]:
    """Return the modules as a sequence of operations; BN, addition and ReLU join the convolution before them."""
    operations = list[Operation]()
    for group in groups(modules):
        if isinstance(group.layer, nn.Conv2d):
            weight, bias = (values.to(dtype) for values in folded(group.layer, group.norm))
            run = convolution(group.layer, weight, bias, sizes[group.layer], group.adds, group.relu is not None)
            operations.append(Operation(run, _affine(weight, bias, group.adds)))
        else:
            parts = (group.layer, group.norm, ADD if group.adds else None, group.relu)
            operations += [_single(module) for module in parts if module is not None]
    return operations


def _single(module: nn.Module) -> Operation:
    """Return the operation of a module that no convolution absorbs.

    The head computes in fp32: it costs nothing there, and logits rounded to bf16 would tie.
    """
    if module is ADD:
        return Operation(torch.add, lambda largest, shortcut: largest + shortcut)
    bound: Bound = lambda largest, _: max(largest, 1.0)  # noqa: E731  activations, pooling, padding
    if isinstance(module, nn.Linear):
        bound = _affine(module.weight.detach(), module.bias.detach())
    elif isinstance(module, nn.BatchNorm2d):
        bound = _affine(*_scale_and_offset(module))
    if isinstance(module, GlobalAverage | nn.Linear):
        return Operation(lambda x, _: module(x.float()), bound)
    return Operation(lambda x, _: module(x), bound)


def _affine(weight: Tensor, offset: Tensor, adds: bool = False) -> Bound:
    """Return the bound of a convolution, linear layer or BN (`weight` [C, …], `offset` [C]), if it `adds` with the
    shortcut.

    |Wx + b| is at most max over output channels of Σ|W| times max|x|, plus max|b|.
    """
    gain, constant = float(weight.float().abs().flatten(1).sum(1).max()), float(offset.float().abs().max())
    return lambda largest, shortcut: ROUNDING * (gain * largest + constant) + (shortcut if adds else 0.0)


def _scale_and_offset(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale [C, 1] and the offset [C] of a BN in evaluation mode."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
    return scale[:, None], norm.bias.detach() - mean * scale


def folded(conv: nn.Conv2d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Return (weight, bias) of the convolution that equals `conv` followed by `norm` in evaluation mode."""
    weight = conv.weight.detach()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if not isinstance(norm, nn.BatchNorm2d):
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
    return weight * scale[:, None, None, None], norm.bias.detach() + (bias - mean) * scale


def convolution(
    conv: nn.Conv2d, weight: Tensor, bias: Tensor, size: int, adds: bool, relu: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return `conv` with new `weight` and `bias`, the addition if it `adds`, and ReLU as one call of oneDNN.

    size   side of the input map, pixels. oneDNN's layout of the weights depends on it; another size gives the same
           result, but reorders the weights at each call.
    """
    border = [] if conv.padding_mode == "zeros" else list(conv._reversed_padding_repeated_twice)
    padding = [0, 0] if border else list(conv.padding)
    geometry = [padding, *map(list, (conv.stride, conv.dilation)), conv.groups]
    size += border[0] + border[1] if border else 0
    weight = weight.contiguous(memory_format=torch.channels_last)
    packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, [1, conv.in_channels, size, size])
    call = torch.ops.mkldnn._convolution_pointwise

    def padded(x: Tensor) -> Tensor:  # oneDNN pads with zeros only
        return F.pad(x, border, mode=conv.padding_mode) if border else x

    if adds:
        after = "relu" if relu else None
        return lambda x, shortcut: call.binary(
            padded(x), shortcut, packed, bias, *geometry, "add", 1.0, after, [], None
        )
    return lambda x, _: call(padded(x), packed, bias, *geometry, "relu" if relu else "none", [], None)
