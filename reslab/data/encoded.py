"""Encoded images in one block of memory, in the place of a sequence of paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from reslab.data.paths import Paths


class Encoded(bytes):
    """The bytes of an image file, with a `name` for messages."""

    name: str

    def __new__(cls, content: bytes, name: str) -> Encoded:
        encoded = super().__new__(cls, content)
        encoded.name = name
        return encoded

    def __reduce__(self) -> tuple[type[Encoded], tuple[bytes, str]]:
        return Encoded, (bytes(self), self.name)  # for a worker process


class EncodedImages(Sequence[Encoded]):
    """A sequence of encoded images.

    names          N names for messages
    block          the bytes of all images
    starts, ends   int64 [N], offsets of each image in `block`
    """

    def __init__(self, names: Paths, block: bytes | bytearray, starts: np.ndarray, ends: np.ndarray) -> None:
        self.names, self.block, self.starts, self.ends = names, block, starts, ends

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, row: int) -> Encoded: ...
    @overload
    def __getitem__(self, row: slice) -> EncodedImages: ...
    def __getitem__(self, row: int | slice) -> Encoded | EncodedImages:
        if isinstance(row, slice):
            return self.subset(np.arange(len(self))[row])
        content = bytes(memoryview(self.block)[self.starts[row] : self.ends[row]])
        return Encoded(content, self.names[row])

    def subset(self, rows: np.ndarray) -> EncodedImages:
        """Return the images of `rows` (int64 [M], or bool [N]) in that order, without copying the block."""
        return EncodedImages(self.names.subset(rows), self.block, self.starts[rows], self.ends[rows])
