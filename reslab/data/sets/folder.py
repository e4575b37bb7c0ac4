"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a share for val.

The classes are the sorted names of the training split's folders, so a label depends only on the folder's name. Every
header is read before training; a file that Pillow cannot open is refused then, by name.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL

from reslab.data.images.decode import FORMATS, MAX_PIXELS
from reslab.data.paths import Paths
from reslab.data.sets.classes import Listing, class_files, listed, refuse_unread, split_folders, without_bad
from reslab.data.sets.listing import Index, Part, load_index, save_index, signature
from reslab.data.splits import Data, Files, fingerprint
from reslab.errors import UserError, suggest
from reslab.store.files import cache, expanded

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
    classes = np.arange(len(index.classes))
    parts = {split: Files(p.paths, np.repeat(classes, p.counts), size) for split, p in index.parts.items()}
    return Data(
        name=root.resolve().name,
        classes=index.classes,
        channels=3,
        size=size,
        train=parts["train"],
        val=parts.get("val"),
        test=parts.get("test"),
        fingerprint=index.fingerprint,
        notes=index.notes,
        kind="folder",
        val_share=val_share,
        bad_images=bad_images,
    )


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
        parts = {split: _part(lead, listing, classes) for split, listing in listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    for split, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{root / folders[split]}: no images in any of its class folders")
    numbers = np.arange(len(classes))
    files = {split: Files(p.paths, np.repeat(numbers, p.counts), size) for split, p in parts.items()}
    return Data(
        name=root.resolve().name,
        classes=tuple(classes),
        channels=3,
        size=size,
        train=None,
        val=files.get("val"),
        test=files.get("test"),
        fingerprint=fingerprint(_content(parts)),
        notes=tuple(notes),
        kind="folder",
        bad_images=bad_images,
    )


def _checked(path: str | Path, size: int, bad_images: str) -> Path:
    root = expanded(path, "data: ")
    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images: {bad_images!r} is unknown; choose error or skip")
    if size < 1:
        raise UserError(f"size: {size} is no side of an image")
    if not root.is_dir():
        raise UserError(f"data: {path} is {'not a folder' if root.exists() else 'not there'}")
    return root


def _cached_index(root: Path, val_share: float | None, skip: bool) -> Index:
    """Return the cached index, or a new one if there is none or the folder has changed."""
    lead, began = str(root / "x")[:-1], time.time()
    key = [_FORM, str(root), os.path.realpath(root), val_share, skip, PIL.__version__, list(FORMATS), MAX_PIXELS]
    if (cache_folder := cache()) is None:
        return _index(root, lead, val_share, skip)
    file = cache_folder / f"folder-{hashlib.sha256(repr(key).encode(errors='backslashreplace')).hexdigest()[:16]}.index"
    index = load_index(file, key, lead)
    if index is None:
        index = _index(root, lead, val_share, skip)
        save_index(file, key, index, began)
    return index


def _index(root: Path, lead: str, val_share: float | None, skip: bool) -> Index:
    """Read the folder and return its index. Raises UserError."""
    watched = {".": signature(str(root))}
    notes: list[str] = []
    unread: list[str] = []
    listings, splits = listed(root, lead, watched, unread)
    refuse_unread(unread, skip, notes)
    _check_classes(root, listings, splits, notes)
    listings = without_bad(listings, skip, notes, watched)
    for name, files in listings["train"].items():
        if not files:
            raise UserError(f"{root / 'train' / name if splits else root / name}: no images in this class folder")
    if len(splits) > 1 and val_share is not None:
        raise UserError(f"{root}: has a {splits[1]} folder; leave out --val-share, or remove the folder")
    if len(splits) < 2:
        listings = _with_val(root, listings["train"], val_share, notes)
    classes = sorted(listings["train"])
    for split in ("val", "test"):
        missing = [name for name in classes if split in listings and not listings[split].get(name)]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            notes.append(f"{split} has no images of class {missing[0]}{others}")
    parts = {split: _part(lead, listing, classes) for split, listing in listings.items()}
    for split, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{root / split}: no images in any of its class folders")
    del listings  # frees a second copy of all names before the fingerprint makes a third
    return Index(tuple(classes), parts, fingerprint(_content(parts)), tuple(notes), watched)


def _check_classes(root: Path, listings: dict[str, Listing], splits: Sequence[str], notes: list[str]) -> None:
    """Raise UserError for a single class, or one that train lacks; note names that differ only in case."""
    classes = listings["train"]
    folder = root / "train" if splits else root
    if len(classes) < 2:
        raise UserError(f"{folder}: one class only ({next(iter(classes))}); at least two class folders are needed")
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            notes.append(f"classes {other} and {name} differ in upper and lower case only; they are kept apart")
    for split in splits[1:]:
        for name in listings[split]:
            if name not in classes:
                raise UserError(f"{root / split / name}: train has no class {name!r}{suggest(name, classes)}")


def _with_val(root: Path, listing: Listing, share: float | None, notes: list[str]) -> dict[str, Listing]:
    """Return train and val, which gets `share` of each class of `listing`. Raises UserError without a valid share."""
    if share is None:
        raise UserError(
            f"{root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, say"
        )
    if not 0 < share < 1:
        raise UserError(f"--val-share: {share} is not between 0 and 1")
    train: Listing = {}
    val: Listing = {}
    for name, files in listing.items():
        # A hash of its own path decides for each file, so adding files moves few of the others.
        digests = [hashlib.sha256(files.relative(row)).digest() for row in range(len(files))]
        ranked = sorted(range(len(files)), key=digests.__getitem__)
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        val[name], train[name] = (files.subset(np.sort(rows)) for rows in np.split(np.array(ranked, np.int64), [count]))
    held = sum(map(len, val.values()))
    notes.append(f"{held:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their paths")
    return {"train": train, "val": val}


def _part(lead: str, listing: Listing, classes: Sequence[str]) -> Part:
    """Return the files of a split, class after class."""
    empty = Paths(lead, b"")
    paths = Paths.joined(lead, (listing.get(name, empty) for name in classes))
    sizes = np.fromiter((os.stat(path).st_size for path in paths), np.int64, len(paths))
    return Part(paths, tuple(len(listing.get(name, empty)) for name in classes), sizes)


def _content(parts: dict[str, Part]) -> list[bytes]:
    """Return split, relative path, size in bytes and label of every file, sorted; the fingerprint hashes them."""
    rows = []
    for split, part in parts.items():
        row = 0
        for label, count in enumerate(part.counts):
            for size in part.sizes[row : row + count].tolist():
                rows.append(b"\0".join([part.paths.relative(row), f"{size} {label} {split}".encode()]))
                row += 1
    rows.sort()
    return rows
