"""Check the folders for runs, cache, temporary files and shared memory: writable, trusted, with room."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reslab.checkup.guard import attempted
from reslab.checkup.result import FAULT, NOTE, OK, Finding
from reslab.store.files import cache as cache_folder
from reslab.store.trust import distrust, temporary_folder

LITTLE = 2 << 30  # bytes; two checkpoints of resnet50, its weights and momentum, take 0.6 GB
SHARED = "/dev/shm"
PREFETCHED = 2  # batches that a data worker has ready in shared memory
BATCH_BYTES = 128 * 3 * 224 * 224


def runs(out: Path) -> Iterator[Finding]:
    """Yield whether runs can be written to the folder `out`, which is not made."""
    place = _existing(out)
    path = os.path.abspath(out)
    if not place.is_dir():
        text = f"{path}: {place} is a file"
        yield Finding("runs", FAULT, text, "give another folder with --out", prevents=True, values={"path": path})
    elif problem := _unwritable(place):
        text = f"{path} cannot be written ({problem})"
        remedy = "go to another folder, or give one with --out"
        yield Finding("runs", FAULT, text, remedy, prevents=True, values={"path": path})
    else:
        yield _with_room("runs", path, place, "")


def cache() -> Iterator[Finding]:
    """Yield whether compiled kernels and lists of images can be kept; the folder is made as a run would make it."""
    folder = cache_folder()
    path = None if folder is None else str(folder)
    lost = "so each process compiles its kernels and reads large folders again"
    if problem := distrust(folder, create=True):
        yield Finding("cache", FAULT, f"{problem.problem}, {lost}", problem.remedy, values={"path": path})
        return
    assert folder is not None
    if reason := _unwritable(folder):
        text = f"{path} cannot be written ({reason}), {lost}"
        yield Finding("cache", FAULT, text, "set XDG_CACHE_HOME to a folder of your own", values={"path": path})
    else:
        yield _with_room("cache", str(folder), folder, "private")


def temporary() -> Iterator[Finding]:
    """Yield the folder in which kernels are compiled."""

    def made() -> Path:
        with temporary_folder() as folder:
            return folder.parent

    place, problem = attempted(made)
    if problem:
        yield Finding("temp", FAULT, problem, values={"path": None})
    else:
        yield _with_room("temp", str(place), place, "safe")


def shared_memory(workers: int) -> Iterator[Finding]:
    """Yield whether the batches of as many data workers fit into shared memory, on Linux."""
    if sys.platform != "linux" or not os.path.isdir(SHARED):
        return
    from reslab.engines.memory import shown

    free, needed = shutil.disk_usage(SHARED).free, workers * PREFETCHED * BATCH_BYTES
    values = {"path": SHARED, "free": free, "needed": needed}
    text = f"{SHARED}, {shown(free)} free"
    if free >= needed:
        yield Finding("shared", OK, text, values=values)
    else:
        text += f"; {workers} data workers with 128 images of 224 pixels a batch take {shown(needed)}"
        yield Finding("shared", NOTE, text, "raise it (docker: --shm-size), or take fewer --workers", values=values)


def _existing(path: Path) -> Path:
    """Return the nearest of `path` and its parents that exists."""
    path = Path(os.path.abspath(path))
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), path)


def _unwritable(folder: Path) -> str:
    """Return the reason no file can be written in `folder`, or ""; the file has no name and leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"reslab")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _with_room(subject: str, path: str, place: Path, state: str) -> Finding:
    from reslab.engines.memory import shown

    free = shutil.disk_usage(place).free
    values = {"path": path, "free": free}
    text = f"{path}, {f'{state}, ' if state else ''}{shown(free)} free"
    if free >= LITTLE:
        return Finding(subject, OK, text, values=values)
    return Finding(subject, NOTE, text, "free space there: a few checkpoints fill it", values=values)
