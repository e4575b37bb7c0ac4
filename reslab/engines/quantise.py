"""A network in 8 bits: the ranges of its activations, measured on training images, and its weights as whole numbers.

Activations are uint8, with one scale and zero point for a map: x ≈ step · (q − zero). Weights are int8 with a scale for
each output channel: w ≈ scale · q. The first convolution keeps its precision, as its input is the image, and so do
linear layers, as the outputs of the last are compared with each other. The sum of branch and shortcut (Eq. (1)) is not
rounded either, because the errors of all blocks would add up along the shortcuts: in a trained `cifar_resnet56` that
alone made the relative error of the logits 0.027 instead of 0.010.

Weights. Rounding each weight to the nearest number leaves an error for every input. Instead one column is rounded after
the other, and the columns that are still free make up for what this changes in the output on the training images
(Hassibi and Stork 1993; Frantar et al. 2022, "GPTQ"). In a trained `cifar_resnet20` this takes the relative error that
rounding the weights makes from 0.012 to 0.004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reslab.engines.steps import Steps
from reslab.nets.flow import IMAGES
from reslab.nets.graph import Graph, Step

LEVELS, LARGEST = 255, 127  # of an activation, and of a weight in either direction
PLACES = 64  # of each map that the rounding of weights is fitted to, at most
DAMPING = 0.01  # of the mean of the Hessian's diagonal, so that it can be inverted
COLUMNS = 128  # that are rounded before the rest is updated


@dataclass(frozen=True)
class Scale:
    """x ≈ step · (q − zero) with q in 0..255."""

    step: float
    zero: int

    @classmethod
    def of(cls, least: float, most: float) -> Scale:
        """Return the scale of values in least..most; 0 is always one of its levels."""
        least, most = min(least, 0.0), max(most, 0.0)
        step = max((most - least) / LEVELS, 1e-12)
        return cls(step, round(-least / step))

    def rounded(self, x: Tensor) -> Tensor:
        """Return x as it is after rounding to 8 bits, float32."""
        return ((x * (1 / self.step)).add(self.zero).round().clamp(0, LEVELS) - self.zero) * self.step


@dataclass(frozen=True, eq=False)
class Weight:
    """Whole numbers int8 [c_out, …] and a scale for each output channel, float32 [c_out]."""

    values: np.ndarray
    scales: np.ndarray

    def floats(self) -> np.ndarray:
        """Return the weights that these stand for, float32."""
        scaled: np.ndarray = self.values * self.scales.reshape(-1, *[1] * (self.values.ndim - 1))
        return scaled


@dataclass(frozen=True, eq=False)
class Quantised:
    """A network in 8 bits.

    scales    of the output of each step, and of the images
    weights   of the layers that compute in 8 bits
    largest   magnitude of a value in the images that it was made on
    """

    graph: Graph
    scales: Mapping[str, Scale]
    weights: Mapping[str, Weight]
    largest: float

    def is_int8(self, step: Step) -> bool:
        """Return whether the step computes in 8 bits."""
        return step.name in self.weights


def int8_layers(graph: Graph) -> list[Step]:
    """Return the layers that compute in 8 bits: every convolution but the first."""
    return [step for step in graph.steps if step.kind == "conv" and IMAGES not in step.inputs]


def quantised(
    graph: Graph, batches: Iterable[Tensor], compensate: bool = True, more: Iterable[Tensor] = (), headroom: float = 1.0
) -> Quantised:
    """Return the network in 8 bits.

    batches      training images as the network sees them, float32 [B, C, S, S] each
    compensate   round weights so that their errors cancel on these images, which takes about as long as evaluating
                 them ten times; else each to the nearest
    more         further training images that only the ranges of maps are measured on
    headroom     range of a map over the one measured; values beyond it are cut off
    """
    steps, layers = Steps(graph), {step.name for step in int8_layers(graph)}
    ranges: dict[str, tuple[float, float]] = {}
    moments: dict[str, Tensor] = {}

    def seen(name: str, values: Tensor) -> None:
        least, most = (float(value) for value in values.aminmax())
        before = ranges.get(name, (least, most))
        ranges[name] = min(least, before[0]), max(most, before[1])

    for images, fits in chain(zip(batches, repeat(compensate)), zip(more, repeat(False))):
        seen(IMAGES, images)
        for step, inputs, output in steps(images):
            seen(step.name, output)
            if fits and step.name in layers:
                columns = _columns(step, inputs[0], graph.spec.padding)
                product = columns.T @ columns
                moments[step.name] = moments[step.name] + product if step.name in moments else product
    scales = {name: Scale.of(headroom * least, headroom * most) for name, (least, most) in ranges.items()}
    weights = {step.name: _rounded(step, moments.get(step.name)) for step in graph.steps if step.name in layers}
    return Quantised(graph, scales, weights, max(map(abs, ranges[IMAGES])))


def _columns(step: Step, x: Tensor, padding: str) -> Tensor:
    """Return inputs of single outputs, [places, weights of an output], at evenly spaced places of each map."""
    row = step.row
    if padding != "zeros":
        x = F.pad(x, [row.padding] * 4, mode=padding)
    patches = F.unfold(x, row.kernel, padding=row.padding if padding == "zeros" else 0, stride=row.stride)
    every = -(-patches.shape[2] // PLACES)
    return patches[:, :, ::every].transpose(1, 2).flatten(0, 1)


def _rounded(step: Step, moment: Tensor | None) -> Weight:
    """Return the weights of a layer as whole numbers; with the `moment` of its inputs so that errors cancel."""
    assert step.weight is not None
    weight = torch.from_numpy(step.weight).flatten(1).double()
    scales = weight.abs().amax(1).clamp_min(1e-12) / LARGEST
    values = (weight / scales[:, None]).round()
    if moment is not None:
        values = _compensated(weight, scales, moment.double())
    values = values.clamp(-LARGEST, LARGEST).to(torch.int8)
    return Weight(values.reshape(step.weight.shape).numpy(), scales.float().numpy())


def _compensated(weight: Tensor, scales: Tensor, moment: Tensor) -> Tensor:
    """Return `weight` [c_out, n] in units of `scales` [c_out] as whole numbers; `moment` [n, n] is of the inputs.

    Columns with large inputs come first, while many are left to make up for them.
    """
    order = moment.diagonal().argsort(descending=True)
    moment, weight = moment[order][:, order], weight[:, order].clone()
    moment.diagonal().add_(DAMPING * moment.diagonal().mean().clamp_min(1e-12))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moment))
    upper = torch.linalg.cholesky(inverse, upper=True)
    values = torch.zeros_like(weight)
    for start in range(0, weight.shape[1], COLUMNS):
        end = min(start + COLUMNS, weight.shape[1])
        errors = torch.zeros_like(weight[:, start:end])
        for column in range(start, end):
            own = weight[:, column]
            values[:, column] = (own / scales).round().clamp(-LARGEST, LARGEST)
            error = (own - values[:, column] * scales) / upper[column, column]
            weight[:, column:end] -= error[:, None] * upper[column, column:end]
            errors[:, column - start] = error
        weight[:, end:] -= errors @ upper[start:end, end:]
    return values[:, order.argsort()]


def twin(made: Quantised, written: bool = False) -> Callable[[Tensor], Tensor]:
    """Return the function from images to logits in fp32 with the rounded weights and activations, step by step.

    written   what an 8-bit layer writes is rounded too, as in a QDQ file
    """
    graph = made.graph
    rounded = [
        replace(step, weight=made.weights[step.name].floats()) if made.is_int8(step) else step for step in graph.steps
    ]
    steps, by_name = Steps(Graph(graph.spec, tuple(rounded))), {step.name: step for step in graph.steps}

    def read(step: Step, name: str, x: Tensor) -> Tensor:
        reads_written = written and step.kind != "act" and name in by_name and made.is_int8(by_name[name])
        return made.scales[name].rounded(x) if made.is_int8(step) or reads_written else x

    return lambda images: steps.logits(images, read)
