"""Examine every file of a folder once, in worker processes; the facts are remembered by path, size and times.

They are kept in the user's cache, one file for each folder. A file is examined again if its inode, size or times have
changed. A decoder that kills its process is found by examining the files of the lost part one by one.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import PIL

from reslab.data.check.facts import Facts, facts_of
from reslab.data.encoded import Encoded
from reslab.data.images.decode import FORMATS, MAX_PIXELS
from reslab.data.paths import Signature, signature
from reslab.store.files import cache
from reslab.store.trust import read_kept, write_kept

MOST = 100_000  # files of which the bodies are examined before training; of larger folders only the headers
ALONE = 64  # files that one process examines faster than several begin
FEWEST = 64  # files of a folder whose facts are remembered; fewer are examined within a second
CHUNK = 32  # files that a process examines before it answers
PACE = 5.0  # seconds between two reports
SETTLED = 2_000_000_000  # nanoseconds since the last change
_FORM = 3  # version of the remembered facts


@dataclass(frozen=True)
class Pace:
    """How far a survey is: files done of those to examine, files per second, seconds left."""

    done: int
    files: int
    rate: float
    left: float

    def event(self) -> dict[str, Any]:
        """Return the event that tells it on the command line."""
        facts = {"iteration": self.done, "iterations": self.files, "rate": self.rate, "left": self.left}
        return {"kind": "survey", "name": "files", **facts}


Watch = Callable[[Pace], None]
Known = dict[str, tuple[Signature, Facts]]


def survey(root: Path, names: Sequence[str], workers: int = 0, watch: Watch | None = None) -> list[Facts]:
    """Return the facts of the files `names` of the folder `root`, in order.

    workers, watch   as in `surveyed`
    """
    place = _place(root)
    known, fresh = _remembered(place), dict[str, Facts]()
    signatures = {name: signature(os.path.join(root, name)) for name in names}
    missing = [name for name, signed in signatures.items() if name not in known or known[name][0] != signed]
    try:
        for row, facts in surveyed([os.path.join(root, name) for name in missing], workers, watch):
            fresh[missing[row]] = facts
    finally:  # what was examined before an interruption is not lost
        if fresh:
            known |= {name: (signatures[name], facts) for name, facts in fresh.items()}
            if len(known) >= FEWEST:
                _remember(place, known)
    return [known[name][1] for name in names]


def surveyed(
    sources: Sequence[str | Encoded], workers: int = 0, watch: Watch | None = None
) -> Iterator[tuple[int, Facts]]:
    """Yield (number, facts) of each file or encoded image, in the order in which they are known.

    workers   processes that decode; 0: this one
    watch     called about every five seconds while files are examined, and at their end if it was called before
    """
    began = told = time.monotonic()
    for done, found in enumerate(_examined(sources, workers if len(sources) > ALONE else 0), 1):
        yield found
        now = time.monotonic()
        if watch is not None and ((done == len(sources) and told > began) or now - told >= PACE):
            told, rate = now, done / (now - began)
            watch(Pace(done, len(sources), rate, (len(sources) - done) / rate))


# -- processes


def _examined(sources: Sequence[str | Encoded], workers: int) -> Iterator[tuple[int, Facts]]:
    """Yield the number and the facts of each source."""
    if not workers:
        yield from enumerate(map(facts_of, sources))
        return
    chunks = [range(len(sources))[start : start + CHUNK] for start in range(0, len(sources), CHUNK)]
    lost: list[range] = []
    pool = _pool(min(workers, len(chunks)))
    try:
        jobs = {pool.submit(_facts_of_all, sources[chunk.start : chunk.stop]): chunk for chunk in chunks}
        for job in as_completed(jobs):
            try:
                yield from zip(jobs[job], job.result(), strict=True)
            except BrokenProcessPool:
                lost.append(jobs[job])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    for number in chain.from_iterable(lost):
        yield number, _alone(sources[number])


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_signals)


def _ignore_signals() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # to the process group: the parent ends its workers itself
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _facts_of_all(sources: Sequence[str | Encoded]) -> list[Facts]:
    return [*map(facts_of, sources)]


def _alone(source: str | Encoded) -> Facts:
    """Return the facts of a source from a process of its own, which the source may kill."""
    with _pool(1) as pool:
        try:
            return pool.submit(_facts_of_all, [source]).result()[0]
        except BrokenProcessPool:
            return Facts("the decoder's process dies of it")


# -- what is remembered


def _place(root: Path) -> Path | None:
    """Return the file that holds what is known of a folder, or None without a cache folder."""
    if (folder := cache()) is None:
        return None
    key = repr((_FORM, os.path.realpath(root), PIL.__version__, FORMATS, MAX_PIXELS))
    return folder / f"facts-{hashlib.sha256(key.encode(errors='backslashreplace')).hexdigest()[:16]}.json"


def _remembered(place: Path | None) -> Known:
    """Return what the file holds, {} if it is absent, damaged, or may have been written by somebody else."""
    try:
        rows = json.loads(read_kept(place) or b"[]")
        return {name: (signed, Facts(*values)) for name, signed, values in rows}
    except (ValueError, TypeError):  # of a version that wrote it otherwise
        return {}


def _remember(place: Path | None, known: Known) -> None:
    """Write the file; what changed just now is left out, as a later change could have the same time."""
    now = time.time_ns()
    rows = [
        (name, signed, astuple(facts))
        for name, (signed, facts) in known.items()
        if signed is not None and now - max(signed[2:]) > SETTLED
    ]
    write_kept(place, json.dumps(rows).encode())
