"""Decode batches in worker processes. Each decodes whole batches, so their number does not change a batch.

An error in a worker becomes one line: a damaged file a `BadImage`, a killed worker a `RunError`. Workers ignore SIGINT,
SIGTERM and SIGHUP: a signal to the process group is for the loop, which saves first and then ends its workers.
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

Item: TypeAlias = tuple[torch.Tensor, torch.Tensor, list[int]] | BadImage
"""(uint8 [B, H, W, C], int64 [B] rows of the split, rows that were left out), or the error"""

Decoded: TypeAlias = tuple[np.ndarray, np.ndarray, list[int]]
"""(uint8 [B, H, W, C], int64 [B] rows of the split, rows that were left out because they cannot be read)"""

Decode: TypeAlias = Callable[[int], Decoded]
"""number of a batch -> its images; may raise BadImage"""


class Views(Dataset[Item]):
    """A dataset whose items are whole decoded batches, by their numbers."""

    def __init__(self, views: Decode) -> None:
        self.views = views

    def __getitem__(self, number: int) -> Item:
        try:
            views, rows, left_out = self.views(number)
        except BadImage as error:  # returned: raised in a worker, it would arrive as a page of traceback
            return error
        return torch.from_numpy(views), torch.from_numpy(rows), left_out


def decode(views: Decode, numbers: range, workers: int) -> Iterator[Item]:
    """Yield the batches `numbers` in order from `workers` processes (0: from this one). Raises RunError if one dies."""
    batches: DataLoader[Item] = DataLoader(
        Views(views),
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_ignore_signals if workers else None,
        generator=torch.Generator(),  # a separate one: starting workers would advance torch's global generator
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,  # no default since 3.14
    )
    # In a list that is emptied at exit. A traceback may keep this stream alive, and torch's exit handler would then
    # send SIGTERM to the workers, which ignore it, and wait forever.
    running = [_start(batches)]
    atexit.register(running.clear)
    try:
        for _ in numbers:
            yield next(running[0])  # no other reference to the iterator, in this frame either
    except (RuntimeError, OSError, EOFError) as error:  # torch's error, or its broken pipe to the worker
        if not workers or "Original Traceback" in str(error):  # an error in the code, not of the process
            raise
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"a data worker process died ({reason}); try fewer with --workers, or 0") from None
    finally:
        running.clear()
        atexit.unregister(running.clear)


def _start(batches: DataLoader[Item]) -> Iterator[Item]:
    # torch installs a SIGCHLD handler that raises wherever the program is when a worker dies. Without the handler, the
    # death is noticed within 5 s while waiting for a batch, the only place that can report it in one line.
    if threading.current_thread() is not threading.main_thread():
        return iter(batches)
    previous = signal.getsignal(signal.SIGCHLD)
    iterator = iter(batches)
    if previous is not None:  # None: a handler that was not set from Python and cannot be restored
        signal.signal(signal.SIGCHLD, previous)
    return iterator


def _ignore_signals(_worker: int) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
