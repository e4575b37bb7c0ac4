"""A module's forward pass as a graph: one node for each operation on the image, found by running it once.

The module is copied first, so that nothing of it changes. Shapes are enough for the graph, so the copy lies on the meta
device and nothing is computed; a module that needs values is run on a random image.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reslab.conformance.record import Node, Recorder
from reslab.errors import UserError


@dataclass(frozen=True)
class Trace:
    """The nodes in order of computation. `image`: channels and side of the image; `classes`: of the output."""

    nodes: tuple[Node, ...]
    output: int
    image: tuple[int, int]
    classes: int


@contextmanager
def _random_numbers_restored() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _copied(module: nn.Module, on_meta: bool) -> nn.Module:
    """Return a copy of `module`, with tensors that have only a shape if `on_meta`."""
    memo: dict[int, Any] = {}
    if on_meta:
        for p in module.parameters():
            memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for b in module.buffers():
            memo[id(b)] = torch.empty_like(b, device="meta")
    return copy.deepcopy(module, memo)


def trace(module: nn.Module, image: tuple[int, int], *, training: bool = False, on_meta: bool = True) -> Trace:
    """Return the trace of a copy of `module` for an image of (channels, side).

    training   trace training mode, on two images, because batch norm of 1x1 maps needs two values
    Raises UserError if the result is no tensor [images, classes], and whatever the module raises.
    """
    batch = 2 if training else 1
    with _random_numbers_restored():
        net = _copied(module, on_meta)
        net.train(training)  # its result is not used: an override may return nothing
        weight = next(net.parameters(), torch.empty(0))
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(batch, image[0], image[1], image[1], generator=generator).to(weight.device, weight.dtype)
        recorder = Recorder(net, pixels)
        with torch.inference_mode(), recorder:
            result = net(pixels)
        logits = _logits(result)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[0] != batch:
            what = f"a tensor of shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(result).__name__
            raise UserError(f"{type(module).__name__} returns {what}; an audit needs logits [images, classes]")
        output = recorder.source(logits).node
    if output < 0:
        raise UserError(
            f"{type(module).__name__}: its output cannot be followed back to the image; use torch's operations only"
        )
    return Trace(tuple(recorder.nodes), output, image, logits.shape[1])


def _logits(result: Any) -> Any:
    """Return the logits of a result: itself, its `logits`, or the first of several."""
    if isinstance(result, Mapping) and "logits" in result:
        return result["logits"]
    if hasattr(result, "logits"):
        return result.logits
    return result[0] if isinstance(result, tuple | list) and result else result
