"""Independent pieces of work side by side on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def side_by_side(works: Sequence[Callable[[], None]], device: str) -> None:
    """Do all of `works`, which must not depend on one another: on a GPU each on a stream of its own, else in order.

    Kernels of small tensors leave most of a GPU idle. What follows waits for all of them.
    """
    if not device.startswith("cuda") or len(works) < 2:
        for work in works:
            work()
        return
    usual = torch.cuda.current_stream(device)
    streams = [torch.cuda.Stream(device) for _ in works]
    for work, stream in zip(works, streams, strict=True):
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            work()
    for stream in streams:
        usual.wait_stream(stream)
