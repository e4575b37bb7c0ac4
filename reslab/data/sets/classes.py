"""Find the split and class folders under a folder, and the files in them that are images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from reslab.data.images.decode import BadImage, probe
from reslab.data.paths import Paths
from reslab.data.sets.listing import Signature, files_below, is_visible, signature
from reslab.errors import UserError

_SPLITS = ("train", "val", "test")
_SYNONYMS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
             "testing": "test"}  # fmt: skip
Listing = dict[str, Paths]  # class name -> its image files, sorted


def listed(
    root: Path, lead: str, watched: dict[str, Signature], unread: list[str]
) -> tuple[dict[str, Listing], list[str]]:
    """Return the files by split and class, and the names of the split folders (empty if the classes are in `root`).

    Adds every folder to `watched`, and a line to `unread` for each one that cannot be read. Raises UserError if there
    are no images in class folders, or if the split folders have other names.
    """
    splits = split_folders(root)
    if splits and "train" not in splits:
        raise UserError(f"{root}: has {splits[0]} but no train folder, whose class folders are the map of classes")
    return {split: class_files(root, lead, split, watched, unread) for split in splits} or {
        "train": class_files(root, lead, "", watched, unread)
    }, splits


def split_folders(root: Path) -> list[str]:
    """Return which of the folders train, val and test exist.

    Raises UserError if one has another name ("validation") or is a broken link.
    """
    for split in _SPLITS:
        if _is_broken_link(root / split):
            raise UserError(f"{root / split}: a broken link; repair it, or remove it")
    splits = [name for name in _SPLITS if (root / name).is_dir()]
    others = sorted(n for n in os.listdir(root) if is_visible(n) and (root / n).is_dir() and n not in splits)
    # Otherwise a folder with such a name may be a class.
    if len(splits) < 2 and (splits or all(name.casefold() in _SYNONYMS for name in others)):
        for name in others:
            split = _SYNONYMS.get(name.casefold(), "")
            if split and split not in splits:
                raise UserError(f"{root / name}: split folders are called train, val and test; rename it to {split}")
    return splits


def _is_broken_link(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def class_files(root: Path, lead: str, split: str, watched: dict[str, Signature], unread: list[str]) -> Listing:
    """Return the files of each class folder of a split ("": of `root`). Raises UserError if there are none."""
    folder = root / split
    if split:
        watched[split] = signature(str(folder))
    entries = sorted(filter(is_visible, os.listdir(folder)))
    class_names = [name for name in entries if os.path.isdir(folder / name)]
    for name in sorted(set(entries) - set(class_names)):
        if _is_broken_link(folder / name):  # perhaps a class on a disk that is not mounted
            watched[os.path.join(split, name)] = None
            unread.append(f"{folder / name}: cannot be read (a broken link)")
    listing = {name: files_below(lead, os.path.join(split, name), watched, unread) for name in class_names}
    if not any(listing.values()):
        problem = "its files are outside class folders" if len(class_names) < len(entries) else "it is empty"
        if listing:
            problem = "its class folders are empty"
        if unread:
            problem = unread[0]
        raise UserError(f"{folder}: no images: {problem}; put the images of each class into a folder named after it")
    return listing


def refuse_unread(unread: list[str], skip: bool, notes: list[str]) -> None:
    """Raise UserError with the first folder that cannot be read; with `skip`, add a note instead."""
    if unread and not skip:
        raise UserError(
            f"{unread[0]} (such folders: {len(unread)}); make it readable, or leave them out with --bad-images skip"
        )
    if unread:
        notes.append(f"{len(unread)} folders that cannot be read were left out, the first is {unread[0]}")


def without_bad(
    listings: dict[str, Listing], skip: bool, notes: list[str], watched: dict[str, Signature]
) -> dict[str, Listing]:
    """Return the files with the header of an image.

    Raises UserError with the first bad file and their number; with `skip`, adds a note and the files to `watched`.
    """
    bad: list[BadImage] = []
    good: dict[str, Listing] = {}
    for split, listing in listings.items():
        good[split] = {}
        for name, files in listing.items():
            rows = []
            for row, file in enumerate(files):
                try:
                    probe(file)
                    rows.append(row)
                except BadImage as error:
                    bad.append(error)
                    watched[file[len(files.lead) :]] = signature(file)
            good[split][name] = files if len(rows) == len(files) else files.subset(np.array(rows, np.int64))
    if bad and not skip:
        raise UserError(f"{bad[0]} (bad files: {len(bad)}); remove them, or leave them out with --bad-images skip")
    if bad:
        notes.append(f"{len(bad)} files that are no images were left out, the first is {bad[0].name}")
    return good
