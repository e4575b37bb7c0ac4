"""A function on a GPU, recorded once as a CUDA graph and then replayed.

A small network's update is hundreds of kernels of a few microseconds each; launching them one by one from Python takes
longer than running them. A CUDA graph launches all of them at once: the same kernels on the same memory, so the same
bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 3  # calls of each shape before recording, in which libraries choose kernels and torch.compile compiles

Function = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class RecordingError(Exception):
    """A function cannot be recorded as a CUDA graph; nothing has been computed."""


class Replayed:
    """`replayed(*inputs)` computes `function(*inputs)`: the first WARM_UP calls of each shape directly, then by replay.

    `function` must neither wait for the GPU nor draw random numbers. Whatever else it reads and writes (weights,
    gradients, momentum, rates) must keep its address. The next call overwrites the returned tensors. Raises
    RecordingError if `function` cannot be recorded; its own errors pass through.
    """

    def __init__(self, function: Function, device: str) -> None:
        self._function = function
        self._stream = torch.cuda.Stream(device)
        self._calls = Counter[tuple[torch.Size, ...]]()
        self._recordings: dict[tuple[torch.Size, ...], Recording] = {}

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        shapes = tuple(x.shape for x in inputs)
        recording = self._recordings.get(shapes)
        if recording is None:
            self._calls[shapes] += 1
            if self._calls[shapes] <= WARM_UP:
                return self._directly(inputs)
            recording = self._recordings[shapes] = self._record(inputs)
        for recorded, current in zip(recording.inputs, inputs, strict=True):
            recorded.copy_(current)
        recording.graph.replay()
        return recording.outputs

    def _directly(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Call the function on the recording's stream: autograd remembers the stream of a gradient's first sum."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = self._function(*inputs)
        current.wait_stream(self._stream)
        return outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> Recording:
        recorded = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        # Recordings are replayed one after another, so they share one pool of memory. "thread_local" lets other
        # threads, such as those that pin batches, use the GPU meanwhile.
        pool = next((r.graph.pool() for r in self._recordings.values()), None)
        try:
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                outputs = self._function(*recorded)
        except RuntimeError as error:
            raise RecordingError(" ".join(str(error).split())) from error
        return Recording(graph, recorded, outputs)
