"""`Data`: a data set with up to three separate splits, in memory or as lists of files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from reslab.data.check.finding import Finding
from reslab.data.encoded import EncodedImages
from reslab.data.images.levels import FULL, Levels
from reslab.data.images.squares import Resize
from reslab.data.order import random_bits
from reslab.data.paths import Paths
from reslab.errors import UserError, suggest

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Memory:
    """A split in memory. Raises ValueError if shapes or types are not those below."""

    images: np.ndarray
    """uint8 [N, H, W, C], 0..255"""
    labels: np.ndarray
    """int64 [N]"""

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, H, W, C], not {self.images.dtype} {self.images.shape}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(self.images)}], not {self.labels.dtype} {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Memory({len(self):,} images {'×'.join(map(str, self.images.shape[1:]))})"

    def subset(self, indices: np.ndarray) -> Memory:
        """Return a copy of the samples `indices` (int64 [M], or bool [N]) in that order."""
        return Memory(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False, repr=False)
class Files:
    """A split as a list of image files, decoded when needed. Raises ValueError if the labels do not fit."""

    paths: Sequence[str] | EncodedImages
    """N file names that can be opened (a tuple, or `Paths` for many files), or the contents of such files"""
    labels: np.ndarray
    """int64 [N]"""
    size: int
    """side of the square that the network sees, pixels"""
    channels: int = 3
    """3, or 1: decoded to grey"""
    levels: Levels = FULL
    """of 16-bit pixels that become black and white"""
    skip: bool = False
    """leave out a file that turns out damaged when it is decoded"""
    resize: Resize = "crop"
    """how an image becomes the square"""

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.paths),):
            raise ValueError(f"labels must be int64 [{len(self.paths)}], not {self.labels.dtype} {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Files({len(self):,} images to {self.size}×{self.size})"

    def subset(self, indices: np.ndarray) -> Files:
        """Return the samples `indices` (int64 [M], or bool [N]) in that order."""
        rows = np.arange(len(self))[indices]
        in_block = isinstance(self.paths, Paths | EncodedImages)
        paths = self.paths.subset(rows) if in_block else tuple(self.paths[row] for row in rows)  # type: ignore[union-attr]
        return dataclasses.replace(self, paths=paths, labels=self.labels[rows])

    def name(self, row: int) -> str:
        """Return the name of an image's file for messages."""
        return self.paths.names[row] if isinstance(self.paths, EncodedImages) else self.paths[row]


Split: TypeAlias = Memory | Files


