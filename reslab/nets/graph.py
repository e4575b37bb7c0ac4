"""A trained network as a list of steps with batch norm folded: what ONNX and the page are written from. Torch-free.

In evaluation mode BN is γ(x − μ)/√(σ²+ε) + β with constants (§3.4). A convolution or linear layer and the BN after it
are therefore one step with weights Wγ/√(σ²+ε) and bias β + (b − μ)γ/√(σ²+ε).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reslab.nets.flow import IMAGES, reads
from reslab.nets.plan import plan
from reslab.nets.row import Row, path_of
from reslab.nets.spec import Spec

if TYPE_CHECKING:
    import numpy as np

EPSILON = 1e-5  # added to the variance by batch norm, as in torch
OMITTED = ("dropout",)  # kinds that do nothing in evaluation mode
WEIGHTED = ("conv", "linear")


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the forward pass.

    name     the row whose output it gives; with BN folded in, the BN's row
    kind     of its layer: conv, linear, bn, act, maxpool, gap, pad, add, flatten
    inputs   names of the steps it reads (IMAGES: the network's input); an addition reads (branch, shortcut)
    row      the layer's row: kernel, stride, padding, sizes
    weight   float32: conv [c_out, c_in, k, k], linear [c_out, c_in], bn (not folded) [c]; None for other kinds
    bias     float32 [c_out]; None for other kinds
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    row: Row
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """The steps of a network in the order of computation; the last one gives the logits."""

    spec: Spec
    steps: tuple[Step, ...]

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for step in self.steps for array in (step.weight, step.bias) if array is not None)


def graph_of(spec: Spec, weights: Mapping[str, np.ndarray]) -> Graph:
    """Return the steps of `spec` with `weights` (parameters and BN buffers by their names in the torch module)."""
    import numpy as np

    rows = plan(spec)
    inputs = reads(rows)
    steps: dict[str, Step] = {}
    known = {IMAGES: IMAGES}  # row → step that has its output
    for row in rows:
        sources = tuple(known[name] for name in inputs[row.name])
        if row.kind in OMITTED or (row.kind == "act" and spec.activation == "identity"):
            known[row.name] = sources[0]
            continue
        step = Step(row.name, row.kind, sources, row)
        if row.kind in WEIGHTED:
            weight, bias = (weights.get(f"{path_of(row)}.{part}") for part in ("weight", "bias"))
            assert weight is not None
            step = replace(step, weight=weight, bias=np.zeros(row.c_out, np.float32) if bias is None else bias)
        elif row.kind == "bn":
            step = _normalised(step, steps.get(sources[0]), weights)
            if step.kind in WEIGHTED:
                del steps[sources[0]]
        steps[step.name] = step
        known[row.name] = step.name
    return Graph(spec, tuple(steps.values()))


def _normalised(norm: Step, before: Step | None, weights: Mapping[str, np.ndarray]) -> Step:
    """Return BN as a step of its own, or folded into the step `before` it. Computed in float64."""
    import numpy as np

    path = path_of(norm.row)
    gamma, beta, mean, variance = (
        weights[f"{path}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    if before is None or before.weight is None or before.bias is None or before.kind not in WEIGHTED:
        return replace(norm, weight=scale.astype(np.float32), bias=(beta - mean * scale).astype(np.float32))
    weight = before.weight * scale.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = beta + (before.bias - mean) * scale
    return replace(before, name=norm.name, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
