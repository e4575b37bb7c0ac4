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

from reslab.data.images import FORMATS, MAX_PIXELS, BadImage, probe
from reslab.data.listing import Index, Part, Paths, Signature, below, keep, kept, signed, visible
from reslab.data.splits import Data, Files, fingerprint
from reslab.errors import UserError, suggest
from reslab.store.files import cache, expanded

_FORM = 2  # of the kept index: another form is never read
_ROOMS = ("train", "val", "test")
_ALIKE = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test"}  # what people call them  # fmt: skip
_Listing = dict[str, Paths]  # class name -> its image files, sorted


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
        listings = {split: _listing(root, lead, room, {}, unread) for split, room in rooms.items()}
        _refuse_unread(unread, bad_images == "skip", notes)
        for split, room in rooms.items():
            for name in listings[split]:
                if name not in classes:
                    raise UserError(
                        f"{root / room / name}: the network knows no class {name!r}{suggest(name, classes)}"
                    )
        listings = _without_bad(listings, bad_images == "skip", notes, {})
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
    place = cache() / f"folder-{hashlib.sha256(repr(key).encode(errors='backslashreplace')).hexdigest()[:16]}.index"
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
    _refuse_unread(unread, skip, notes)
    _check_classes(root, listings, rooms, notes)
    listings = _without_bad(listings, skip, notes, watched)
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


def listed(
    root: Path, lead: str, watched: dict[str, Signature], unread: list[str]
) -> tuple[dict[str, _Listing], list[str]]:
    """The files of each split's class folders, and the split folders that there are (none: classes lie in `root`).

    Adds every folder met to `watched`, and a line to `unread` for each that cannot be read. Raises UserError where
    images lie beside class folders, there are none, or the split folders have other names.
    """
    rooms = rooms_of(root)
    if rooms and "train" not in rooms:
        raise UserError(f"{root}: has {rooms[0]} but no train folder, whose class folders are the map of classes")
    return {room: _listing(root, lead, room, watched, unread) for room in rooms} or {
        "train": _listing(root, lead, "", watched, unread)
    }, rooms


def rooms_of(root: Path) -> list[str]:
    """Which of the folders train, val and test there are.

    Raises UserError where one is there by another name, or as a link that leads nowhere.
    """
    for room in _ROOMS:
        if _leads_nowhere(root / room):
            raise UserError(f"{root / room}: a link that leads nowhere; mend it, or remove it")
    rooms = [room for room in _ROOMS if (root / room).is_dir()]
    others = sorted(name for name in os.listdir(root) if visible(name) and (root / name).is_dir() and name not in rooms)
    if len(rooms) < 2 and (rooms or all(name.casefold() in _ALIKE for name in others)):  # else a class may be called so
        for name in others:
            meant = _ALIKE.get(name.casefold())
            if meant and meant not in rooms:
                raise UserError(f"{root / name}: split folders are called train, val and test; rename it to {meant}")
    return rooms


def _leads_nowhere(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _listing(root: Path, lead: str, room: str, watched: dict[str, Signature], unread: list[str]) -> _Listing:
    here = root / room
    if room:
        watched[room] = signed(str(here))
    entries = sorted(filter(visible, os.listdir(here)))
    folders = [name for name in entries if os.path.isdir(here / name)]
    for name in sorted(set(entries) - set(folders)):
        if _leads_nowhere(here / name):  # a class on a disk that is not there
            watched[os.path.join(room, name)] = None
            unread.append(f"{here / name}: cannot be read (a link that leads nowhere)")
    listing = {name: below(lead, os.path.join(room, name), watched, unread) for name in folders}
    if not any(listing.values()):
        what = "its files lie outside class folders" if len(folders) < len(entries) else "it is empty"
        if listing:
            what = "its class folders are empty"
        if unread:
            what = unread[0]
        raise UserError(f"{here}: no images: {what}; put the images of each class into a folder named after it")
    return listing


def _check_classes(root: Path, listings: dict[str, _Listing], rooms: Sequence[str], notes: list[str]) -> None:
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


def _refuse_unread(unread: list[str], skip: bool, notes: list[str]) -> None:
    """Raise UserError naming the first folder that cannot be read, or with `skip` take a note of them."""
    if unread and not skip:
        raise UserError(
            f"{unread[0]} (such folders: {len(unread)}); make it readable, or leave them out with --bad-images skip"
        )
    if unread:
        notes.append(f"{len(unread)} folders that cannot be read were left out, the first is {unread[0]}")


def _without_bad(
    listings: dict[str, _Listing], skip: bool, notes: list[str], watched: dict[str, Signature]
) -> dict[str, _Listing]:
    """Keep the files whose header is an image's. Raises UserError naming the first bad one and their number."""
    bad: list[BadImage] = []
    good: dict[str, _Listing] = {}
    for room, listing in listings.items():
        good[room] = {}
        for name, files in listing.items():
            opens = []
            for row, file in enumerate(files):
                try:
                    probe(file)
                    opens.append(row)
                except BadImage as error:
                    bad.append(error)
                    watched[file[len(files.lead) :]] = signed(file)
            good[room][name] = files if len(opens) == len(files) else files.subset(np.array(opens, np.int64))
    if bad and not skip:
        raise UserError(f"{bad[0]} (bad files: {len(bad)}); remove them, or leave them out with --bad-images skip")
    if bad:
        notes.append(f"{len(bad)} files that are no images were left out, the first is {bad[0].name}")
    return good


def _cut(root: Path, listing: _Listing, share: float | None, notes: list[str]) -> dict[str, _Listing]:
    if share is None:
        raise UserError(
            f"{root}: has no val folder; add one, or hold a share of the images out with --val-share 0.1, say"
        )
    if not 0 < share < 1:
        raise UserError(f"--val-share: {share} is not between 0 and 1")
    train: _Listing = {}
    val: _Listing = {}
    for name, files in listing.items():
        # The hash of its own path decides for a file, so adding others moves few of the old.
        digests = [hashlib.sha256(files.relative(row)).digest() for row in range(len(files))]
        ranked = sorted(range(len(files)), key=digests.__getitem__)
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        val[name], train[name] = (files.subset(np.sort(rows)) for rows in np.split(np.array(ranked, np.int64), [count]))
    held = sum(map(len, val.values()))
    notes.append(f"{held:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their paths")
    return {"train": train, "val": val}


def _part(lead: str, listing: _Listing, classes: Sequence[str]) -> Part:
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
