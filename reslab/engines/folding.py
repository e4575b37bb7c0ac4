"""The parts of a network with batch norm folded into its convolutions, and how large their values can get.

In evaluation mode BN is γ(x − μ)/√(σ²+ε) + β with constants, so a convolution W and the BN after it (§3.4) are one
convolution with weights Wγ/√(σ²+ε) and bias β − μγ/√(σ²+ε). What follows a convolution (BN, the addition of Eq. (1) and
(2), ReLU) is then one call of oneDNN, on weights which are brought into its own order once.
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

# kinds of layers whose bound is known here; the network's own forward computes any other
FOLDED = frozenset({"conv", "linear", "bn", "act", "maxpool", "gap", "pad", "add", "flatten", "dropout"})
ROUNDING = 1.01  # by which a layer in bf16 may exceed its bound

Sizes = dict[nn.Module, int]  # sides of the maps that convolutions read
Bound = Callable[[float, float], float]


@dataclass(frozen=True)
class Work:
    """One step of the forward pass.

    run     (input, shortcut to be added) to output
    bound   (largest |input|, largest |shortcut|) to the largest |output| there can be
    """

    run: Callable[[Tensor, Tensor], Tensor]
    bound: Bound


@dataclass(frozen=True)
class Part:
    """A block, or modules one after another.

    run     input to output
    bound   largest |input| to the largest magnitude of anything computed on the way
    """

    run: Callable[[Tensor], Tensor]
    bound: Callable[[float], float]


def part_of(part: Block | list[nn.Module], sizes: Sizes, dtype: torch.dtype) -> Part:
    """A block, or modules one after another, as a function of its input."""
    if isinstance(part, list):
        chain = _grouped(part, sizes, dtype)
        return Part(lambda x: _run(chain, x), lambda most: _bound(chain, most))
    before, shortcut = (_grouped(chain.children(), sizes, dtype) for chain in (part.before, part.shortcut))
    work = _grouped(part.sequence(), sizes, dtype)

    def block(x: Tensor) -> Tensor:
        """`Block.forward`, grouped."""
        activated = _run(before, x)
        return _run(work, activated, _run(shortcut, activated if part.projected else x))

    def bound(most: float) -> float:
        activated = _bound(before, most)
        return _bound(work, activated, _bound(shortcut, activated if part.projected else most))

    return Part(block, bound)


def _run(work: Iterable[Work], x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    for one in work:
        x = one.run(x, x if shortcut is None else shortcut)
    return x


def _bound(work: Iterable[Work], most: float, shortcut: float | None = None) -> float:
    """The largest magnitude of anything on the way, given those of the input and of the shortcut."""
    highest = most
    for one in work:
        most = one.bound(most, most if shortcut is None else shortcut)
        highest = most if math.isnan(most) else max(highest, most)
    return highest


def _grouped(modules: Iterable[nn.Module], sizes: Sizes, dtype: torch.dtype) -> list[Work]:
    """The modules as work to be done one after another: a convolution with the BN, addition and ReLU that follow it."""
    work = list[Work]()
    for group in groups(modules):
        if isinstance(group.layer, nn.Conv2d):
            weight, bias = (values.to(dtype) for values in folded(group.layer, group.norm))
            run = _convolution(group.layer, weight, bias, sizes[group.layer], group.adds, group.relu is not None)
            work.append(Work(run, _affine(weight, bias, group.adds)))
        else:
            parts = (group.layer, group.norm, ADD if group.adds else None, group.relu)
            work += [_alone(module) for module in parts if module is not None]
    return work


def _alone(module: nn.Module) -> Work:
    """What no convolution takes along. The head reads fp32, which costs nothing, while logits rounded to bf16 tie."""
    if module is ADD:
        return Work(torch.add, lambda most, shortcut: most + shortcut)
    bound: Bound = lambda most, _: max(most, 1.0)  # noqa: E731  activations, pooling, padding: no larger than that
    if isinstance(module, nn.Linear):
        bound = _affine(module.weight.detach(), module.bias.detach())
    elif isinstance(module, nn.BatchNorm2d):
        bound = _affine(*_scale_and_offset(module))
    if isinstance(module, GlobalAverage | nn.Linear):
        return Work(lambda x, _: module(x.float()), bound)
    return Work(lambda x, _: module(x), bound)


def _affine(weight: Tensor, offset: Tensor, adds: bool = False) -> Bound:
    """The bound of a convolution, a fully connected layer or a BN, [C, …] and [C], and of an addition to it."""
    gain, constant = float(weight.float().abs().flatten(1).sum(1).max()), float(offset.float().abs().max())
    return lambda most, shortcut: ROUNDING * (gain * most + constant) + (shortcut if adds else 0.0)


def _scale_and_offset(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """[C, 1] and [C]: what BN in evaluation mode multiplies a channel by, and what it adds."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
    return scale[:, None], norm.bias.detach() - mean * scale


def folded(conv: nn.Conv2d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """(weight, bias) of the convolution that does what `conv` and then `norm`, in evaluation mode, do."""
    weight = conv.weight.detach()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if not isinstance(norm, nn.BatchNorm2d):
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight.detach() / torch.sqrt(variance + norm.eps)
    return weight * scale[:, None, None, None], norm.bias.detach() + (bias - mean) * scale


def _convolution(
    conv: nn.Conv2d, weight: Tensor, bias: Tensor, size: int, adds: bool, relu: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """`conv` with other values, the addition if it `adds`, and ReLU as one call, for maps of `size` x `size`.

    oneDNN's order of weights depends on the size: any other would be right, but reordered at every call. "add", "relu",
    "none" are oneDNN's names.
    """
    padding = [] if conv.padding_mode == "zeros" else list(conv._reversed_padding_repeated_twice)
    inside = [0, 0] if padding else list(conv.padding)
    where = [inside, *map(list, (conv.stride, conv.dilation)), conv.groups]
    size += padding[0] + padding[1] if padding else 0
    laid = weight.contiguous(memory_format=torch.channels_last)
    packed = torch.ops.mkldnn._reorder_convolution_weight(laid, *where, [1, conv.in_channels, size, size])
    call = torch.ops.mkldnn._convolution_pointwise

    def around(x: Tensor) -> Tensor:
        return F.pad(x, padding, mode=conv.padding_mode) if padding else x

    if adds:
        last = "relu" if relu else None
        return lambda x, shortcut: call.binary(around(x), shortcut, packed, bias, *where, "add", 1.0, last, [], None)
    return lambda x, _: call(around(x), packed, bias, *where, "relu" if relu else "none", [], None)
