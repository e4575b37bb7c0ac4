"""Batch normalisation in training together with the shortcut's addition and the ReLU, on the CPU: `normalise`.

The passes over memory are in `kernels.cpp`, compiled once for this machine by its C++ compiler (seconds, kept in the
user's cache) and called through ctypes. If that is impossible, `unavailable_reason` returns the reason.
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
LANES = 16  # channels come in multiples of it
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_P, _N, _F, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
FORWARD = (_P, _P, _P, _N, _N, _P, _P, _P, _P, _P, _P, _F, _F, _I, _I)
BACKWARD = (_P, _P, _P, _P, _P, _P, _N, _N, _P, _P, _P, _P, _P, _I)


def unavailable_reason() -> str:
    """Return the reason the kernels are unavailable, or "" if they work. Compiles them on first use."""
    return native.unavailable_reason(SOURCE, *FLAGS)


def uncached_reason() -> str:
    """Return in one line why the kernels are compiled for this process alone, or "" if the user's cache has them."""
    return native.uncached_reason(SOURCE, *FLAGS)


@lru_cache(maxsize=1)
def usable() -> bool:
    """Whether there are kernels on this machine; asked once."""
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
    """ReLU(BN(x) + shortcut) in training mode, [B,C,H,W]; `shortcut` and the ReLU where they are.

    Updates the running statistics. Returns the result for both its readers (branch and shortcut): with `twice` as two
    tensors of one memory, whose gradients meet in the kernel; else the same tensor twice. Whatever the kernels do not
    serve (`served`), and everything without `kernels`, is left to torch.
    """
    if not (kernels and served(bn, x)):
        y = bn(x)
        y = y if shortcut is None else y + shortcut
        y = y.relu() if relu else y
        return y, y
    assert bn.num_batches_tracked is not None
    bn.num_batches_tracked.add_(1)
    x = x.contiguous(memory_format=torch.channels_last)
    if shortcut is not None:
        shortcut = shortcut.to(x.dtype).contiguous(memory_format=torch.channels_last)
    found = _Normalise.apply(x, shortcut, bn.weight, bn.bias, bn, relu, twice)
    return found if twice else (found, found)


def served(bn: nn.BatchNorm2d, x: Tensor) -> bool:
    """Training on the CPU in fp32 or bf16, channels in multiples of 16, more than one value per channel."""
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
        ctx.added = shortcut is not None
        ctx.set_materialize_grads(False)
        return (y, y.detach()) if twice else y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, invstd = ctx.saved_tensors
        found = [d.contiguous(memory_format=torch.channels_last) for d in gradients if d is not None]
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        two = found[1] if len(found) > 1 else None
        # where two gradients meet, or a shortcut wants it too, the gradient before the ReLU is kept: in dx until then
        plain = y is None and two is None
        g = None if plain else torch.empty_like(x) if ctx.added else dx if two is not None else None
        _call("backward", x, found[0], two, y, x, dx, g, *_shape(x), weight, mean, invstd, dweight, dbias)
        return dx, (found[0] if plain else g) if ctx.added else None, dweight, dbias, None, None, None


def _shape(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _call(what: str, like: Tensor, *arguments: Any) -> None:
    kernel = getattr(_kernels(), f"{what}_{TYPES[like.dtype]}")
    kernel(*(a.data_ptr() if isinstance(a, Tensor) else a for a in arguments), torch.get_num_threads())


@lru_cache(maxsize=1)
def _kernels() -> ctypes.CDLL:
    library = native.library(SOURCE, *FLAGS)
    for dtype in TYPES.values():
        getattr(library, f"forward_{dtype}").argtypes = FORWARD
        getattr(library, f"backward_{dtype}").argtypes = BACKWARD
    return library
