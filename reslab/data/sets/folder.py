"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a share for val.

The classes are the sorted names of the training split's folders, so a label depends only on the folder's name. Every
header is read before training; a file that Pillow cannot open is refused then, by name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reslab.data.check.survey import Watch
from reslab.data.images.levels import FULL, Levels
from reslab.data.sets.classes import Contents, contents_of, examine, refuse_unread, settle
from reslab.data.sets.indexing import (
    DECODER,
    Reading,
    as_data,
    case_twins,
    check_options,
    content_hash,
    cut,
    missing_classes,
    part,
    sizes_of,
)
from reslab.data.sets.listing import Index, cached_index
from reslab.data.splits import SPLITS, Data
from reslab.errors import UserError, suggest
from reslab.store.files import expanded

_FORM = 5  # version of the index file; an index of another version is not read


def folder(
    path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error", channels: int = 3,
    workers: int = 0, watch: Watch | None = None, group: str | None = None, levels: Levels | None = None,
) -> Data:  # fmt: skip
    """Return the images of class folders, which are decoded later, to size x size pixels.

    val_share    in (0, 1): moves this share of each training class into val, chosen by a hash of the relative path.
                 Required if PATH has no val or test folder, and refused if it has a val folder
    bad_images   "error" refuses files that are no complete images and folders that cannot be read; "skip" leaves them
                 out and notes their number
    channels     3, or 1 for grey
    workers, watch   as in `check.survey`
    group        with `val_share`: a regular expression, whose groups of files are cut whole (`groups`)
    levels       of 16-bit pixels that become black and white; None: see `classes.settle`
    Files may be at any depth in a class folder; hidden ones are ignored. A class that only val or test have is refused;
    one that they lack is noted. The index of a large folder is cached; `listing` describes which changes invalidate it.
    Raises UserError.
    """
    root = checked_folder(path, size, bad_images)
    try:
        index = _cached_index(
            root, Reading(size, val_share, bad_images == "skip", channels, workers, watch, group, levels)
        )
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    return as_data(index, root.resolve().name, size, bad_images, val_share, channels, group)


def labelled(
    path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error", by_order: bool = False,
    channels: int = 3, workers: int = 0, watch: Watch | None = None, levels: Levels = FULL,
) -> Data:  # fmt: skip
    """Return class folders for scoring, labelled by `classes`; the folders must be some of these.

    by_order   the names of `classes` are a guess: as many folders under other names are taken in sorted order
    channels, workers, watch, levels   as in `folder`
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
        parts = {split: part(contents.lead, listing, classes) for split, listing in contents.listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    for split, files in parts.items():
        if not len(files.paths):
            raise UserError(f"{contents.folder(split)}: no images in any of its class folders")
    settle(contents, {}, levels)
    index = Index(
        tuple(classes), parts, content_hash(parts), tuple(contents.notes), {}, tuple(contents.findings), levels
    )
    return as_data(index, root.resolve().name, size, bad_images, channels=channels)


def checked_folder(path: str | Path, size: int, bad_images: str) -> Path:
    root = expanded(path, "data: ")
    check_options(size, bad_images)
    if not root.is_dir():
        raise UserError(f"data: {path} is {'not a folder' if root.exists() else 'not there'}")
    return root


def _cached_index(root: Path, reading: Reading) -> Index:
    """Return the cached index, or a new one if there is none or the folder has changed."""
    lead = str(root / "x")[:-1]
    key = [_FORM, str(root), os.path.realpath(root), *reading.key, *DECODER]
    return cached_index("folder", key, lead, lambda: _index(root, reading))


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
        if reading.val_share is None:
            raise UserError(
                f"{contents.root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, "
                "say"
            )
        folder = contents.layout.folders.get("train", "")
        halves = cut(listings["train"], reading.val_share, reading.group, folder, notes, contents.findings)
        listings = {**listings, **halves}
    classes = sorted(listings["train"])
    contents.findings += missing_classes(classes, sizes_of(listings))
    parts = {split: part(contents.lead, listings[split], classes) for split in SPLITS if split in listings}
    for split, images in parts.items():
        if not len(images.paths):
            raise UserError(f"{contents.folder(split)}: no images in any of its class folders")
    levels = settle(contents, listings["train"], reading.levels)
    del listings  # frees a second copy of all names before the fingerprint makes a third
    return Index(
        tuple(classes), parts, content_hash(parts), tuple(notes), contents.watched, tuple(contents.findings), levels
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
    contents.findings += case_twins(list(classes))
    for split, listing in contents.listings.items():
        for name in listing:
            if name not in classes:
                raise UserError(f"{contents.folder(split) / name}: train has no class {name!r}{suggest(name, classes)}")
