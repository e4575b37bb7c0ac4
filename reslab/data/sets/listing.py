"""List the files of a folder, and cache an index of them for later runs.

Reading all headers takes minutes, so the index is stored in the user's cache ($XDG_CACHE_HOME/reslab, or
~/.cache/reslab) and mapped into memory when the folder is opened again.

These changes invalidate the index: a file or folder added, removed or renamed (inode and times of each folder are
compared, links followed); a change of a file that was left out as no image (inode and times); other options; another
version of Pillow. For content overwritten in place, the sizes of `SAMPLE` random files are compared: that almost surely
notices a change of one file in a hundred, but not of a few files. Such files are noticed when they are decoded, like
damaged ones; `touch` on their folder makes reslab read all headers again.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.check.finding import Finding
from reslab.data.images.levels import FULL, Levels
from reslab.data.paths import Paths, Signature, signature, signed
from reslab.store.files import cache
from reslab.store.trust import distrust, is_trusted, replacing_privately

MIN_FILES = 10_000  # files from which on an index is cached; the headers of fewer are read within a second
SETTLED = 2.0  # seconds since the last change; a later change could have the same time if the clock is coarse
SAMPLE = 500
CHECKSUM = 4  # bytes of the CRC-32, which for 80 MB of names takes a third of the time of a SHA-256
# Files and folders of systems, network disks and tools, in lower case; then beginnings and endings of such names.
LITTER = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "#snapshot", "lost+found",
    "$recycle.bin", "system volume information", "__pycache__",
)  # fmt: skip
BEGINNINGS, ENDINGS = ("~$",), (".part", ".crdownload")
INITIALS = sorted({"~", ".", *(initial for name in LITTER for initial in (name[0], name[0].upper()))})


def is_visible(name: str) -> bool:
    """Return whether a name is neither hidden nor one that a system or tool has left there."""
    return not name.startswith((".", *BEGINNINGS)) and name.lower() not in LITTER and not name.endswith(ENDINGS)


def files_below(
    lead: str, name: str, watched: dict[str, Signature], unread: list[str], litter: list[str] | None = None
) -> Paths:
    """Return all visible files below the folder lead + name, at any depth, sorted.

    Adds the folders to `watched`, a line to `unread` for each folder that cannot be read (its path and the reason), and
    to `litter` the names of those that are left out.
    """
    return Paths(lead, os.fsencode(_names_below(lead, name, watched, unread, [] if litter is None else litter, set())))


def _names_below(
    lead: str,
    name: str,
    watched: dict[str, Signature],
    unread: list[str],
    litter: list[str],
    visited: set[tuple[int, int]],
) -> str:
    """Return the sorted names as one text, each ended by a zero byte."""
    watched[name] = None
    try:
        status = os.stat(lead + name)
        watched[name] = signed(status)  # before the entries are read, so that a later change is noticed next time
        if (status.st_dev, status.st_ino) in visited:  # a link to a parent folder would never end
            return ""
        visited.add((status.st_dev, status.st_ino))
        files, folders = entries(lead + name)
    except OSError as error:
        unread.append(f"{lead}{name}: cannot be read ({error.strerror or error})")
        return ""
    files.sort()
    for initial in INITIALS:  # checks only the names with these initials
        first, end = bisect_left(files, initial), bisect_left(files, chr(ord(initial) + 1))
        if first < end:
            litter += [f"{name}{os.sep}{file}" for file in files[first:end] if not is_visible(file)]
            files[first:end] = filter(is_visible, files[first:end])
    start = name + os.sep
    text = start + f"\0{start}".join(files) + "\0" if files else ""
    if any(f"{ending}\0" in text for ending in ENDINGS):
        litter += [start + file for file in files if not is_visible(file)]
        files = [file for file in files if is_visible(file)]
        text = start + f"\0{start}".join(files) + "\0" if files else ""
    if not folders:
        return text
    litter += [start + folder for folder in folders if not is_visible(folder)]
    for folder in sorted(filter(is_visible, folders)):
        text += _names_below(lead, start + folder, watched, unread, litter, visited)
    return "".join(f"{path}\0" for path in sorted(text.split("\0")[:-1]))


def entries(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of files and of folders, links followed; a broken link counts as a file."""
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:  # `append` returns None, so a folder's name goes there and not to the files
            return [e.name for e in entries if not e.is_dir() or folders.append(e.name)], folders  # type: ignore[func-returns-value]
    except OSError:  # a link to itself, or the folder cannot be read, which listdir raises again
        names = os.listdir(folder)
        folders = [name for name in names if os.path.isdir(os.path.join(folder, name))]
        return sorted(set(names) - set(folders)), folders


