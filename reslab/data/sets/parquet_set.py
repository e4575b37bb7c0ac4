"""Sets of images in Hugging Face's parquet files: a column of encoded images of any size, and a column of labels.

All encoded images are kept in memory, and are decoded when needed, as files are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from reslab.data.check.finding import Finding
from reslab.data.encoded import EncodedImages
from reslab.data.images.levels import FULL, Levels
from reslab.data.sets.indexing import case_twins, check_share, held_out, missing_classes
from reslab.data.sets.parquet_rows import Read, read, root_of, splits_of
from reslab.data.splits import Data, Files, fingerprint, ranged
from reslab.errors import UserError, suggest


def parquet_set(
    path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error", channels: int = 3,
    group: str | None = None, levels: Levels | None = None,
) -> Data:  # fmt: skip
    """Return the images of parquet files, which are decoded later, to size x size pixels.

    path         a file, or a folder that holds some at any depth
    val_share    in (0, 1): moves this share of each training class into val, chosen by a hash of the row's name.
                 Required if there is no val or test split, and refused if there is one
    bad_images   "error" refuses rows that hold no image; "skip" leaves them out and notes their number
    group        refused, as rows have no path
    levels       of 16-bit pixels that become black and white; None: all, as the images are not decoded before training
    Classes are the names that the files declare, else the sorted labels of train. A split without any label is left
    out, which is noted. Raises UserError.
    """
    if group is not None:
        raise UserError(f"--group: rows of parquet files have no path to match; cut {path} into train and val files")
    content = read(path, size, bad_images, "train")
    if "train" not in content.parts:
        raise UserError(f"{content.root}: there is no train split (there are: {', '.join(content.parts)})")
    classes = content.declared or _sorted({label for label in content.parts["train"].labels if label is not None})
    if len(classes) < 2:
        raise UserError(f"{content.root}: one class only ({', '.join(classes)}); at least two are needed")
    findings = [*content.findings, *case_twins(classes)]
    files = _files(content, classes, size, "train has", channels, levels or FULL, bad_images == "skip")
    if len(files) > 1 and val_share is not None:
        raise UserError(f"{content.root}: has a {list(files)[1]} split; leave out --val-share")
    if len(files) < 2 and val_share is None:
        raise UserError(
            f"{content.root}: has no validation files; hold a share of the images out with --val-share 0.1, say"
        )
    if val_share is not None:
        files = _cut(files["train"], val_share, content.notes)
        content.hashes.append(f"val share {val_share}".encode())
    if content.deep:
        detail = FULL.words + ", as they are not decoded before; --range LOW,HIGH takes fewer levels"
        findings.append(Finding("deep", content.deep, detail=levels.words if levels else detail))
    return _data(content, files, classes, size, bad_images, val_share, tuple(findings))


def labelled(
    path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error", by_order: bool = False,
    channels: int = 3, levels: Levels = FULL,
) -> Data | None:  # fmt: skip
    """Return parquet files for scoring, labelled by `classes`; their labels must be some of these.

    by_order   the names of `classes` are a guess: as many labels under other names are taken in their order
    A file without a split in its name becomes the test split. None if there is a train split. Raises UserError.
    """
    if "train" in splits_of(root_of(path, size, bad_images), "test"):
        return None
    content = read(path, size, bad_images, "test")
    labels = {label for part in content.parts.values() for label in part.labels if label is not None}
    names = content.declared or _sorted(labels)
    if by_order and len(names) == len(classes):
        classes = names
    files = _files(content, classes, size, "the network knows", channels, levels, bad_images == "skip")
    return _data(content, files, tuple(classes), size, bad_images, findings=tuple(content.findings))


def _data(
    content: Read, files: Mapping[str, Files], classes: Sequence[str], size: int, bad_images: str,
    val_share: float | None = None, findings: tuple[Finding, ...] = (),
) -> Data:  # fmt: skip
    counts = {split: np.bincount(part.labels, minlength=len(classes)).tolist() for split, part in files.items()}
    sizes = {split: dict(zip(classes, count, strict=True)) for split, count in counts.items()}
    first = next(iter(files.values()))
    if content.deep and not first.levels.is_full:
        content.notes.append(f"16-bit pixels: {first.levels.words}")
    files_fingerprint = fingerprint(content.hashes)
    return Data(
        name=content.root.resolve().name,
        classes=tuple(classes),
        channels=first.channels,
        size=size,
        train=files.get("train"),
        val=files.get("val"),
        test=files.get("test"),
        fingerprint=ranged(files_fingerprint, first.levels),
        notes=tuple(content.notes),
        findings=(*findings, *missing_classes(classes, sizes)),
        kind="folder",
        val_share=val_share,
        bad_images=bad_images,
        levels=first.levels,
        files=files_fingerprint,
    )


def _sorted(labels: set[str]) -> tuple[str, ...]:
    """Return the labels in order: numbers by value, texts by alphabet."""
    return tuple(sorted(labels, key=int if all(map(str.isdecimal, labels)) else None))


def _files(
    content: Read, classes: Sequence[str], size: int, who: str, channels: int, levels: Levels, skip: bool
) -> dict[str, Files]:
    """Return the splits with labels 0 .. K - 1. Raises UserError for a row without a label, or of another class."""
    numbers = {name: number for number, name in enumerate(classes)}
    files = {}
    for split, part in content.parts.items():
        labels = np.empty(len(part.labels), np.int64)
        for row, label in enumerate(part.labels):
            if label is None or label not in numbers:
                hint = "" if label is None else suggest(label, classes)
                problem = "it has no label" if label is None else f"{who} no class {label!r}{hint}"
                raise UserError(f"{content.lead}{part.names[row]}: {problem}")
            labels[row] = numbers[label]
        files[split] = Files(part.images(content.lead), labels, size, channels, levels, skip)
    return files


def _cut(train: Files, share: float, notes: list[str]) -> dict[str, Files]:
    """Return train and val, which gets `share` of each class."""
    check_share(share)
    assert isinstance(train.paths, EncodedImages)
    is_held = np.zeros(len(train), bool)
    for label in np.unique(train.labels):
        rows = np.flatnonzero(train.labels == label)
        is_held[rows] = held_out([train.paths.names.relative(row) for row in rows.tolist()], share)
    notes.append(f"{is_held.sum():,} of {len(train):,} images held out as val by a hash of their file and row")
    return {"train": train.subset(~is_held), "val": train.subset(is_held)}
