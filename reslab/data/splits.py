"""What a data set is once it is read: three splits that never mix, in memory or as a list of files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from reslab.data.order import draw
from reslab.data.paths import Paths
from reslab.errors import UserError, suggest

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Memory:
    """A split held in memory. Raises ValueError where shapes or types are not those below."""

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
        """The samples `indices` (int64 [M], or bool [N]), copied, in that order."""
        return Memory(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False, repr=False)
class Files:
    """A split that is a list of image files, decoded when needed."""

    paths: Sequence[str]
    """N file names that can be opened: a tuple, or `listing.Paths` where they are many"""
    labels: np.ndarray
    """int64 [N]"""
    size: int
    """side of the square that the network sees, pixels"""

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.paths),):
            raise ValueError(f"labels must be int64 [{len(self.paths)}], not {self.labels.dtype} {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Files({len(self):,} images to {self.size}×{self.size})"

    def subset(self, indices: np.ndarray) -> Files:
        """The samples `indices` (int64 [M], or bool [N]), in that order."""
        chosen = np.arange(len(self))[indices]
        of = self.paths
        paths = of.subset(chosen) if isinstance(of, Paths) else tuple(of[i] for i in chosen)
        return Files(paths, self.labels[chosen], self.size)


Split: TypeAlias = Memory | Files


@dataclass(frozen=True, eq=False)
class Data:
    """A data set. Raises UserError where a label is outside 0 .. len(classes) - 1."""

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
    """SHA-256 (hex) of the content, the same whichever splits were read"""
    notes: tuple[str, ...] = ()
    """what a reader should be told about this data, one line each"""
    place: str = ""
    """the text that names it from any folder, "" where the text it was named by does"""
    kind: str = "set"
    """"set": one of those known by a word; "folder": class folders of images, by any name; "given": from Python"""
    val_share: float | None = None
    """of a folder, the share that was cut from train as val"""
    bad_images: str = "error"
    """of a folder, what becomes of files that are no images: "error", or "skip" (they are left out)"""

    def __post_init__(self) -> None:
        for name, part in self.splits().items():
            wrong = (part.labels < 0) | (part.labels >= len(self.classes))
            if wrong.any():
                row = int(np.argmax(wrong))
                where = part.paths[row] if isinstance(part, Files) else f"sample {row}"
                told = f"label {part.labels[row]} is outside 0..{len(self.classes) - 1}"
                raise UserError(f"{self.name}: {name} split, {where}: {told}")

    def splits(self) -> dict[str, Split]:
        """The splits that were read, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def origin(self) -> dict[str, str | float | None]:
        """What names the very same images again beside the text of `--data`, in plain types."""
        cut = {"val_share": self.val_share, "bad_images": self.bad_images} if self.kind == "folder" else {}
        return {"name": self.name, "kind": self.kind, "fingerprint": self.fingerprint, **cut}

    def split(self, name: str) -> Split:
        """The split called `name`. Raises UserError naming the splits there are."""
        there = self.splits()
        if name in there:
            return there[name]
        known = ", ".join(there) or "none was read"
        hint = "; hold some training samples out to get one" if name == "val" and "train" in there else ""
        raise UserError(f"{self.name} has no {name!r} split (there are: {known}){hint or suggest(name, there)}")


def fingerprint(parts: Iterable[bytes | np.ndarray]) -> str:
    """SHA-256 (hex) over byte strings and arrays, each told apart by its length and shape."""
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
    """bool [N] with exactly `count` True, as evenly over the classes as their sizes allow, chosen by a pure hash.

    Each class gives its share rounded down; what is left over goes to the largest remainders, the lower label
    first. Within a class the samples with the smallest draws are taken.
    """
    n = len(labels)
    if not 0 <= count <= n:
        raise ValueError(f"cannot choose {count} of {n}")
    kinds, sizes = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(sizes * count, max(n, 1))
    quota[np.argsort(-remainder, kind="stable")[: count - int(quota.sum())]] += 1
    draws = draw(seed, stream, 0, np.arange(n))
    chosen = np.zeros(n, dtype=bool)
    for kind, take in zip(kinds, quota, strict=True):
        rows = np.flatnonzero(labels == kind)
        chosen[rows[np.argsort(draws[rows], kind="stable")[:take]]] = True
    return chosen


def hold_out(data: Data, count: int, seed: int = 0) -> Data:
    """Move `count` training samples, stratified and chosen by a pure hash of (seed, index), into `val`.

    45k/5k of the paper is `hold_out(cifar10, 5000)`. The fingerprint stays: it names the source, not the cut.
    Raises UserError when there is a val split already, or nothing would be left to train on.
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
