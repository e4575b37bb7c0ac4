"""Class folders of images: PATH/train/CLASS and PATH/val/CLASS (or test), or PATH/CLASS with a stated share for val.

The class map is the sorted names of the training split's folders, and nothing else: a label depends on its folder's
name alone. Every header is read before anything is trained; what Pillow cannot even open is refused then, by name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reslab.data.images import BadImage, probe
from reslab.data.splits import Data, Files, fingerprint
from reslab.errors import UserError, suggest

_ROOMS = ("train", "val", "test")
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}  # what operating systems leave behind; never images
_Listing = dict[str, list[Path]]  # class name -> its image files, sorted


def folder(path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error") -> Data:
    """Index class folders; images are decoded later, to size x size pixels.

    `val_share` in (0, 1) cuts a val split from train by a hash of the relative path, class by class; it is needed
    where PATH has no val or test, and refused where it has. `bad_images`: "error" refuses files that are no images,
    "skip" leaves them out and says how many. A training class that val or test lack is noted, one that train lacks is
    refused; hidden folders are skipped; files may lie deeper than the class folder. Raises UserError.
    """
    root = Path(path).expanduser()
    if bad_images not in ("error", "skip"):
        raise UserError(f"bad_images: {bad_images!r} is unknown; choose error or skip")
    if size < 1:
        raise UserError(f"size: {size} is no side of an image")
    if not root.is_dir():
        raise UserError(f"data: {path} is {'not a folder' if root.exists() else 'not there'}")
    try:
        return _index(root, size, val_share, bad_images == "skip")
    except OSError as error:
        raise UserError(f"data: {error.filename or root}: {error.strerror or error}") from None


def _index(root: Path, size: int, val_share: float | None, skip: bool) -> Data:
    rooms = [room for room in _ROOMS if (root / room).is_dir()]
    if rooms and "train" not in rooms:
        raise UserError(f"{root}: has {rooms[0]} but no train folder, whose class folders are the map of classes")
    notes: list[str] = []
    listings = {room: _listing(root / room) for room in rooms} or {"train": _listing(root)}
    _check_classes(root, listings, rooms, notes)
    listings = _without_bad(listings, skip, notes)
    for name, files in listings["train"].items():
        if not files:
            raise UserError(f"{root / 'train' / name if rooms else root / name}: no images in this class folder")
    if len(rooms) > 1 and val_share is not None:
        raise UserError(f"{root}: has a {rooms[1]} folder; leave the val share out, or remove the folder")
    if len(rooms) < 2:
        listings = _cut(root, listings["train"], val_share, notes)
    classes = sorted(listings["train"])
    for room in ("val", "test"):
        lacking = [name for name in classes if room in listings and not listings[room].get(name)]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(f"{room} has no images of class {lacking[0]}{more}")
    parts = {room: _files(listing, classes, size) for room, listing in listings.items()}
    for room, part in parts.items():
        if not len(part):
            raise UserError(f"{root / room}: no images in any of its class folders")
    return Data(
        name=root.resolve().name,
        classes=tuple(classes),
        channels=3,
        size=size,
        train=parts["train"],
        val=parts.get("val"),
        test=parts.get("test"),
        fingerprint=fingerprint(_content(root, parts)),
        notes=tuple(notes),
    )


def _visible(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.name.lower() not in _LITTER


def _listing(root: Path) -> _Listing:
    """Class folders of `root` and all files below each. Raises UserError where images lie beside class folders."""
    entries = sorted((e for e in root.iterdir() if _visible(e)), key=lambda e: e.name)
    listing = {entry.name: _below(entry) for entry in entries if entry.is_dir()}
    if not any(listing.values()):
        loose = [e for e in entries if not e.is_dir()]
        what = "its files lie outside class folders" if loose else "it is empty"
        if listing:
            what = "its class folders are empty"
        raise UserError(f"{root}: no images: {what}; put the images of each class into a folder named after it")
    return listing


def _below(root: Path) -> list[Path]:
    files: list[Path] = []
    seen: set[str] = set()
    for where, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link that leads back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if _visible(Path(f)))
        files += [Path(where, name) for name in names if _visible(Path(name))]
    return sorted(files, key=str)


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


def _without_bad(listings: dict[str, _Listing], skip: bool, notes: list[str]) -> dict[str, _Listing]:
    """Keep the files whose header is an image's. Raises UserError naming the first bad one and their number."""
    bad: list[BadImage] = []
    good: dict[str, _Listing] = {}
    for room, listing in listings.items():
        good[room] = {name: [] for name in listing}
        for name, files in listing.items():
            for file in files:
                try:
                    probe(file)
                    good[room][name].append(file)
                except BadImage as error:
                    bad.append(error)
    if bad and not skip:
        raise UserError(f"{bad[0]} (bad files: {len(bad)}); remove them, or leave them out with bad_images = 'skip'")
    if bad:
        notes.append(f"{len(bad)} files that are no images were left out, the first is {bad[0].name}")
    return good


