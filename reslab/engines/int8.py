"""A network in 8 bits (`engines.quantise`) computed by oneDNN: convolution, addition and ReLU in one call.

A map that only 8-bit layers read is written as uint8. Any other, such as the sum that goes on through the shortcuts,
stays in bf16 (fp32 where oneDNN has no bf16) and is rounded when an 8-bit layer reads it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.engines import host
from reslab.engines.folding import convolution
from reslab.engines.quantise import Quantised, Scale
from reslab.engines.steps import function_of
from reslab.nets.flow import IMAGES
from reslab.nets.graph import Graph, Step
from reslab.store import native

SOURCE = Path(__file__).with_name("rounding.cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
KERNELS = {torch.float32: "round_fp32", torch.bfloat16: "round_bf16"}
_P, _N, _F, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int


def unsuitable_reason() -> str:
    """Return the reason this machine does not compute in 8 bits, or ""."""
    if not host.int8_units():
        return "this CPU has no int8 units (VNNI or AMX)"
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return "this torch is built without oneDNN's int8"
    return ""


@lru_cache(maxsize=1)
def _kernels() -> ctypes.CDLL | None:
    """Return the compiled rounding, or None if it cannot be compiled here."""
    if native.unavailable_reason(SOURCE, *FLAGS):
        return None
    library = native.library(SOURCE, *FLAGS)
    for name in KERNELS.values():
        getattr(library, name).argtypes = (_P, _P, _N, _F, _F, _I)
    return library


def rounded(x: Tensor, scale: Scale, compiled: bool = True) -> Tensor:
    """Return x in units of `scale`, uint8 in the memory layout of x; `compiled` False computes it by torch."""
    library = _kernels() if compiled else None
    if library is None or x.dtype not in KERNELS or not x.is_contiguous(memory_format=torch.channels_last):
        return (x.float() * (1 / scale.step)).round_().add_(scale.zero).clamp_(0, 255).to(torch.uint8)
    q = torch.empty_like(x, dtype=torch.uint8)
    kernel = getattr(library, KERNELS[x.dtype])
    kernel(x.data_ptr(), q.data_ptr(), x.numel(), 1 / scale.step, scale.zero, torch.get_num_threads())
    return q


@dataclass(frozen=True)
class Call:
    """Steps that are computed together.

    output   name of the last of them
    step     the first: a convolution, or the only one
    adds     name of the map that is added to the convolution's output, or None
    relu     whether the ReLU is applied at the end
    """

    output: str
    step: Step
    adds: str | None = None
    relu: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.step.inputs if self.adds is None else (*self.step.inputs, self.adds)


def calls_of(graph: Graph, readers: Mapping[str, Sequence[Step]]) -> list[Call]:
    """Return the steps in groups, in the order of computation; `readers` are those of each output."""
    ends: dict[str, Call] = {}
    inside = set[str]()

    def next_of(step: Step, kind: str) -> Step | None:
        following = readers.get(step.name, ())
        fits = len(following) == 1 and following[0].kind == kind and following[0].inputs[0] == step.name
        return following[0] if fits else None

    for step in graph.steps:
        if step.kind != "conv":
            continue
        chain, adds, relu = [step], None, False
        if IMAGES not in step.inputs and (addition := next_of(step, "add")):
            chain.append(addition)
            adds = addition.inputs[1]
        if graph.spec.activation == "relu" and (activation := next_of(chain[-1], "act")):
            chain.append(activation)
            relu = True
        inside |= {member.name for member in chain[:-1]}
        ends[chain[-1].name] = Call(chain[-1].name, step, adds, relu)
    return [ends.get(step.name, Call(step.name, step)) for step in graph.steps if step.name not in inside]


class Int8:
    """`run(images)` gives the features before the last layer [B, D] and the logits [B, classes], float32.

    images   float32 [B, C, S, S]
    wide     type of the maps that are not uint8; None: bf16, or fp32 where oneDNN has no bf16
    """

    def __init__(self, made: Quantised, wide: torch.dtype | None = None) -> None:
        self.made = made
        self._readers: dict[str, list[Step]] = {}
        for step in made.graph.steps:
            for name in step.inputs:
                self._readers.setdefault(name, []).append(step)
        narrow = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
        self.wide = wide or narrow
        calls = calls_of(made.graph, self._readers)
        self._last = {name: number for number, call in enumerate(calls) for name in call.inputs}
        assert all(call.adds is None or self._last[call.adds] == number for number, call in enumerate(calls)), (
            "an addition overwrites its shortcut, so nothing may read it afterwards"
        )
        self._calls = [(call.output, call.inputs, self._function(call)) for call in calls]

    @torch.no_grad()
    def run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (features, logits)."""
        values = {IMAGES: images.contiguous(memory_format=torch.channels_last)}
        features = output = values[IMAGES]
        for number, (name, inputs, function) in enumerate(self._calls):
            features = values[inputs[0]]
            output = values[name] = function(*[values[read] for read in inputs])
            for read in inputs:
                if self._last[read] == number:
                    values.pop(read, None)
        return features, output

    def _function(self, call: Call) -> Callable[..., Tensor]:
        if self.made.is_int8(call.step):
            return self._convolution(call)
        function = function_of(self.made.graph, call.step)
        if call.step.kind == "conv":
            assert isinstance(function, nn.Conv2d)
            weight, bias = (torch.from_numpy(values) for values in (call.step.weight, call.step.bias))
            folded = convolution(function, weight, bias, call.step.row.size_in, False, call.relu)
            return lambda x: folded(x.float(), x)
        if call.step.kind in ("gap", "linear"):
            return lambda x: function(x.float())
        return function

    def _convolution(self, call: Call) -> Callable[..., Tensor]:
        """Return a convolution in 8 bits, which takes (map, shortcut) or (map)."""
        step, row, spec = call.step, call.step.row, self.made.graph.spec
        weight, reads = self.made.weights[step.name], self.made.scales[step.inputs[0]]
        narrow = call.adds is None and all(self.made.is_int8(reader) for reader in self._readers[call.output])
        writes = self.made.scales[call.output] if narrow else Scale(1.0, 0)
        dtype = torch.uint8 if narrow else self.wide
        border = [row.padding] * 4 if spec.padding != "zeros" and row.padding else []
        geometry = ([row.stride] * 2, [0 if border else row.padding] * 2, [1, 1], 1)
        size = row.size_in + (2 * row.padding if border else 0)
        scales, bias = torch.from_numpy(weight.scales), torch.from_numpy(step.bias)
        packed = torch.ops.onednn.qconv_prepack(
            torch.from_numpy(weight.values), scales, reads.step, reads.zero, *geometry, [1, row.c_in, size, size]
        )
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        after = "relu" if call.relu else "none"
        compute: Any = torch.ops.onednn.qconv2d_pointwise

        def bytes_of(x: Tensor) -> Tensor:
            q = x if x.dtype == torch.uint8 else rounded(x, reads)
            return F.pad(q, border, mode=spec.padding) if border else q

        if call.adds is None:
            return lambda x: compute(
                bytes_of(x), reads.step, reads.zero, packed, scales, zeros, bias, *geometry, writes.step, writes.zero,
                dtype, after, [], None,
            )  # fmt: skip
        return lambda x, shortcut: compute.binary(
            bytes_of(x), reads.step, reads.zero, packed, scales, zeros,
            shortcut.to(dtype).contiguous(memory_format=torch.channels_last), bias, *geometry, writes.step, writes.zero,
            dtype, 1.0, 0, "sum", 1.0, after, [], None,
        )  # fmt: skip
