"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a stated share for val.

The class map is the sorted names of the training split's folders, and nothing else: a label depends on its folder's
name alone. Every header is read before anything is trained; what Pillow cannot even open is refused then, by name.
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
from reslab.data.sets.classes import Listing, listed, listing_of, refuse_unread, rooms_of, without_bad
from reslab.data.sets.listing import Index, Part, keep, kept, signed
from reslab.data.splits import Data, Files, fingerprint
from reslab.errors import UserError, suggest
from reslab.store.files import cache, expanded

_FORM = 3  # of the kept index: another form is never read


def folder(path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error") -> Data:
    """Index class folders; images are decoded later, to size x size pixels.

    `val_share` in (0, 1) cuts a val split from train by a hash of the relative path, class by class; it is needed
    where PATH has no val or test, and refused where it has. `bad_images`: "error" refuses files that are no images,
    "skip" leaves them out and says how many. A training class that val or test lack is noted, one that train lacks is
    refused; hidden folders are skipped; files may lie deeper than the class folder; a folder that cannot be read is as
    bad as a file that is no image. The index of a large folder is kept for the next time; `listing` says what then
    counts as a change. Raises UserError.
    """
    root = _checked(path, size, bad_images)
    try:
        index = _opened(root, val_share, bad_images == "skip")
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    classes = np.arange(len(index.classes))
    parts = {room: Files(p.paths, np.repeat(classes, p.counts), size) for room, p in index.parts.items()}
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


def labelled(path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error") -> Data:
    """Class folders to score, labelled by `classes` and not by their own map: some of these, and no other.

    PATH/CLASS makes one test split; of PATH/val/CLASS and PATH/test/CLASS each is the split that it is called. A train
    folder, if there is one, is not read. Raises UserError.
    """
    root = _checked(path, size, bad_images)
    lead, notes, unread = str(root / "x")[:-1], list[str](), list[str]()
    try:
        rooms = {room: room for room in rooms_of(root) if room != "train"} or {"test": ""}
        listings = {split: listing_of(root, lead, room, {}, unread) for split, room in rooms.items()}
        refuse_unread(unread, bad_images == "skip", notes)
        for split, room in rooms.items():
            for name in listings[split]:
                if name not in classes:
                    raise UserError(
                        f"{root / room / name}: the network knows no class {name!r}{suggest(name, classes)}"
                    )
        listings = without_bad(listings, bad_images == "skip", notes, {})
        parts = {split: _part(lead, listing, classes) for split, listing in listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None
    for split, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{root / rooms[split]}: no images in any of its class folders")
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


def _opened(root: Path, val_share: float | None, skip: bool) -> Index:
    """The index kept from the last time, or a new one where there is none or the folder has changed."""
    lead, began = str(root / "x")[:-1], time.time()
    key = [_FORM, str(root), os.path.realpath(root), val_share, skip, PIL.__version__, list(FORMATS), MAX_PIXELS]
    if (home := cache()) is None:
        return _index(root, lead, val_share, skip)
    place = home / f"folder-{hashlib.sha256(repr(key).encode(errors='backslashreplace')).hexdigest()[:16]}.index"
    index = kept(place, key, lead)
    if index is None:
        index = _index(root, lead, val_share, skip)
        keep(place, key, index, began)
    return index


def _index(root: Path, lead: str, val_share: float | None, skip: bool) -> Index:
    watched = {".": signed(str(root))}
    notes: list[str] = []
    unread: list[str] = []
    listings, rooms = listed(root, lead, watched, unread)
    refuse_unread(unread, skip, notes)
    _check_classes(root, listings, rooms, notes)
    listings = without_bad(listings, skip, notes, watched)
    for name, files in listings["train"].items():
        if not files:
            raise UserError(f"{root / 'train' / name if rooms else root / name}: no images in this class folder")
    if len(rooms) > 1 and val_share is not None:
        raise UserError(f"{root}: has a {rooms[1]} folder; leave the val share out (--val-share), or remove the folder")
    if len(rooms) < 2:
        listings = _cut(root, listings["train"], val_share, notes)
    classes = sorted(listings["train"])
    for room in ("val", "test"):
        lacking = [name for name in classes if room in listings and not listings[room].get(name)]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(f"{room} has no images of class {lacking[0]}{more}")
    parts = {room: _part(lead, listing, classes) for room, listing in listings.items()}
    for room, part in parts.items():
        if not len(part.paths):
            raise UserError(f"{root / room}: no images in any of its class folders")
    del listings  # a second copy of all names, while the fingerprint wants a third
    return Index(tuple(classes), parts, fingerprint(_content(parts)), tuple(notes), watched)


def _check_classes(root: Path, listings: dict[str, Listing], rooms: Sequence[str], notes: list[str]) -> None:
    classes = listings["train"]
    where = root / "train" if rooms else root
    if len(classes) < 2:
        raise UserError(f"{where}: one class only ({next(iter(classes))}); at least two class folders are needed")
    folded: dict[str, str] = {}
    for name in classes:
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            notes.append(f"classes {twin} and {name} differ in upper and lower case only; they are kept apart")
    for room in rooms[1:]:
        for name in listings[room]:
            if name not in classes:
                raise UserError(f"{root / room / name}: train has no class {name!r}{suggest(name, classes)}")


def _cut(root: Path, listing: Listing, share: float | None, notes: list[str]) -> dict[str, Listing]:
    if share is None:
        raise UserError(
            f"{root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, say"
        )
    if not 0 < share < 1:
        raise UserError(f"--val-share: {share} is not between 0 and 1")
    train: Listing = {}
    val: Listing = {}
    for name, files in listing.items():
        # The hash of its own path decides for a file, so adding others moves few of the old.
        digests = [hashlib.sha256(files.relative(row)).digest() for row in range(len(files))]
        ranked = sorted(range(len(files)), key=digests.__getitem__)
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        val[name], train[name] = (files.subset(np.sort(rows)) for rows in np.split(np.array(ranked, np.int64), [count]))
    held = sum(map(len, val.values()))
    notes.append(f"{held:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their paths")
    return {"train": train, "val": val}


def _part(lead: str, listing: Listing, classes: Sequence[str]) -> Part:
    empty = Paths(lead, b"")
    paths = Paths.joined(lead, (listing.get(name, empty) for name in classes))
    sizes = np.fromiter((os.stat(path).st_size for path in paths), np.int64, len(paths))
    return Part(paths, tuple(len(listing.get(name, empty)) for name in classes), sizes)


def _content(parts: dict[str, Part]) -> list[bytes]:
    """Split, relative path, size in bytes and label of every file, sorted."""
    rows = []
    for room, part in parts.items():
        row = 0
        for label, count in enumerate(part.counts):
            for size in part.sizes[row : row + count].tolist():
                rows.append(b"\0".join([part.paths.relative(row), f"{size} {label} {room}".encode()]))
                row += 1
    rows.sort()
    return rows
