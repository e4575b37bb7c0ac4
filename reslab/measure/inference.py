"""Images to logits as fast as this CPU can: batch norm folded into the convolutions, addition and ReLU done by them.

In evaluation mode BN is γ(x − μ)/√(σ²+ε) + β with constants, so a convolution W and the BN after it (§3.4) are one
convolution with weights Wγ/√(σ²+ε) and bias β − μγ/√(σ²+ε). What follows a convolution (BN, the addition of Eq. (1) and
(2), ReLU) is then one call of oneDNN, on weights which are brought into its own order once. Nothing is compiled.

In bf16 a trained net changes its mind about 2 to 3 of 1,000 images, all of them close calls. An image whose two highest
logits lie within the error of bf16 is therefore computed again in fp32.

`Network.forward` stays the one to read; it is the slow twin in the tests, and the way taken where this one cannot work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import torch
from torch import Tensor, nn

from reslab.nets.model import ADD, Block, GlobalAverage, Network, path_of

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PIECE = 8 * 224 * 224  # pixels; a batch goes through in pieces of so many, whose maps stay in the cache
CLOSE = 1 / 16  # a margin, in the unit of `close_calls`, that bf16 may turn round

Work = Callable[[Tensor, Tensor], Tensor]  # (input, shortcut to be added) to output
Sizes = dict[nn.Module, int]  # sides of the maps that convolutions read


def why_not(net: Network, precision: str) -> str:
    """Why `net` cannot be computed this way here, or ""."""
    if net.spec.family == "mlp":
        return "the net has no convolutions"
    if next(net.parameters()).device.type != "cpu":
        return "it is for the CPU"
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return "this torch is built without oneDNN"
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "oneDNN has no bf16 on this CPU"
    return ""


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
        self._parts: list[Callable[[Tensor], Tensor]] = []
        if not reason:
            sizes = {net.get_submodule(path_of(row)): row.size_in for row in net.rows if row.kind == "conv"}
            *body, head = [net.get_submodule(name) for name in net.parts]
            lists = [part if isinstance(part, Block) else [*part.children()] for part in body]
            before_last = [*head.children()][:-1]
            self._parts = [_part(part, sizes, PRECISIONS[precision]) for part in (*lists, before_last)]

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
                return self.net(images.to(device)).float()
        return torch.cat([self._logits(piece) for piece in images.split(max(1, PIECE // size**2))])

    def _logits(self, images: Tensor) -> Tensor:
        features = images.to(PRECISIONS[self.precision]).contiguous(memory_format=torch.channels_last)
        for part in self._parts:
            features = part(features)
        last = self.net.get_submodule(path_of(self.net.rows[-1]))
        assert isinstance(last, nn.Linear)
        logits = last(features)
        if self.precision == "bf16":
            close = close_calls(logits, features, last.weight)
            if close.any():
                logits[close] = self.exact(images[close])
        return logits


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
    return ~(top - second > CLOSE * unit)  # also where a logit is not finite


def _part(part: Block | list[nn.Module], sizes: Sizes, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A block, or modules one after another, as a function of its input."""
    if isinstance(part, list):
        chain = _grouped(part, sizes, dtype)
        return lambda x: _run(chain, x)
    before, shortcut = (_grouped(chain.children(), sizes, dtype) for chain in (part.before, part.shortcut))
    work = _grouped(part.sequence(), sizes, dtype)

    def block(x: Tensor) -> Tensor:
        """`Block.forward`, grouped."""
        activated = _run(before, x)
        return _run(work, activated, _run(shortcut, activated if part.projected else x))

    return block


def _run(work: Iterable[Work], x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    for one in work:
        x = one(x, x if shortcut is None else shortcut)
    return x


def _grouped(modules: Iterable[nn.Module], sizes: Sizes, dtype: torch.dtype) -> list[Work]:
    """The modules as work to be done one after another: a convolution with the BN, addition and ReLU that follow it."""
    rest, work = [*modules], list[Work]()

    def following(kind: type[nn.Module]) -> nn.Module | None:
        return rest.pop(0) if rest and isinstance(rest[0], kind) else None

    while rest:
        module = rest.pop(0)
        if isinstance(module, nn.Conv2d):
            weight, bias = folded(module, following(nn.BatchNorm2d))
            adds, relu = following(nn.Identity) is ADD, following(nn.ReLU) is not None
            work.append(_convolution(module, weight.to(dtype), bias.to(dtype), sizes[module], adds, relu))
        else:
            work.append(_alone(module))
    return work


def _alone(module: nn.Module) -> Work:
    """What no convolution takes along. The head reads fp32, which costs nothing, while logits rounded to bf16 tie."""
    if module is ADD:
        return torch.add
    if isinstance(module, GlobalAverage | nn.Linear):
        return lambda x, _: module(x.float())
    return lambda x, _: module(x)


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


def _convolution(conv: nn.Conv2d, weight: Tensor, bias: Tensor, size: int, adds: bool, relu: bool) -> Work:
    """`conv` with other values, the addition if it `adds`, and ReLU as one call, for maps of `size` x `size`.

    oneDNN's order of weights depends on the size: any other would be right, but reordered at every call. "add", "relu",
    "none" are oneDNN's names.
    """
    where = [*map(list, (conv.padding, conv.stride, conv.dilation)), conv.groups]
    laid = weight.contiguous(memory_format=torch.channels_last)
    packed = torch.ops.mkldnn._reorder_convolution_weight(laid, *where, [1, conv.in_channels, size, size])
    call = torch.ops.mkldnn._convolution_pointwise
    if adds:
        last = "relu" if relu else None
        return lambda x, shortcut: call.binary(x, shortcut, packed, bias, *where, "add", 1.0, last, [], None)
    return lambda x, _: call(x, packed, bias, *where, "relu" if relu else "none", [], None)
