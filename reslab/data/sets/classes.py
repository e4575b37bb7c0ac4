"""Which class folders of which splits there are under a folder, and which of their files are images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from reslab.data.images.decode import BadImage, probe
from reslab.data.paths import Paths
from reslab.data.sets.listing import Signature, below, signed, visible
from reslab.errors import UserError

_ROOMS = ("train", "val", "test")
_ALIKE = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test"}  # what people call them  # fmt: skip
Listing = dict[str, Paths]  # class name -> its image files, sorted


def listed(
    root: Path, lead: str, watched: dict[str, Signature], unread: list[str]
) -> tuple[dict[str, Listing], list[str]]:
    """The files of each split's class folders, and the split folders that there are (none: classes lie in `root`).

    Adds every folder met to `watched`, and a line to `unread` for each that cannot be read. Raises UserError where
    images lie beside class folders, there are none, or the split folders have other names.
    """
    rooms = rooms_of(root)
    if rooms and "train" not in rooms:
        raise UserError(f"{root}: has {rooms[0]} but no train folder, whose class folders are the map of classes")
    return {room: listing_of(root, lead, room, watched, unread) for room in rooms} or {
        "train": listing_of(root, lead, "", watched, unread)
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


def listing_of(root: Path, lead: str, room: str, watched: dict[str, Signature], unread: list[str]) -> Listing:
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


def refuse_unread(unread: list[str], skip: bool, notes: list[str]) -> None:
    """Raise UserError naming the first folder that cannot be read, or with `skip` take a note of them."""
    if unread and not skip:
        raise UserError(
            f"{unread[0]} (such folders: {len(unread)}); make it readable, or leave them out with --bad-images skip"
        )
    if unread:
        notes.append(f"{len(unread)} folders that cannot be read were left out, the first is {unread[0]}")


def without_bad(
    listings: dict[str, Listing], skip: bool, notes: list[str], watched: dict[str, Signature]
) -> dict[str, Listing]:
    """Keep the files whose header is an image's. Raises UserError naming the first bad one and their number."""
    bad: list[BadImage] = []
    good: dict[str, Listing] = {}
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
