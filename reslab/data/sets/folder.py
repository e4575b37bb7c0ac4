"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a share for val.

The classes are the sorted names of the training split's folders, so a label depends only on the folder's name. Every
header is read before training; a file that Pillow cannot open is refused then, by name.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from reslab.data.check.finding import Finding
from reslab.data.check.survey import Watch
from reslab.data.images.decode import FORMATS, MAX_PIXELS
from reslab.data.sets.classes import Contents, contents_of, examine, refuse_unread
from reslab.data.sets.cut import with_val
from reslab.data.sets.listing import Index, content_of, load_index, part_of, save_index
from reslab.data.splits import SPLITS, Data, Files, fingerprint
from reslab.errors import UserError, suggest
from reslab.store.files import cache, expanded

_FORM = 4  # version of the index file; an index of another version is not read


@dataclass(frozen=True)
class Reading:
    """How a folder is read, see `folder`."""

    size: int
    val_share: float | None
    skip: bool
    channels: int
    workers: int
    watch: Watch | None

    @property
    def key(self) -> list[Any]:
        """Return what an index depends on."""
        return [self.size, self.val_share, self.skip, self.channels]


def folder(
    path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error", channels: int = 3,
    workers: int = 0, watch: Watch | None = None,
) -> Data:  # fmt: skip
    """Return the images of class folders, which are decoded later, to size x size pixels.

    val_share    in (0, 1): moves this share of each training class into val, chosen by a hash of the relative path.
                 Required if PATH has no val or test folder, and refused if it has a val folder
    bad_images   "error" refuses files that are no complete images and folders that cannot be read; "skip" leaves them
                 out and notes their number
    channels     3, or 1 for grey
    workers, watch   as in `check.survey`
    Files may be at any depth in a class folder; hidden ones are ignored. A class that only val or test have is refused;
    one that they lack is noted. The index of a large folder is cached; `listing` describes which changes invalidate it.
    Raises UserError.
    """
    root = checked_folder(path, size, bad_images)
    try:
        index = _cached_index(root, Reading(size, val_share, bad_images == "skip", channels, workers, watch))
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    classes = np.arange(len(index.classes))
    parts = {
        split: Files(p.paths, np.repeat(classes, p.counts), size, channels) for split, p in index.parts.items()
    }  # fmt: skip
    return Data(
        name=root.resolve().name,
        classes=index.classes,
        channels=channels,
        size=size,
        train=parts["train"],
        val=parts.get("val"),
        test=parts.get("test"),
        fingerprint=index.fingerprint,
        notes=index.notes,
        findings=index.findings,
        kind="folder",
        val_share=val_share,
        bad_images=bad_images,
    )