@dataclass(frozen=True)
class Part:
    """A split: its files class after class, the number of files of each class, and their sizes in bytes (int64 [N])."""

    paths: Paths
    counts: tuple[int, ...]
    sizes: np.ndarray


# -- the cached index


@dataclass(frozen=True)
class Index:
    """The content of a folder: `parts` by split; `watched`: files and folders that must be unchanged.

    levels   of 16-bit pixels that become black and white
    """

    classes: tuple[str, ...]
    parts: dict[str, Part]
    fingerprint: str
    notes: tuple[str, ...]
    watched: dict[str, Signature]
    findings: tuple[Finding, ...] = ()
    levels: Levels = FULL


def cached_index(name: str, key: Sequence[Any], lead: str, make: Callable[[], Index]) -> Index:
    """Return the cached index with this `key`, or that of `make` if there is none or the files have changed.

    name   of the kind of data, with which the name of the cached file begins
    """
    began = time.time()
    if (folder := cache()) is None:
        return make()
    file = folder / f"{name}-{hashlib.sha256(repr(key).encode(errors='backslashreplace')).hexdigest()[:16]}.index"
    index = load_index(file, key, lead)
    if index is None:
        index = make()
        save_index(file, key, index, began)
    return index


def save_index(path: Path, key: Sequence[Any], index: Index, began: float) -> None:
    """Write `index` to `path` for `load_index`.

    Format: the position of the JSON object (8 bytes), for each split its starts, sizes and names, the JSON object, a
    CRC-32. Nothing is written for few files, for a folder that changed just before its listing `began` (time.time()),
    or if the cache cannot be written or is not private to the user.
    """
    changed = max((max(signed[2:]) for signed in index.watched.values() if signed), default=0) / 1e9
    if sum(len(part.paths) for part in index.parts.values()) < MIN_FILES or began - changed < SETTLED:
        return
    if distrust(path.parent, create=True):
        return
    offset, parts, pieces = 8, {}, []
    for split, part in index.parts.items():
        n, block = len(part.paths), part.paths.block
        parts[split] = [offset, n, list(part.counts)]
        starts = part.paths.starts + (offset + 16 * n)
        pieces += [starts.tobytes(), part.sizes.tobytes(), block, bytes(-len(block) % 8)]
        offset += 16 * n + len(block) + -len(block) % 8
    facts = {
        "key": key, "classes": index.classes, "parts": parts, "fingerprint": index.fingerprint, "notes": index.notes,
        "findings": [finding.to_dict() for finding in index.findings], "watched": index.watched,
        "levels": [index.levels.low, index.levels.high],
    }  # fmt: skip
    with suppress(OSError), replacing_privately(path) as file:
        checksum = 0
        for piece in (offset.to_bytes(8, "little"), *pieces, json.dumps(facts).encode()):
            checksum = zlib.crc32(piece, checksum)
            file.write(piece)
        file.write(checksum.to_bytes(CHECKSUM, "little"))


def load_index(path: Path, key: Sequence[Any], lead: str) -> Index | None:
    """Return the index at `path`, mapped into memory; None if it has another key or if the folder has changed.

    A file that another user may have written is not read (`store.trust`).
    """
    if not is_trusted(path):
        return None
    try:
        with path.open("rb") as file:
            block = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = len(block) - CHECKSUM
        if end < 8 or zlib.crc32(memoryview(block)[:end]) != int.from_bytes(block[end:], "little"):
            return None  # incomplete or damaged
        facts = json.loads(block[int.from_bytes(block[:8], "little") : end])
        if facts["key"] != key or any(signature(lead + name) != saved for name, saved in facts["watched"].items()):
            return None
        parts = {}
        for split, (offset, n, counts) in facts["parts"].items():
            starts, sizes = np.frombuffer(block, np.int64, 2 * n, offset).reshape(2, n)
            parts[split] = Part(Paths(lead, block, starts), tuple(counts), sizes)
        if not all(map(_unchanged, parts.values())):
            return None
        findings = tuple(map(Finding.from_dict, facts["findings"]))
        return Index(
            tuple(facts["classes"]), parts, facts["fingerprint"], tuple(facts["notes"]), facts["watched"], findings,
            Levels(*facts["levels"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):  # no file, or an incomplete one
        return None


def _unchanged(part: Part) -> bool:
    """Return whether a random sample of the files has the recorded sizes."""
    rows = sampled(len(part.paths))
    signatures = (signature(part.paths[int(row)]) for row in rows)
    return all(s is not None and s[1] == size for s, size in zip(signatures, part.sizes[rows], strict=True))


def sampled(n: int) -> np.ndarray:
    """Return random rows of `n`, different in each call: int64 [at most SAMPLE]."""
    return np.random.default_rng().integers(0, n, min(SAMPLE, n))
