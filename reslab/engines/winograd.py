"""3x3 convolutions of stride 1 in training on a CPU with AVX512-BF16, by Winograd's F(2x2, 3x3): `convolve`.

`winograd.cpp` explains the method. Maps are bf16; weights and their gradients are fp32. The products are rounded once
more than in the direct method (docs/performance.md has the errors of both).
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reslab.engines import host
from reslab.engines.kernels import FLAGS, LANES
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.store import native

SOURCE = Path(__file__).with_suffix(".cpp")
# Transforming the weights pays off up to this many channels, and from this many tiles of 2x2 pixels on (measured).
MAX_CHANNELS, MIN_TILES = 128, 512
_P, _N, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


def unavailable_reason() -> str:
    """Return the reason this machine cannot run the kernels, or "" if it can. Compiles them on first use."""
    if "avx512_bf16" not in host.bf16_units():
        return "this CPU has no AVX512-BF16"
    return native.unavailable_reason(SOURCE, *FLAGS)


def no_gain(spec: Spec) -> str:
    """Return the reason `spec` would not be faster on this machine, or "".

    The AMX units of a CPU multiply many times as fast as its vector units, so there torch's convolutions, which use
    them, are expected to be faster.
    """
    if "amx_bf16" in host.bf16_units():
        return "this CPU has AMX"
    if not any(
        row.kind == "conv" and (row.kernel, row.stride) == (3, 1) and _fit(row.c_in, row.c_out) for row in plan(spec)
    ):
        return (
            f"the net has no 3x3 convolution of stride 1 with at most {MAX_CHANNELS} channels, in multiples of {LANES}"
        )
    return ""


def _fit(*channels: int) -> bool:
    return all(count % LANES == 0 and count <= MAX_CHANNELS for count in channels)


def is_worthwhile(x: Tensor) -> bool:
    """Return whether x, [B, C, H, W], has enough tiles to be worth transforming the weights."""
    return len(x) * (-(-x.shape[2] // 2)) * (-(-x.shape[3] // 2)) >= MIN_TILES


def supported(conv: nn.Conv2d, x: Tensor) -> bool:
    """Return whether the kernels can compute `conv` of x.

    They need: bf16 maps on the CPU; fp32 weights of 3x3, stride 1, zero padding of 1, no bias; 16, 32 … 128 channels.
    """
    return bool(
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and conv.weight.dtype == torch.float32
        and conv.kernel_size == (3, 3)
        and (conv.stride, conv.padding, conv.dilation, conv.groups) == ((1, 1), (1, 1), (1, 1), 1)
        and conv.padding_mode == "zeros"
        and conv.bias is None
        and _fit(conv.in_channels, conv.out_channels)
        and x.numel()
    )


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return `conv(x)`, [B, C, H, W]: by our kernels if `supported` and faster, otherwise by torch."""
    return convolve_natively(conv, x) if supported(conv, x) and is_worthwhile(x) else conv(x)


def convolve_natively(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return `conv(x)` by our kernels, [B, C, H, W] in bf16 and channels_last; it must be `supported`."""
    result: Tensor = _Convolution.apply(x, conv.weight)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        return _convolved(x, weight, transposed=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_dx, needs_dw = ctx.needs_input_grad
        dx = _convolved(gradient, weight, transposed=True) if needs_dx else None
        dw = torch.empty_like(weight) if needs_dw else None
        if dw is not None:
            _library().weight_gradient(
                *_addresses(x, gradient, dw), *_shape(x, gradient), *dw.stride(), torch.get_num_threads()
            )
        return dx, dw


def _convolved(x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    """Return the convolution of x with `weight`; transposed: the input's gradient, x being the output's gradient."""
    channels = weight.shape[1] if transposed else weight.shape[0]
    y = torch.empty((len(x), channels, *x.shape[2:]), dtype=x.dtype, memory_format=torch.channels_last)
    _library().convolve(*_addresses(x, weight, y), *_shape(x, y), *weight.stride(), transposed, torch.get_num_threads())
    return y


def _addresses(*tensors: Tensor) -> list[int]:
    return [t.data_ptr() for t in tensors]


def _shape(x: Tensor, y: Tensor) -> tuple[int, ...]:
    """Return (images, height, width, channels of x, channels of y)."""
    return len(x), *x.shape[2:], x.shape[1], y.shape[1]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = native.library(SOURCE, *FLAGS)
    shape, strides = [_N] * 5, [_N] * 4
    library.convolve.argtypes = (_P, _P, _P, *shape, *strides, _I, _I)
    library.weight_gradient.argtypes = (_P, _P, _P, *shape, *strides, _I)
    return library
