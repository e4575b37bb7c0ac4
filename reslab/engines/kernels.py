"""Batch normalisation in training, the shortcut's addition and the ReLU as one kernel on the CPU: `normalise`.

`kernels.cpp` has the passes over memory. It is compiled once for this machine (seconds, kept in the user's cache) and
called through ctypes. If that is impossible, `unavailable_reason` returns the reason.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reslab.store import native

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-Wno-psabi")
LANES = 16  # floats in a vector of 512 bits; the kernels take channels in multiples of it
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_P, _N, _F, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
FORWARD = (_P, _P, _P, _N, _N, _P, _P, _P, _P, _P, _P, _F, _F, _I, _I)
BACKWARD = (_P, _P, _P, _P, _P, _P, _N, _N, _P, _P, _P, _P, _P, _I)


def unavailable_reason() -> str:
    """Return the reason the kernels are unavailable, or "" if they work. Compiles them on first use."""
    return native.unavailable_reason(SOURCE, *FLAGS)


def uncached_reason() -> str:
    """Return in one line the reason the kernels are not in the user's cache, or "" if they are."""
    return native.uncached_reason(SOURCE, *FLAGS)


@lru_cache(maxsize=1)
def usable() -> bool:
    """Return whether the kernels work on this machine; checked once per process."""
    return not unavailable_reason()


def normalise(
    bn: nn.BatchNorm2d,
    x: Tensor,
    shortcut: Tensor | None = None,
    *,
    relu: bool,
    twice: bool = False,
    kernels: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return ReLU(BN(x) + shortcut) in training mode, [B, C, H, W], as a pair: for the branch and for the shortcut.

    shortcut  [B, C, H, W], or None to add nothing
    relu      apply the ReLU
    twice     return two tensors that share memory; their gradients are added inside the kernel. Otherwise the pair is
              the same tensor twice
    kernels   False computes with torch's operators, as does an input that is not `supported`
    Updates the running statistics of `bn`.
    """
    if not (kernels and supported(bn, x)):
        y = bn(x)
        y = y if shortcut is None else y + shortcut
        y = y.relu() if relu else y
        return y, y
    assert bn.num_batches_tracked is not None
    bn.num_batches_tracked.add_(1)
    x = x.contiguous(memory_format=torch.channels_last)
    if shortcut is not None:
        shortcut = shortcut.to(x.dtype).contiguous(memory_format=torch.channels_last)
    output = _Normalise.apply(x, shortcut, bn.weight, bn.bias, bn, relu, twice)
    return output if twice else (output, output)


def supported(bn: nn.BatchNorm2d, x: Tensor) -> bool:
    """Return whether the kernels can compute `bn` of x.

    They need: training mode, the CPU, fp32 or bf16, channels in multiples of 16, more than one value per channel.
    """
    return bool(
        bn.training
        and usable()
        and x.device.type == "cpu"
        and x.dtype in TYPES
        and bn.weight.dtype == torch.float32
        and bn.num_features % LANES == 0
        and x.numel() > bn.num_features
        and bn.momentum is not None
    )


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shortcut: Tensor | None, weight: Tensor, bias: Tensor, bn: nn.BatchNorm2d, relu: bool,
        twice: bool,
    ) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        y, mean, invstd = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        _call(
            "forward", x, x, shortcut, y, *_shape(x), weight, bias, bn.running_mean, bn.running_var, mean, invstd,
            bn.momentum, bn.eps, relu,
        )  # fmt: skip
        ctx.save_for_backward(x, y if relu else None, weight, mean, invstd)
        ctx.has_shortcut = shortcut is not None
        ctx.set_materialize_grads(False)
        return (y, y.detach()) if twice else y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, invstd = ctx.saved_tensors
        dy = [d.contiguous(memory_format=torch.channels_last) for d in gradients if d is not None]
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        dy_other = dy[1] if len(dy) > 1 else None
        # g is the gradient of the sum before the ReLU. It is stored if the shortcut needs it, or if computing it twice
        # would read two gradients twice; without a shortcut dx serves as its memory.
        g_is_dy = y is None and dy_other is None
        g = None if g_is_dy else torch.empty_like(x) if ctx.has_shortcut else dx if dy_other is not None else None
        _call("backward", x, dy[0], dy_other, y, x, dx, g, *_shape(x), weight, mean, invstd, dweight, dbias)
        return dx, (dy[0] if g_is_dy else g) if ctx.has_shortcut else None, dweight, dbias, None, None, None


def _shape(x: Tensor) -> tuple[int, int]:
    """Return (rows, channels): a channels_last map as a matrix with one row per pixel."""
    return x.numel() // x.shape[1], x.shape[1]


def _call(direction: str, like: Tensor, *arguments: Any) -> None:
    """Call the kernel "forward" or "backward" for the type of `like`; tensors are passed as addresses."""
    kernel = getattr(_kernels(), f"{direction}_{TYPES[like.dtype]}")
    kernel(*(a.data_ptr() if isinstance(a, Tensor) else a for a in arguments), torch.get_num_threads())


@lru_cache(maxsize=1)
def _kernels() -> ctypes.CDLL:
    library = native.library(SOURCE, *FLAGS)
    for dtype in TYPES.values():
        getattr(library, f"forward_{dtype}").argtypes = FORWARD
        getattr(library, f"backward_{dtype}").argtypes = BACKWARD
    return library
