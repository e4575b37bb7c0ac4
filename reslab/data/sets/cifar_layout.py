"""`Layout`: names, sizes and checksums of the files of CIFAR-10 and CIFAR-100, and which of their labels are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reslab.data.splits import fingerprint

CHANNELS, SIZE = 3, 32
PIXELS = CHANNELS * SIZE * SIZE  # bytes of one image


@dataclass(frozen=True)
class Layout:
    """How the files of a set are called, and which of their labels are read.

    word, title      of the set
    classes          names of the labels
    train, test      names of the files of a split, without ".bin", and the number of images in each
    binary_folder    the folder in the archive of the binary version
    python_folder    the folder in that of the Python version
    label            which label is read: one of `label_bytes`
    label_bytes      keys of the labels in the pickles, in the order of the label bytes of a binary record
    column           the label's column in the parquet files
    md5s             the publisher's MD5 of each file of the Python version
    archive_md5      the publisher's MD5 of the archive of the Python version
    archive_bytes    its size
    torchvision      the class that downloads it
    mark             bytes that the fingerprint includes, if another set reads other labels of the same files
    notes            what a reader of results should know
    """

    word: str
    title: str
    classes: tuple[str, ...]
    train: Mapping[str, int]
    test: Mapping[str, int]
    binary_folder: str
    python_folder: str
    label: str
    label_bytes: tuple[str, ...]
    column: str
    md5s: Mapping[str, str]
    archive_md5: str
    archive_bytes: int
    torchvision: str
    mark: bytes = b""
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, int]:
        """Return names and numbers of images of the files of both splits."""
        return {**self.train, **self.test}

    @property
    def record(self) -> int:
        """Return the bytes of a binary record: the labels; the red, green and blue plane, each row by row."""
        return len(self.label_bytes) + PIXELS

    @property
    def advice(self) -> str:
        """Return the files that are expected, for messages."""
        return (
            f"expected train-*.parquet and test-*.parquet, the binary version ({next(iter(self.train))}.bin ..., or "
            f"its .tar.gz), or the Python version ({self.python_folder}, or its .tar.gz)"
        )

    def fingerprint(self, parts: Iterable[bytes]) -> str:
        """Return the SHA-256 (hex) over the content of all files."""
        return fingerprint([*parts, *([self.mark] if self.mark else [])])
