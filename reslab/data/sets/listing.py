"""Which files a folder holds, and an index of them that is kept from run to run.

Reading all headers takes minutes, so the index is kept in the user's cache ($XDG_CACHE_HOME/reslab, or ~/.cache/reslab)
and mapped into memory when the folder is opened again.

What may have changed since: any folder in which a file or folder came, went or got another name (its times and its
inode are compared, links followed); a file that was left out as no image (the same for itself); other options, another
Pillow. Content written over within the same file is looked for in a sample of `SAMPLE` files by their size: nearly sure
to be seen where one file in a hundred has changed, not where a few have. Those are met when they are decoded, as a
damaged file is; `touch` on their folder has all headers read anew.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.paths import Paths
from reslab.store.trust import distrust, is_trusted, replacing_privately

KEPT_FROM = 10_000  # files: below it all headers are read within a second
SETTLED = 2.0  # seconds: a folder that changed later than that may change again within one tick of its clock
SAMPLE = 500
CHECKSUM = 4  # bytes of the CRC-32: for 80 MB of names it takes a third of the time of a SHA-256
LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # what operating systems leave behind; never images
INITIALS = ".tTdD_"  # of names that may be hidden or litter

Signature = list[int] | None


def visible(name: str) -> bool:
    """Neither hidden nor litter."""
    return not name.startswith(".") and name.lower() not in LITTER


def below(lead: str, name: str, watched: dict[str, Signature], unread: list[str]) -> Paths:
    """All visible files below the folder lead + name, at any depth, sorted; adds the folders met to `watched`.

    Of a folder that cannot be read `unread` gets a line: its path, and why.
    """
    return Paths(lead, os.fsencode(_below(lead, name, watched, unread, set())))


def _below(
    lead: str, name: str, watched: dict[str, Signature], unread: list[str], seen: set[tuple[int, int]]
) -> str:  # fmt: skip
    """The sorted paths, each ended by a zero, as one text."""
    watched[name] = None
    try:
        here = os.stat(lead + name)
        watched[name] = _signature(here)  # before its entries are read: what comes later is seen next time
        if (here.st_dev, here.st_ino) in seen:  # a link that leads back up would never end
            return ""
        seen.add((here.st_dev, here.st_ino))
        files, folders = _divided(lead + name)
    except OSError as error:
        unread.append(f"{lead}{name}: cannot be read ({error.strerror or error})")
        return ""
    files.sort()
    for initial in INITIALS:  # so that hardly any name has to be looked at
        first, end = bisect_left(files, initial), bisect_left(files, chr(ord(initial) + 1))
        if first < end:
            files[first:end] = filter(visible, files[first:end])
    start = name + os.sep
    text = start + f"\0{start}".join(files) + "\0" if files else ""
    if not folders:
        return text
    text += "".join(_below(lead, start + folder, watched, unread, seen) for folder in sorted(filter(visible, folders)))
    return "".join(f"{path}\0" for path in sorted(text.split("\0")[:-1]))


def _divided(folder: str) -> tuple[list[str], list[str]]:
    """Names of files and of folders, links followed; a link that leads nowhere counts as a file."""
    folders: list[str] = []
    try:
        with os.scandir(folder) as found:  # `append` returns None: a folder's name goes there, and not to the files
            return [e.name for e in found if not e.is_dir() or folders.append(e.name)], folders  # type: ignore[func-returns-value]
    except OSError:  # a link to itself, which cannot be asked; or the folder, which is told here again
        names = os.listdir(folder)
        folders = [name for name in names if os.path.isdir(os.path.join(folder, name))]
        return sorted(set(names) - set(folders)), folders


# -- the index, kept


@dataclass(frozen=True)
class Part:
    """A split: its files class after class, how many each class has, and their sizes in bytes (int64 [N])."""

    paths: Paths
    counts: tuple[int, ...]
    sizes: np.ndarray


@dataclass(frozen=True)
class Index:
    """What a folder holds: `parts` by split; `watched` are the files and folders that must be as they were."""

    classes: tuple[str, ...]
    parts: dict[str, Part]
    fingerprint: str
    notes: tuple[str, ...]
    watched: dict[str, Signature]


def signed(path: str) -> Signature:
    """What changes with a file or folder, or None where it cannot be asked for."""
    try:
        return _signature(os.stat(path))
    except OSError:
        return None


def _signature(found: os.stat_result) -> list[int]:
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def keep(place: Path, key: Sequence[Any], index: Index, began: float) -> None:
    """Write `index` where `kept` finds it: arrays, a JSON object, whose position is in the first eight bytes, a CRC.

    Nothing is written for few files, for a folder that was just changing when its listing `began` (time.time()), and
    if the cache cannot be written or is not private to the user.
    """
    changed = max((max(was[2:]) for was in index.watched.values() if was), default=0) / 1e9
    if sum(len(part.paths) for part in index.parts.values()) < KEPT_FROM or began - changed < SETTLED:
        return
    if distrust(place.parent, create=True):
        return
    at, parts, pieces = 8, {}, []
    for room, part in index.parts.items():
        n, block = len(part.paths), part.paths.block
        parts[room] = [at, n, list(part.counts)]
        pieces += [(part.paths.starts + (at + 16 * n)).tobytes(), part.sizes.tobytes(), block, bytes(-len(block) % 8)]
        at += 16 * n + len(block) + -len(block) % 8
    facts = {
        "key": key, "classes": index.classes, "parts": parts, "fingerprint": index.fingerprint, "notes": index.notes,
        "watched": index.watched,
    }  # fmt: skip
    with suppress(OSError), replacing_privately(place) as file:
        checksum = 0
        for piece in (at.to_bytes(8, "little"), *pieces, json.dumps(facts).encode()):
            checksum = zlib.crc32(piece, checksum)
            file.write(piece)
        file.write(checksum.to_bytes(CHECKSUM, "little"))


def kept(place: Path, key: Sequence[Any], lead: str) -> Index | None:
    """Return the index kept at `place`, mapped; None if there is none of that key, or the folder has changed.

    A file that another user may have written is not read (`store.trust`).
    """
    if not is_trusted(place):
        return None
    try:
        with place.open("rb") as file:
            block = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = len(block) - CHECKSUM
        if end < 8 or zlib.crc32(memoryview(block)[:end]) != int.from_bytes(block[end:], "little"):
            return None  # torn or damaged: other names would be other images
        facts = json.loads(block[int.from_bytes(block[:8], "little") : end])
        if facts["key"] != key or any(signed(lead + name) != was for name, was in facts["watched"].items()):
            return None
        parts = {}
        for room, (at, n, counts) in facts["parts"].items():
            starts, sizes = np.frombuffer(block, np.int64, 2 * n, at).reshape(2, n)
            parts[room] = Part(Paths(lead, block, starts), tuple(counts), sizes)
        if not all(map(_unchanged, parts.values())):
            return None
        return Index(tuple(facts["classes"]), parts, facts["fingerprint"], tuple(facts["notes"]), facts["watched"])
    except (OSError, ValueError, KeyError, TypeError):  # no file, or a torn one
        return None


def _unchanged(part: Part) -> bool:
    """Whether the files of a sample have the sizes they had."""
    rows = sampled(len(part.paths))
    found = (signed(part.paths[int(row)]) for row in rows)
    return all(now is not None and now[1] == size for now, size in zip(found, part.sizes[rows], strict=True))


def sampled(n: int) -> np.ndarray:
    """Rows of `n` to look at, others each time: int64 [at most SAMPLE]."""
    return np.random.default_rng().integers(0, n, min(SAMPLE, n))
