"""Images to logits as fast as this CPU can: batch norm folded into the convolutions, addition and ReLU done by them.

`engines.folding` makes the parts. Nothing is compiled.

In bf16 a trained net changes its mind about 2 to 3 of 1,000 images, all of them close calls. An image whose two highest
logits lie within the error of bf16 is therefore computed again in fp32.

A ReLU inside a convolution turns NaN into 0, so an overflow on the way would not show in the logits. Each part knows a
bound of its values. If the bound exceeds `SAFE`, the values are measured; if they may still overflow, the network's own
forward in fp32 decides.

`Network.forward` stays the one to read; it is the slow twin in the tests, and the way taken where this one cannot work.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor, nn

from reslab.engines.folding import FOLDED, Part, part_of
from reslab.nets.model import Block, Network, path_of
from reslab.nets.spec import Spec

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PIECE = 8 * 224 * 224  # pixels; a batch goes through in pieces of so many, whose maps stay in the cache
CLOSE = 1 / 16  # a margin, in the unit of `close_calls`, that bf16 may turn round
SAFE = 1e30  # values up to here overflow in no sum over a map and in no transform of a convolution


def why_not(net: Network, precision: str) -> str:
    """Why `net` cannot be computed this way here, or ""."""
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
    """Return how many images go through a network at once."""
    return max(1, PIECE // spec.image_size**2)


class Inference:
    """`inference(images)` gives the logits [B, classes], float32, of images [B, in_channels, S, S].

    net         in evaluation mode, and not to be changed afterwards: of most weights there is a copy
    precision   "fp32": the network's own logits but for the order of sums; "bf16": convolutions in bf16 with sums in
                fp32, the head in fp32, and close calls again in fp32, so that the highest logit is that of fp32
    `fallback` is why the network's own forward is used instead, or None; images of another size than the net's go that
    way, too. Raises AssertionError for a network in training mode.
    """

    def __init__(self, net: Network, precision: str = "bf16") -> None:
        assert not net.training, "the network must be in evaluation mode"
        self.net, self.precision = net, precision
        reason = why_not(net, precision)
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

    @cached_property
    def exact(self) -> Inference:
        """The same in fp32, for close calls."""
        return Inference(self.net, "fp32")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        size = self.net.spec.image_size
        if self.fallback or images.shape[2:] != (size, size):
            device = next(self.net.parameters()).device
            with torch.autocast(device.type, torch.bfloat16, self.precision == "bf16", cache_enabled=False):
                logits = self.net(images.to(device)).float()
            return self._settled(logits, images)
        return torch.cat([self._logits(piece) for piece in images.split(piece_of(self.net.spec))])

    def _plain(self, images: Tensor) -> Tensor:
        """Logits by the network's own forward in fp32, which hides nothing."""
        logits: Tensor = self.net(images.to(next(self.net.parameters()).device)).float()
        return logits

    def _settled(self, logits: Tensor, images: Tensor) -> Tensor:
        """`logits` with those that are not finite computed again in fp32."""
        unfit = ~torch.isfinite(logits).all(1)
        if self.precision == "bf16" and unfit.any():
            logits[unfit] = self._plain(images[unfit.to(images.device)])
        return logits

    def _logits(self, images: Tensor) -> Tensor:
        features = images.to(PRECISIONS[self.precision]).contiguous(memory_format=torch.channels_last)
        most = _largest(features)
        for part in self._parts:
            limit = part.bound(most)
            if not limit < SAFE:  # also if NaN
                limit = part.bound(_largest(features))
                if not limit < SAFE:
                    return self._plain(images)
            most, features = limit, part.run(features)
        last = self.net.get_submodule(path_of(self.net.rows[-1]))
        assert isinstance(last, nn.Linear)
        logits = self._settled(last(features), images)
        if self.precision == "bf16":
            close = close_calls(logits, features, last.weight)
            if close.any():
                logits[close] = self.exact(images[close])
        return logits


def _largest(values: Tensor) -> float:
    """The largest magnitude; NaN if one value is NaN."""
    least, most = values.aminmax()
    return float(torch.maximum(-least, most))


def close_calls(logits: Tensor, features: Tensor, weight: Tensor) -> Tensor:
    """Which of B images [B] may have another highest logit in fp32.

    The logits [B, C] are those of features f [B, D] and the last layer's weight w [C, D]. With highest classes a and b
    the margin is Σ (w_aj − w_bj) f_j, biases apart. Independent relative errors ε of f move it by ε times the root of
    Σ ((w_aj − w_bj) f_j)², which is the unit. In it bf16 errs in trained CIFAR nets of 20 layers by 0.006 to 0.01
    (median) and 0.03 to 0.06 (99 %); 2 to 3 % of the images are within CLOSE.
    """
    if logits.shape[1] < 2:
        return torch.zeros(len(logits), dtype=torch.bool)
    (top, second), (a, b) = (found.T for found in logits.topk(2))
    unit = ((weight[a] - weight[b]) * features).norm(dim=1)
    close: Tensor = ~(top - second > CLOSE * unit)  # also where a logit is not finite
    return close