def labelled(
    path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error", by_order: bool = False,
    channels: int = 3, workers: int = 0, watch: Watch | None = None,
) -> Data:  # fmt: skip
    """Return class folders for scoring, labelled by `classes`; the folders must be some of these.

    by_order   the names of `classes` are a guess: as many folders under other names are taken in sorted order
    channels, workers, watch   as in `folder`
    PATH/CLASS becomes the test split; PATH/val/CLASS and PATH/test/CLASS become val and test. A train folder is not
    read. Raises UserError.
    """
    root = checked_folder(path, size, bad_images)
    try:
        contents = contents_of(root, ("val", "test"), "test")
        refuse_unread(contents, bad_images == "skip")
        names = sorted({name for listing in contents.listings.values() for name in listing})
        if by_order and len(names) == len(classes):
            classes = names
        for split, listing in contents.listings.items():
            for name in listing:
                if name not in classes:
                    raise UserError(
                        f"{contents.folder(split) / name}: the network knows no class {name!r}{suggest(name, classes)}"
                    )
        examine(contents, size, bad_images == "skip", channels=channels, workers=workers, watch=watch)
        parts = {split: part_of(contents.lead, listing, classes) for split, listing in contents.listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    for split, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{contents.folder(split)}: no images in any of its class folders")
    numbers = np.arange(len(classes))
    files = {split: Files(p.paths, np.repeat(numbers, p.counts), size, channels) for split, p in parts.items()}
    return Data(
        name=root.resolve().name,
        classes=tuple(classes),
        channels=channels,
        size=size,
        train=None,
        val=files.get("val"),
        test=files.get("test"),
        fingerprint=fingerprint(content_of(parts)),
        notes=tuple(contents.notes),
        findings=tuple(contents.findings),
        kind="folder",
        bad_images=bad_images,
    )


def checked_folder(path: str | Path, size: int, bad_images: str) -> Path:
    root = expanded(path, "data: ")
    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images: {bad_images!r} is unknown; choose error or skip")
    if size < 1:
        raise UserError(f"size: {size} is no side of an image")
    if not root.is_dir():
        raise UserError(f"data: {path} is {'not a folder' if root.exists() else 'not there'}")
    return root


def _cached_index(root: Path, reading: Reading) -> Index:
    """Return the cached index, or a new one if there is none or the folder has changed."""
    lead, began = str(root / "x")[:-1], time.time()
    key = [
        _FORM, str(root), os.path.realpath(root), *reading.key, PIL.__version__, list(FORMATS), MAX_PIXELS,
    ]  # fmt: skip
    if (cache_folder := cache()) is None:
        return _index(root, reading)
    file = cache_folder / f"folder-{hashlib.sha256(repr(key).encode(errors='backslashreplace')).hexdigest()[:16]}.index"
    index = load_index(file, key, lead)
    if index is None:
        index = _index(root, reading)
        save_index(file, key, index, began)
    return index


def _index(root: Path, reading: Reading) -> Index:
    """Read the folder and return its index. Raises UserError."""
    contents = contents_of(root)
    refuse_unread(contents, reading.skip)
    check_classes(contents)
    if "val" in contents.listings and reading.val_share is not None:
        raise UserError(
            f"{contents.root}: has a {contents.layout.folders['val']} folder; leave out --val-share, or remove the "
            "folder"
        )
    examine(
        contents, reading.size, reading.skip,
        channels=reading.channels, workers=reading.workers, watch=reading.watch,
    )  # fmt: skip
    return index_of(contents, reading)


def index_of(contents: Contents, reading: Reading) -> Index:
    """Return the index of examined contents. Raises UserError if there is nothing to train on."""
    listings, notes = contents.listings, contents.notes
    for name, files in listings["train"].items():
        if not files:
            raise UserError(f"{contents.folder('train') / name}: no images in this class folder")
    if len(listings) < 2 or ("val" not in listings and reading.val_share is not None):
        listings = {**listings, **with_val(contents.root, listings["train"], reading.val_share, notes)}
    classes = sorted(listings["train"])
    for split in ("val", "test"):
        missing = [name for name in classes if split in listings and not listings[split].get(name)]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            notes.append(f"{split} has no images of class {missing[0]}{others}")
            contents.findings.append(
                Finding("missing-class", len(missing), len(classes), split, examples=tuple(missing))
            )
    parts = {split: part_of(contents.lead, listings[split], classes) for split in SPLITS if split in listings}
    for split, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{contents.folder(split)}: no images in any of its class folders")
    del listings  # frees a second copy of all names before the fingerprint makes a third
    return Index(
        tuple(classes), parts, fingerprint(content_of(parts)), tuple(notes), tuple(contents.findings), contents.watched
    )


def check_classes(contents: Contents) -> None:
    """Raise UserError for no train split, a single class, or one that train lacks; note names that differ in case."""
    if "train" not in contents.listings:
        first = next(iter(contents.layout.folders.values()))
        raise UserError(f"{contents.root}: has {first} but no train folder, whose class folders are the map of classes")
    classes = contents.listings["train"]
    if len(classes) < 2:
        raise UserError(
            f"{contents.folder('train')}: one class only ({next(iter(classes))}); at least two class folders are needed"
        )
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            contents.notes.append(
                f"classes {other} and {name} differ in upper and lower case only; they are kept apart"
            )
            contents.findings.append(Finding("case-twins", 2, examples=(other, name)))
    for split, listing in contents.listings.items():
        for name in listing:
            if name not in classes:
                raise UserError(f"{contents.folder(split) / name}: train has no class {name!r}{suggest(name, classes)}")
