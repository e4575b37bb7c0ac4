"""File names in one block of memory.

The 1,281,167 names of ImageNet take 150 MB as strings, and 60 MB in one block in which each ends with a zero byte.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import overload

import numpy as np

Signature = list[int] | None


def signature(path: str) -> Signature:
    """Return inode, size and times of a file or folder, which reveal a change, or None if it cannot be read."""
    try:
        return signed(os.stat(path))
    except OSError:
        return None


def signed(status: os.stat_result) -> list[int]:
    """Return the `signature` of a file or folder with this status."""
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


class Paths(Sequence[str]):
    """A sequence of file names, each `lead` plus a name in `block`.

    block    names, each ended by a zero byte
    starts   int64 [N], offset of each name in `block`; None: all names of the block
    """

    def __init__(self, lead: str, block: bytes | mmap.mmap, starts: np.ndarray | None = None) -> None:
        self.lead, self.block, self._chosen = lead, block, starts

    @cached_property
    def starts(self) -> np.ndarray:
        if self._chosen is not None:
            return self._chosen
        ends = np.flatnonzero(np.frombuffer(self.block, np.uint8) == 0)
        return np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1])

    @cached_property
    def _number(self) -> int:
        return self.block[:].count(b"\0") if self._chosen is None else len(self._chosen)

    @classmethod
    def joined(cls, lead: str, sequences: Iterable[Paths]) -> Paths:
        """Return all names of `sequences` in order, in a new block."""
        return cls(lead, b"".join(paths._packed() for paths in sequences))

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Paths: ...
    def __getitem__(self, row: int | slice) -> str | Paths:
        if isinstance(row, slice):
            return self.subset(np.arange(len(self))[row])
        return self.lead + os.fsdecode(self._raw(row))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Paths) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[Paths], tuple[str, bytes]]:
        return Paths, (self.lead, self._packed())  # a memory-mapped file cannot be pickled

    def _raw(self, row: int) -> bytes:
        start = int(self.starts[row])
        return self.block[start : self.block.find(b"\0", start)]

    def _packed(self) -> bytes:
        if self._chosen is None:
            return self.block[:]
        return b"".join(self._raw(row) + b"\0" for row in range(len(self)))

    def relative(self, row: int) -> bytes:
        """Return the name without `lead`, with "/" between its parts on every system."""
        return self._raw(row).replace(os.fsencode(os.sep), b"/")

    def subset(self, rows: np.ndarray) -> Paths:
        """Return the names of `rows` (int64 [M], or bool [N]) in that order, without copying the block."""
        return Paths(self.lead, self.block, self.starts[rows])
