"""Run independent tasks concurrently on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def run_concurrently(tasks: Sequence[Callable[[], None]], device: str) -> None:
    """Run all `tasks`, which must be independent: on a GPU each on its own stream, otherwise in order.

    Kernels of small tensors leave most of a GPU idle. The current stream waits for all tasks.
    """
    if not device.startswith("cuda") or len(tasks) < 2:
        for task in tasks:
            task()
        return
    current = torch.cuda.current_stream(device)
    streams = [torch.cuda.Stream(device) for _ in tasks]
    for task, stream in zip(tasks, streams, strict=True):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            task()
    for stream in streams:
        current.wait_stream(stream)