def _cut(root: Path, listing: _Listing, share: float | None, notes: list[str]) -> dict[str, _Listing]:
    if share is None:
        raise UserError(f"{root}: has no val folder; add one, or state the share of images to hold out (0.1, say)")
    if not 0 < share < 1:
        raise UserError(f"val share: {share} is not between 0 and 1")
    train: _Listing = {}
    val: _Listing = {}
    for name, files in listing.items():
        # The hash of its own path decides for a file, so adding others moves few of the old.
        ranked = sorted(files, key=lambda file: hashlib.sha256(_relative(root, str(file))).digest())
        count = min(max(round(share * len(files)), 1), len(files) - 1)
        val[name], train[name] = sorted(ranked[:count], key=str), sorted(ranked[count:], key=str)
    held = sum(map(len, val.values()))
    notes.append(f"{held:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their paths")
    return {"train": train, "val": val}


def _files(listing: _Listing, classes: Sequence[str], size: int) -> Files:
    paths = [(str(file), label) for label, name in enumerate(classes) for file in listing.get(name, [])]
    return Files(tuple(p for p, _ in paths), np.array([label for _, label in paths], np.int64), size)


def _relative(root: Path, path: str) -> bytes:
    return os.fsencode(os.path.relpath(path, root).replace(os.sep, "/"))


def _content(root: Path, parts: dict[str, Files]) -> list[bytes]:
    """Split, relative path, size in bytes and label of every file, sorted."""
    rows = []
    for room, part in parts.items():
        for path, label in zip(part.paths, part.labels, strict=True):
            rows.append(b"\0".join([_relative(root, path), f"{os.stat(path).st_size} {label} {room}".encode()]))
    return sorted(rows)


# Views: decoded pixels -> the square that the network sees. Pillow resizes with an antialiasing filter, and only the
# part that is kept: `box` gives, up to rounding, the pixels of resizing the whole image and cropping afterwards.


def evaluation_view(rgb: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [size, size, 3]: shorter side to round(size * 256 / 224), centre crop."""
    return _resized_crop(rgb, size, round(size * 256 / 224), 0.5, 0.5)


def training_view(rgb: np.ndarray, size: int, side: float, top: float, left: float, flip: bool) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [size, size, 3]: shorter side to round(size * side), the crop at (top, left) in [0, 1)
    of the possible places, mirrored if `flip`; the draws are `augment.scale_crop_flip`'s."""
    view = _resized_crop(rgb, size, round(size * side), top, left)
    return np.ascontiguousarray(view[:, ::-1]) if flip else view


def _resized_crop(rgb: np.ndarray, size: int, shorter: int, top: float, left: float) -> np.ndarray:
    height, width = rgb.shape[:2]
    factor = shorter / min(height, width)
    high, wide = max(int(height * factor + 1e-9), size), max(int(width * factor + 1e-9), size)
    y, x = int(top * (high - size + 1)), int(left * (wide - size + 1))
    box = (x * width / wide, y * height / high, (x + size) * width / wide, (y + size) * height / high)
    box = (box[0], box[1], min(box[2], width), min(box[3], height))
    image = Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)
