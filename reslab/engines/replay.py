"""Work on a GPU that is recorded once as a CUDA graph and then replayed.

A small network's update is hundreds of kernels of a few microseconds each, and launching them one by one from Python
takes longer than running them. A CUDA graph launches all of them at once: the same kernels on the same memory, so the
same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 3  # calls of each shape before the recording: libraries choose kernels, torch.compile compiles

Work = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Replayed:
    """`replayed(*inputs)` does `work(*inputs)`: the first WARM_UP calls of each shape directly, later ones by replay.

    `work` must neither wait for the GPU nor draw random numbers, and all it reads and writes beside its inputs
    (weights, gradients, momentum, rates) must keep its place in memory. The tensors returned are overwritten by the
    next call. Raises what torch raises where `work` cannot be recorded; nothing has been computed then.
    """

    def __init__(self, work: Work, device: str) -> None:
        self._work = work
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
        for kept, given in zip(recording.inputs, inputs, strict=True):
            kept.copy_(given)
        recording.graph.replay()
        return recording.outputs

    def _directly(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """On the stream of the recording: autograd remembers the stream on which a gradient was first accumulated."""
        usual = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            outputs = self._work(*inputs)
        usual.wait_stream(self._stream)
        return outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> Recording:
        kept = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        # All recordings are replayed one after another, so they may share their memory. Other threads (those that pin
        # batches, say) may go on using the GPU meanwhile.
        pool = next((r.graph.pool() for r in self._recordings.values()), None)
        with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = self._work(*kept)
        return Recording(graph, kept, outputs)
