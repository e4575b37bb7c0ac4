"""The torch side of each layer kind: its module and its initial weights.

`nets/kinds.py` holds the facts that need no torch; the two tables have the same keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.nets.row import Row
from reslab.nets.spec import Spec

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}


class PadShortcut(nn.Module):
    """Option A (§4.1): every stride-th pixel, padded with zero channels. [B,c_in,H,W] to [B,c_out,H/stride,W/stride].

    In an MLP [B,c_in] to [B,c_out]. `at`: the zeros are at the "end", or on "both" sides of the channels.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, at: str) -> None:
        super().__init__()
        before = (c_out - c_in) // 2 if at == "both" else 0
        self.stride, self.pad = stride, (before, c_out - c_in - before)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return F.pad(x, self.pad)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, *self.pad))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, zeros={self.pad}"


class GlobalAverage(nn.Module):
    """Mean over the map, [B,C,H,W] to [B,C]; torch's adaptive pooling has no deterministic backward pass on CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Dropout(nn.Dropout):
    """`nn.Dropout` of `features` activations, whose mask may be drawn before the forward pass.

    A mask of the whole batch, of which each part and each rank takes the rows of its images, depends on neither.
    """

    mask: Tensor | None = None

    def __init__(self, p: float, features: int) -> None:
        super().__init__(p)
        self.features = features

    def drawn(self, images: int, device: torch.device) -> Tensor:
        """Return a mask [images, features] from torch's generator: false where an activation becomes 0."""
        return torch.empty(images, self.features, dtype=torch.bool, device=device).bernoulli_(1 - self.p)

    def forward(self, x: Tensor) -> Tensor:
        if self.mask is None or not self.training:
            return super().forward(x)
        return x * self.mask * (1 / (1 - self.p))


def _conv(row: Row, spec: Spec) -> nn.Module:
    return nn.Conv2d(
        row.c_in, row.c_out, row.kernel, row.stride, row.padding, bias=row.bias,
        padding_mode=spec.padding if row.padding else "zeros",
    )  # fmt: skip


def _linear(row: Row, spec: Spec) -> nn.Module:
    return nn.Linear(row.c_in, row.c_out, bias=row.bias)


def _bn(row: Row, spec: Spec) -> nn.Module:
    return (nn.BatchNorm1d if spec.family == "mlp" else nn.BatchNorm2d)(row.c_out)


def _maxpool(row: Row, spec: Spec) -> nn.Module:
    # an odd map is rounded up, as by a strided convolution; VGG's pooling drops the border
    return nn.MaxPool2d(row.kernel, row.stride, row.padding, ceil_mode=row.size_out * 2 > row.size_in)


def _set_normal(module: Any, row: Row, variance: float, generator: torch.Generator) -> None:
    """Set the weights to samples of N(0, variance), biases to 0."""
    normal = torch.randn(module.weight.shape, generator=generator, dtype=torch.float32)
    module.weight.copy_(normal * math.sqrt(variance))
    if module.bias is not None:
        module.bias.zero_()


def _reset_bn(module: Any, row: Row, variance: float, generator: torch.Generator) -> None:
    """Set γ to 1 (0 if `row.zero`), β to 0, and reset the running statistics."""
    module.reset_parameters()
    if row.zero:
        module.weight.zero_()


@dataclass(frozen=True)
class Maker:
    """How a layer of a kind is made.

    module      builds the module of a row
    initialise  sets every parameter of the module in place: (module, row, variance of He initialisation, generator of
                this layer alone); None if it has no parameters
    """

    module: Callable[[Row, Spec], nn.Module]
    initialise: Callable[[nn.Module, Row, float, torch.Generator], None] | None = None


MAKERS: dict[str, Maker] = {
    "conv": Maker(_conv, _set_normal),
    "linear": Maker(_linear, _set_normal),
    "bn": Maker(_bn, _reset_bn),
    "act": Maker(lambda row, spec: ACTIVATIONS[spec.activation]()),
    "maxpool": Maker(_maxpool),
    "gap": Maker(lambda row, spec: GlobalAverage()),
    "pad": Maker(lambda row, spec: PadShortcut(row.c_in, row.c_out, row.stride, spec.pad_at)),
    "add": Maker(lambda row, spec: nn.Identity()),  # a `Block` adds; this marks the place in its sequence
    "flatten": Maker(lambda row, spec: nn.Flatten()),
    "dropout": Maker(lambda row, spec: Dropout(spec.dropout, row.c_out)),
}
