"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a share for val.

The classes are the sorted names of the training split's folders, so a label depends only on the folder's name. Every
header is read before training; a file that Pillow cannot open is refused then, by name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reslab.data.sets.classes import Listing, class_files, listed, refuse_unread, split_folders, without_bad
from reslab.data.sets.indexing import (
    DECODER,
    as_data,
    check_options,
    content_hash,
    cut,
    note_case_twins,
    note_missing,
    part,
)
from reslab.data.sets.listing import Index, cached_index, signature
from reslab.data.splits import Data
from reslab.errors import UserError, suggest
from reslab.store.files import expanded

_FORM = 3  # version of the index file; an index of another version is not read


def folder(path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error") -> Data:
    """Return the images of class folders, which are decoded later, to size x size pixels.

    val_share    in (0, 1): moves this share of each training class into val, chosen by a hash of the relative path.
                 Required if PATH has no val or test folder, and refused if it has one
    bad_images   "error" refuses files that are no images and folders that cannot be read; "skip" leaves them out and
                 notes their number
    Files may be at any depth in a class folder; hidden ones are ignored. A class that only val or test have is refused;
    one that they lack is noted. The index of a large folder is cached; `listing` describes which changes invalidate it.
    Raises UserError.
    """
    root = _checked(path, size, bad_images)
    try:
        index = _cached_index(root, val_share, bad_images == "skip")
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    return as_data(index, root.resolve().name, size, bad_images, val_share)


def labelled(
    path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error", by_order: bool = False
) -> Data:
    """Return class folders for scoring, labelled by `classes`; the folders must be some of these.

    by_order   the names of `classes` are a guess: as many folders under other names are taken in sorted order
    PATH/CLASS becomes the test split; PATH/val/CLASS and PATH/test/CLASS become val and test. A train folder is not
    read. Raises UserError.
    """
    root = _checked(path, size, bad_images)
    lead, notes, unread = str(root / "x")[:-1], list[str](), list[str]()
    try:
        folders = {split: split for split in split_folders(root) if split != "train"} or {"test": ""}
        listings = {split: class_files(root, lead, name, {}, unread) for split, name in folders.items()}
        refuse_unread(unread, bad_images == "skip", notes)
        names = sorted({name for listing in listings.values() for name in listing})
        if by_order and len(names) == len(classes):
            classes = names
        for split, folder_name in folders.items():
            for name in listings[split]:
                if name not in classes:
                    raise UserError(
                        f"{root / folder_name / name}: the network knows no class {name!r}{suggest(name, classes)}"
                    )
        listings = without_bad(listings, bad_images == "skip", notes, {})
        parts = {split: part(lead, listing, classes) for split, listing in listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    for split, files in parts.items():
        if not len(files.paths):
            raise UserError(f"{root / folders[split]}: no images in any of its class folders")
    index = Index(tuple(classes), parts, content_hash(parts), tuple(notes), {})
    return as_data(index, root.resolve().name, size, bad_images)


def _checked(path: str | Path, size: int, bad_images: str) -> Path:
    root = expanded(path, "data: ")
    check_options(size, bad_images)
    if not root.is_dir():
        raise UserError(f"data: {path} is {'not a folder' if root.exists() else 'not there'}")
    return root


def _cached_index(root: Path, val_share: float | None, skip: bool) -> Index:
    """Return the cached index, or a new one if there is none or the folder has changed."""
    lead = str(root / "x")[:-1]
    key = [_FORM, str(root), os.path.realpath(root), val_share, skip, *DECODER]
    return cached_index("folder", key, lead, lambda: _index(root, lead, val_share, skip))


def _index(root: Path, lead: str, val_share: float | None, skip: bool) -> Index:
    """Read the folder and return its index. Raises UserError."""
    watched = {".": signature(str(root))}
    notes: list[str] = []
    unread: list[str] = []
    listings, splits = listed(root, lead, watched, unread)
    refuse_unread(unread, skip, notes)
    _check_classes(root, listings, splits, notes)
    listings = without_bad(listings, skip, notes, watched)
    for name, images in listings["train"].items():
        if not images:
            raise UserError(f"{root / 'train' / name if splits else root / name}: no images in this class folder")
    if len(splits) > 1 and val_share is not None:
        raise UserError(f"{root}: has a {splits[1]} folder; leave out --val-share, or remove the folder")
    if len(splits) < 2:
        if val_share is None:
            raise UserError(
                f"{root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, say"
            )
        listings = cut(listings["train"], val_share, notes)
    classes = sorted(listings["train"])
    note_missing(classes, listings, notes)
    parts = {split: part(lead, listing, classes) for split, listing in listings.items()}
    for split, files in parts.items():
        if not len(files.paths):
            raise UserError(f"{root / split}: no images in any of its class folders")
    del listings  # frees a second copy of all names before the fingerprint makes a third
    return Index(tuple(classes), parts, content_hash(parts), tuple(notes), watched)


def _check_classes(root: Path, listings: dict[str, Listing], splits: Sequence[str], notes: list[str]) -> None:
    """Raise UserError for a single class, or one that train lacks; note names that differ only in case."""
    classes = listings["train"]
    folder = root / "train" if splits else root
    if len(classes) < 2:
        raise UserError(f"{folder}: one class only ({next(iter(classes))}); at least two class folders are needed")
    note_case_twins(list(classes), notes)
    for split in splits[1:]:
        for name in listings[split]:
            if name not in classes:
                raise UserError(f"{root / split / name}: train has no class {name!r}{suggest(name, classes)}")
