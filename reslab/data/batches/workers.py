"""Decoding in worker processes: whole batches travel, in order, so their number cannot change what is in a batch.

What can go wrong in a worker comes back as one line: a damaged file as its `BadImage`, a worker that was killed as a
`RunError`. Workers ignore SIGINT, SIGTERM and SIGHUP, because a signal to the process group is for the loop, which
still has to save and then ends its workers itself.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reslab.data.images.decode import BadImage
from reslab.errors import RunError

Item: TypeAlias = tuple[torch.Tensor, torch.Tensor] | BadImage
"""(uint8 [B, H, W, C], int64 [B] rows of the split), or why there is none"""

Decode: TypeAlias = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""number of a batch -> (uint8 [B, H, W, C], int64 [B] rows of the split); may raise BadImage"""


class Views(Dataset[Item]):
    """Number of a batch -> the whole decoded batch: what one worker does at a time."""

    def __init__(self, views: Decode) -> None:
        self.views = views

    def __getitem__(self, number: int) -> Item:
        try:
            views, rows = self.views(number)
        except BadImage as error:  # as a value: raised in a worker it would come back as a page of traceback
            return error
        return torch.from_numpy(views), torch.from_numpy(rows)


def decode(views: Decode, numbers: range, workers: int) -> Iterator[Item]:
    """The batches `numbers`, in order, decoded by `workers` processes (0: this one). Raises RunError if one dies."""
    batches: DataLoader[Item] = DataLoader(
        Views(views),
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_ignore_signals if workers else None,
        generator=torch.Generator(),  # of its own, or starting workers would advance torch's global one
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,  # Python 3.14 starts others
    )
    # In a list that leaving the program empties: a stream kept alive by a traceback would otherwise leave workers that
    # ignore SIGTERM to an exit handler that sends SIGTERM and waits for ever.
    running = [_start(batches)]
    atexit.register(running.clear)
    try:
        for _ in numbers:
            yield next(running[0])  # no other reference to the iterator, in this frame either
    except (RuntimeError, OSError, EOFError) as error:  # torch's own verdict, or its broken pipe to the worker
        if not workers or "Original Traceback" in str(error):  # an error of the code, not of the process
            raise
        told = " ".join(str(error).split())[:160]
        raise RunError(f"a data worker process died ({told}); try fewer with --workers, or 0") from None
    finally:
        running.clear()
        atexit.unregister(running.clear)


def _start(batches: DataLoader[Item]) -> Iterator[Item]:
    # torch installs a SIGCHLD handler that raises at whatever line the program is in when a worker dies. Without it
    # the death is noticed where the batch is waited for (within 5 s), the one place that can tell it in a line.
    if threading.current_thread() is not threading.main_thread():
        return iter(batches)
    previous = signal.getsignal(signal.SIGCHLD)
    iterator = iter(batches)
    if previous is not None:  # None: a handler that was not set from Python, which could not be put back
        signal.signal(signal.SIGCHLD, previous)
    return iterator


def _ignore_signals(_worker: int) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
