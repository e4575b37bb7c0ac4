"""Passes over batches that a stop ends, on all ranks after the same number of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from reslab.engines.ranks import ALONE, Ranks
from reslab.errors import Interrupted

T = TypeVar("T")


def until_stopped(batches: Iterable[T], stop: Callable[[], bool], ranks: Ranks = ALONE) -> Iterator[T]:
    """Yield `batches`; raise Interrupted when `stop()` is true between two of them.

    Several ranks, each with batches of its own, leave after the same number of them once `stop()` is true on one rank.
    They ask each other during a batch, so that none waits idly, and leave after it. A rank that has no batch left goes
    on to answer.
    """
    if ranks.is_alone:
        for one in batches:
            if stop():
                raise Interrupted("stopped between two batches")
            yield one
        return
    remaining = iter(batches)
    batch: T | None = next(remaining, None)
    while True:
        asked = torch.tensor([float(stop()), float(batch is not None)])
        wait = ranks.begin_add(asked)
        if batch is not None:
            yield batch
            batch = next(remaining, None)
        wait()
        stopping, busy = asked.tolist()
        if stopping:
            raise Interrupted("stopped between two batches")
        if not busy:
            return
