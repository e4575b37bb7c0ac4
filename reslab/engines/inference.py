"""Fast inference on a CPU: batch norm folded into the convolutions, which also add the shortcut and apply the ReLU.

`engines.folding` builds the parts. Nothing is compiled.

bf16: a trained net predicts another class for 2 to 3 of 1,000 images, all of them close calls. An image whose two
highest logits lie within the error of bf16 is therefore computed again in fp32.

Overflow: a ReLU inside a convolution turns NaN into 0, so an overflow would not show in the logits. Each part has a
bound on its values. If the bound exceeds `SAFE`, the input of the part is measured; if the part may still overflow, the
network's own forward in fp32 is used.

`Network.forward` is the version to read, the reference in the tests, and the fallback if this one cannot work.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor, nn

from reslab.engines.folding import FOLDED, Part, part_of
from reslab.nets.model import Block, Network
from reslab.nets.row import path_of
from reslab.nets.spec import Spec

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PIECE = 8 * 224 * 224  # pixels per piece of a batch: the maps of a piece stay in the CPU's cache
CLOSE = 1 / 16  # margin, in the unit of `close_calls`, below which bf16 may change the predicted class
SAFE = 1e30  # values up to this overflow neither in a sum over a map nor in the transform of a convolution


def unsuitable_reason(net: Network, precision: str) -> str:
    """Return the reason `net` cannot be computed this way on this machine, or ""."""
    if net.spec.family == "mlp":
        return "the net has no convolutions"
    if unknown := {row.kind for row in net.rows} - FOLDED:
        return f"the bounds of its {', '.join(sorted(unknown))} layers are unknown"
    if next(net.parameters()).device.type != "cpu":
        return "it is for the CPU"
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return "this torch is built without oneDNN"
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "oneDNN has no bf16 on this CPU"
    return ""


def piece_of(spec: Spec) -> int:
    """Return the number of images that go through a network at once."""
    return max(1, PIECE // spec.image_size**2)


class Inference:
    """`inference(images)` gives the logits [B, classes], float32, of images [B, in_channels, S, S].

    net         in evaluation mode; do not change it afterwards, because most weights are copied
    precision   "fp32": equal to the network's own logits up to the order of sums. "bf16": convolutions in bf16 with
                sums in fp32, the head in fp32, and close calls again in fp32, so that the highest logit is that of fp32
    `fallback` is the reason the network's own forward is used instead, or None. Images of another size than the net's
    use that forward too. Raises AssertionError if the network is in training mode.
    """

    def __init__(self, net: Network, precision: str = "bf16") -> None:
        assert not net.training, "the network must be in evaluation mode"
        self.net, self.precision = net, precision
        reason = unsuitable_reason(net, precision)
        self.fallback = f"not folded, as {reason}: slower, not broken" if reason else None
        self._parts: list[Part] = []
        if not reason:
            sizes = {net.get_submodule(path_of(row)): row.size_in for row in net.rows if row.kind == "conv"}
            *body, head = [net.get_submodule(name) for name in net.parts]
            lists = [part if isinstance(part, Block) else [*part.children()] for part in body]
            before_last = [*head.children()][:-1]
            self._parts = [part_of(part, sizes, PRECISIONS[precision]) for part in (*lists, before_last)]
            if not all(math.isfinite(part.bound(0.0)) for part in self._parts):
                self.fallback = "not folded, as its weights with batch norm are not finite: slower, not broken"

    @property
    def about(self) -> str:
        """Return the `fallback`, or ""."""
        return self.fallback or ""

    @cached_property
    def exact(self) -> Inference:
        """Return the fp32 version of this object, for close calls."""
        return Inference(self.net, "fp32")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        size = self.net.spec.image_size
        if self.fallback or images.shape[2:] != (size, size):
            device = next(self.net.parameters()).device
            with torch.autocast(device.type, torch.bfloat16, self.precision == "bf16", cache_enabled=False):
                logits = self.net(images.to(device)).float()
            return self._repaired(logits, images)
        return torch.cat([self._logits(piece) for piece in images.split(piece_of(self.net.spec))])

    def _reference(self, images: Tensor) -> Tensor:
        """Return the logits of the network's own forward in fp32, where NaN stays NaN."""
        logits: Tensor = self.net(images.to(next(self.net.parameters()).device)).float()
        return logits

    def _repaired(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return `logits`, with rows that are not finite computed again in fp32."""
        not_finite = ~torch.isfinite(logits).all(1)
        if self.precision == "bf16" and not_finite.any():
            logits[not_finite] = self._reference(images[not_finite.to(images.device)])
        return logits

    def _logits(self, images: Tensor) -> Tensor:
        features = images.to(PRECISIONS[self.precision]).contiguous(memory_format=torch.channels_last)
        bound = _largest(features)
        for part in self._parts:
            next_bound = part.bound(bound)
            if not next_bound < SAFE:  # written so that NaN counts as unsafe
                next_bound = part.bound(_largest(features))
                if not next_bound < SAFE:
                    return self._reference(images)
            bound, features = next_bound, part.run(features)
        last = self.net.get_submodule(path_of(self.net.rows[-1]))
        assert isinstance(last, nn.Linear)
        logits = self._repaired(last(features), images)
        if self.precision == "bf16":
            close = close_calls(logits, features, last.weight, CLOSE)
            if close.any():
                logits[close] = self.exact(images[close])
        return logits


def _largest(values: Tensor) -> float:
    """Return the largest magnitude, or NaN if a value is NaN."""
    minimum, maximum = values.aminmax()
    return float(torch.maximum(-minimum, maximum))


def margins(logits: Tensor, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the margin between the two highest logits of each image, [B], and its unit, [B].

    logits [B, C] are computed from features f [B, D] and the last layer's weight w [C, D]. Let a and b be the two
    highest classes. Without biases their margin is Σ (w_aj − w_bj) f_j. Independent relative errors ε of f change it by
    ε times the root of Σ ((w_aj − w_bj) f_j)², the unit.
    """
    (top, second), (a, b) = (columns.T for columns in logits.topk(2))
    return top - second, ((weight[a] - weight[b]) * features).norm(dim=1)


def close_calls(logits: Tensor, features: Tensor, weight: Tensor, bound: float) -> Tensor:
    """Return a mask [B] of the images whose highest logit may be another one in fp32.

    bound   of the error of a margin, in the unit of `margins`; `CLOSE` for bf16, whose error in CIFAR nets of 20
            layers is 0.006 to 0.01 units (median) and 0.03 to 0.06 (99 %); 2 to 3 % of their images are within `CLOSE`
    """
    if logits.shape[1] < 2:
        return torch.zeros(len(logits), dtype=torch.bool)
    margin, unit = margins(logits, features, weight)
    close: Tensor = ~(margin > bound * unit)  # written so that a logit that is not finite counts as close
    return close