@dataclass(frozen=True, eq=False)
class Data:
    """A data set. Raises UserError if a label is outside 0 .. len(classes) - 1."""

    name: str
    classes: tuple[str, ...]
    """names of the classes; a label is an index into them"""
    channels: int
    size: int
    """side of the square images, pixels"""
    train: Split | None
    val: Split | None
    test: Split | None
    fingerprint: str
    """SHA-256 (hex) of the content of all splits, also of those that were not read"""
    notes: tuple[str, ...] = ()
    """what a reader of results should know about these data, one line each"""
    findings: tuple[Finding, ...] = ()
    """what the examination of a folder found"""
    place: str = ""
    """its --data text with an absolute path, "" if it has no path"""
    kind: str = "set"
    """"set": known by a word; "folder": image files in folders, lists or parquet files; "given": from Python"""
    val_share: float | None = None
    """folders and lists: the share of the training images that became val"""
    bad_images: str = "error"
    """folders and lists: "error" refuses files that are no images, "skip" leaves them out"""
    group: str | None = None
    """folders and lists: the regular expression whose groups of files the cut by `val_share` keeps whole"""
    levels: Levels = FULL
    """image files: the levels of 16-bit pixels that become black and white"""
    files: str = ""
    """`fingerprint` of the same files read over the full range of 16 bits; "" if it is that one"""

    def __post_init__(self) -> None:
        for name, part in self.splits().items():
            wrong = (part.labels < 0) | (part.labels >= len(self.classes))
            if wrong.any():
                row = int(np.argmax(wrong))
                sample = part.name(row) if isinstance(part, Files) else f"sample {row}"
                problem = f"label {part.labels[row]} is outside 0..{len(self.classes) - 1}"
                raise UserError(f"{self.name}: {name} split, {sample}: {problem}")

    def splits(self) -> dict[str, Split]:
        """Return the splits that were read, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def origin(self) -> dict[str, Any]:
        """Return what identifies these images, besides the text of --data, in plain types for a record."""
        options = {"val_share": self.val_share, "bad_images": self.bad_images} if self.kind == "folder" else {}
        group = {} if self.group is None else {"group": self.group}
        return {
            "name": self.name, "kind": self.kind, "fingerprint": self.fingerprint, **options, **group,
            **self.levels.recorded(),
        }  # fmt: skip

    @property
    def files_fingerprint(self) -> str:
        """The fingerprint of the files, whatever range of 16 bits they are read over."""
        return self.files or self.fingerprint

    def resized(self, resize: Resize) -> Data:
        """Return the data whose image files become squares by `resize`; sets in memory have squares already."""
        splits = {
            name: dataclasses.replace(part, resize=resize) if isinstance(part, Files) else part
            for name, part in self.splits().items()
        }
        findings = tuple(finding for finding in self.findings if finding.kind != "cropped" or resize == "crop")
        return dataclasses.replace(self, **splits, findings=findings)  # type: ignore[arg-type]

    def split(self, name: str) -> Split:
        """Return the split `name`. Raises UserError with the existing splits if it is none of them."""
        splits = self.splits()
        if name in splits:
            return splits[name]
        names = ", ".join(splits) or "none was read"
        hint = "; hold some training samples out to get one" if name == "val" and "train" in splits else ""
        raise UserError(f"{self.name} has no {name!r} split (there are: {names}){hint or suggest(name, splits)}")


def ranged(fingerprint_of_files: str, levels: Levels) -> str:
    """Return the fingerprint of files whose 16-bit pixels are read over `levels`: other images, unless it is full."""
    if levels.is_full:
        return fingerprint_of_files
    return fingerprint([fingerprint_of_files.encode(), f"levels {levels.low} to {levels.high}".encode()])


def fingerprint(parts: Iterable[bytes | np.ndarray]) -> str:
    """Return the SHA-256 (hex) over byte strings and arrays; it includes length and shape of each."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).data)
        else:
            total.update(f"bytes{len(part)}".encode())
            total.update(part)
    return total.hexdigest()


def stratified(labels: np.ndarray, count: int, seed: int, stream: str) -> np.ndarray:
    """Return bool [N] with exactly `count` True, in proportion to the sizes of the classes, chosen by a pure hash.

    Each class gives its share rounded down; the remainder comes from the classes with the largest fractions, the lower
    label first. Within a class the samples with the smallest random bits are chosen.
    """
    n = len(labels)
    if not 0 <= count <= n:
        raise ValueError(f"cannot choose {count} of {n}")
    classes, sizes = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(sizes * count, max(n, 1))
    quota[np.argsort(-remainder, kind="stable")[: count - int(quota.sum())]] += 1
    bits = random_bits(seed, stream, 0, np.arange(n))
    chosen = np.zeros(n, dtype=bool)
    for label, class_count in zip(classes, quota, strict=True):
        rows = np.flatnonzero(labels == label)
        chosen[rows[np.argsort(bits[rows], kind="stable")[:class_count]]] = True
    return chosen


def hold_out(data: Data, count: int, seed: int = 0) -> Data:
    """Move `count` training samples, stratified and chosen by a pure hash of (seed, index), into `val`.

    The paper's 45k/5k split is `hold_out(cifar10, 5000)`. The fingerprint is unchanged: it identifies the source.
    Raises UserError if there is a val split already, or if no training samples would be left.
    """
    train = data.split("train")
    if data.val is not None:
        raise UserError(f"{data.name} has a val split of {len(data.val):,} already; nothing may be held out of train")
    if not 0 < count < len(train):
        raise UserError(
            f"cannot hold out {count:,} of {len(train):,} training samples of {data.name}; give 1..{len(train) - 1:,}"
        )
    held = stratified(train.labels, count, seed, "hold-out")
    note = f"{count:,} of {len(train):,} training samples held out as val (seed {seed})"
    return dataclasses.replace(data, train=train.subset(~held), val=train.subset(held), notes=(*data.notes, note))
