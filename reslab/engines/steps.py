"""The steps of a network (`nets.graph`) computed by torch one by one, in fp32: for quantising, and as a slow twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from reslab.nets.flow import IMAGES
from reslab.nets.graph import WEIGHTED, Graph, Step
from reslab.nets.modules import MAKERS


def function_of(graph: Graph, step: Step) -> Callable[..., Tensor]:
    """Return the function from the step's inputs to its output, as torch computes it."""
    if step.kind == "add":
        return torch.add
    if step.kind == "bn":
        shape = (-1,) if graph.spec.family == "mlp" else (-1, 1, 1)
        scale, offset = (torch.from_numpy(values).reshape(shape) for values in (step.weight, step.bias))
        return lambda x: x * scale + offset
    layer: Any = MAKERS[step.kind].module(replace(step.row, bias=True), graph.spec).eval()
    if step.kind in WEIGHTED:
        layer.load_state_dict({"weight": torch.from_numpy(step.weight), "bias": torch.from_numpy(step.bias)})
    called: Callable[..., Tensor] = layer
    return called


class Steps:
    """`steps(images)` yields (step, inputs, output) in order; the last output is the logits [B, classes].

    images   float32 [B, C, S, S]
    read     called with the name of an output and its values before an int8 layer or another step reads them; returns
             the values that are read. An output is forgotten after its last reader
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._functions = [function_of(graph, step) for step in graph.steps]
        self._last = {name: number for number, step in enumerate(graph.steps) for name in step.inputs}

    @torch.no_grad()
    def __call__(
        self, images: Tensor, read: Callable[[Step, str, Tensor], Tensor] = lambda step, name, x: x
    ) -> Iterator[tuple[Step, list[Tensor], Tensor]]:
        values = {IMAGES: images}
        for number, (step, function) in enumerate(zip(self.graph.steps, self._functions, strict=True)):
            inputs = [read(step, name, values[name]) for name in step.inputs]
            values[step.name] = function(*inputs)
            yield step, inputs, values[step.name]
            for name in step.inputs:
                if self._last[name] == number:
                    values.pop(name, None)

    def logits(self, images: Tensor, read: Callable[[Step, str, Tensor], Tensor] = lambda step, name, x: x) -> Tensor:
        """Return the logits, float32 [B, classes]."""
        for _, _, output in self(images, read):
            found = output
        return found
