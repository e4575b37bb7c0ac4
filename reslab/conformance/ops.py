"""What each operation of a trace is: a convolution, a batch norm, a pooling, …, with its window and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from reslab.conformance.call import Call, Facts, by

# Recorded as one operation, although torch composes them of others: the parts would hide what they are.
WHOLE = frozenset(
    ("batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm", "linear", "pad", "adaptive_avg_pool2d",
     "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "prelu")
)  # fmt: skip

# The result depends on the first argument's shape only.
LIKE = frozenset(
    ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
     "new_empty", "new_full", "zero", "fill", "bernoulli", "uniform", "normal")
)  # fmt: skip
ZEROS = frozenset(("zeros", "zeros_like", "new_zeros", "zero"))
RANDOM = frozenset(("rand", "rand_like", "randn", "randn_like", "bernoulli", "uniform", "normal"))


def _pair(value: Any) -> tuple[int, int]:
    sides = [value] if isinstance(value, int) else list(value)
    return (sides[0], sides[-1])


def _convolution(call: Call) -> Facts:
    weight, groups, turned = call.args["weight"], call.args["groups"], call.args["transposed"]
    kernel, dilation = tuple(weight.shape[2:]), max(call.args["dilation"])
    c_in = weight.shape[0] if turned else weight.shape[1] * groups
    name = ("transposed " if turned else "") + by(kernel) + (f" dilated by {dilation}" if dilation > 1 else "")
    positions = (call.data if turned else call.out)[0].numel()
    channels = weight.shape[1] if turned else c_in // groups
    is_fixed = ("weight", "constant") in call.roles
    return Facts(
        "avgpool" if is_fixed else "conv",
        f"fixed {name} filter" if is_fixed else name,
        max(kernel),
        max(call.args["stride"]),
        groups,
        c_in,
        call.args["bias"] is not None,
        positions * math.prod(kernel) * channels,
    )


def _matrix(call: Call) -> Facts:
    """Return the facts of a linear layer; a product of two results of the image is something else."""
    c_in = call.data.shape[-1]
    macs = call.out.numel() // max(1, call.data.shape[0]) * c_in
    if not call.count("weight"):
        return Facts("other", "matrix product", macs=macs)
    bias = call.args.get("bias") is not None or call.name == "addmm"
    return Facts("linear", "linear", c_in=c_in, has_bias=bias, macs=macs)


def _norm(call: Call) -> Facts:
    name = call.name.replace("_", " ")
    if call.name == "batch_norm" and call.args["training"]:
        name += " without moving statistics"
    return Facts("norm", name)


def _bounded(call: Call) -> Facts:
    """Return the facts of a clamp: ReLU, ReLU6, or another."""
    low = call.args.get("min", call.args.get("min_val", call.args.get("threshold")))
    high = call.args.get("max", call.args.get("max_val"))
    if low != 0 or high not in (None, 6):
        return Facts("act", call.name.replace("_min", ""))
    return Facts("act", "relu" if high is None else "relu6")


def _sum(call: Call) -> Facts:
    alpha = call.args.get("alpha", 1)
    if call.count("data") > 1:
        if call.name == "sub":
            return Facts("other", "difference")
        return Facts("add", "+" if alpha == 1 else f"addition with a factor of {alpha:g}")
    other = call.args["other"]
    if call.count("zeros") or (not isinstance(other, Tensor) and other == 0):
        return Facts("view", "nothing added")
    return Facts("shift", "a learned addend" if call.count("weight") else "a constant addend")


def _product(call: Call) -> Facts:
    if call.count("data") > 1:
        return Facts("mul" if call.name == "mul" else "other", "gate" if call.name == "mul" else "quotient")
    if call.count("random"):
        masks_images = call.args["other"].numel() == call.out.shape[0]
        return Facts("dropout", "stochastic depth" if masks_images else "random factor")
    other = call.args["other"]
    if isinstance(other, Tensor):
        return Facts("scale", "a learned factor" if call.count("weight") else "a constant factor")
    if other == 0 and call.name == "mul":
        return Facts("zeros", "0")
    return (
        Facts("view", "1") if other == 1 else Facts("scale", f"{'times' if call.name == 'mul' else 'over'} {other:g}")
    )


def _maxpool(call: Call) -> Facts:
    kernel = _pair(call.args["kernel_size"])
    stride = _pair(call.args["stride"] or kernel)
    if max(kernel) == 1:
        return Facts("subsample", "every pixel" if max(stride) == 1 else f"every {max(stride)}nd pixel", 1, max(stride))
    return Facts("maxpool", f"{by(kernel)} max pooling", max(kernel), max(stride))


def _avgpool(call: Call) -> Facts:
    kernel = _pair(call.args["kernel_size"])
    stride = _pair(call.args["stride"] or kernel)
    if max(kernel) == 1:
        return Facts("subsample", f"every {max(stride)}nd pixel", 1, max(stride))
    if tuple(call.out.shape[2:]) == (1, 1) and kernel == tuple(call.data.shape[2:]):
        return Facts("gap", "global average")
    return Facts("avgpool", f"{by(kernel)} average pooling", max(kernel), max(stride))


def _adaptive(call: Call) -> Facts:
    before, after = tuple(call.data.shape[2:]), tuple(call.out.shape[2:])
    maximum = "max" in call.name
    if max(after) == 1:
        return Facts("other", "global maximum") if maximum else Facts("gap", "global average")
    if before == after:
        return Facts("view", "same size")
    kind, word = ("maxpool", "max") if maximum else ("avgpool", "average")
    return Facts(kind, f"{word} pooling to {by(after)}", stride=round(before[0] / after[0]))


def _mean(call: Call) -> Facts:
    rank = call.data.dim()
    dims = sorted(d % rank for d in (call.args.get("dim") or range(rank)))
    if rank >= 3 and dims == list(range(2, rank)):
        return Facts("gap", "global average")
    return Facts("other", f"mean over dimensions {', '.join(map(str, dims))}")


def _slice(call: Call) -> Facts:
    step, dim = call.args.get("step", 1), call.args.get("dim", 0) % call.data.dim()
    if tuple(call.out.shape) == tuple(call.data.shape):
        return Facts("view", "all of it")
    if dim >= 2 and step > 1 and call.out.shape[dim] == -(-call.data.shape[dim] // step):
        return Facts("subsample", f"every {step}nd pixel", 1, step if dim == 2 else 1)
    return Facts("slice", "part of the channels" if dim == 1 else "part of the map")


def _pad(call: Call) -> Facts:
    mode, pad = call.args.get("mode", "constant"), list(call.args["pad"])
    if mode != "constant":
        return Facts("other", f"{mode} padding")
    is_zero = not call.args.get("value")
    channels = any(pad[4:]) if call.data.dim() == 4 else any(pad)
    if channels:
        return Facts("pad", "zero channels") if is_zero else Facts("other", "constant channels")
    return Facts("view", "padding")


def _cat(call: Call) -> Facts:
    if len(call.roles) == 1:
        return Facts("view", "nothing")
    if call.count("data") > 1:
        return Facts("cat", "concatenation")
    return Facts("pad", "zero channels") if call.count("zeros") else Facts("other", "concatenation with a constant")


def _dropout(call: Call) -> Facts:
    rate = call.args["p"]
    word = {"feature_dropout": "channel dropout", "alpha_dropout": "alpha dropout"}.get(call.name, "dropout")
    return Facts("dropout", f"{word} {rate:g}") if rate else Facts("view", "no dropout")


def _named(kind: str, name: str = "") -> Callable[[Call], Facts]:
    return lambda call: Facts(kind, name or call.name.removeprefix("_"))


READERS: dict[str, Callable[[Call], Facts]] = {
    "convolution": _convolution,
    **dict.fromkeys(("linear", "addmm", "mm", "bmm", "baddbmm"), _matrix),
    **dict.fromkeys(("batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"), _norm),
    **dict.fromkeys(
        ("relu", "gelu", "silu", "elu", "leaky_relu", "hardswish", "hardsigmoid", "mish", "sigmoid", "tanh",
         "softplus", "celu", "prelu"), _named("act"),
    ),
    **dict.fromkeys(("clamp", "clamp_min", "hardtanh", "threshold"), _bounded),
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mul", "div"), _product),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool2d"), _maxpool),
    "avg_pool2d": _avgpool,
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive),
    "mean": _mean,
    "slice": _slice,
    **dict.fromkeys(
        ("split", "split_with_sizes", "unsafe_split", "unbind", "select"), _named("slice", "part of the channels")
    ),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    "cat": _cat,
    **dict.fromkeys(
        ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout"), _dropout
    ),
    **dict.fromkeys(("_softmax", "_log_softmax"), _named("softmax", "softmax")),
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand", "clone", "detach", "alias", "copy",
         "_to_copy", "lift_fresh", "_reshape_copy"), _named("view"),
    ),
}  # fmt: skip


def read(call: Call) -> Facts:
    """Return what `call` does; an operation without a reader is "other", by its own name."""
    reader = READERS.get(call.name)
    return reader(call) if reader else Facts("other", call.name.removeprefix("_"))
