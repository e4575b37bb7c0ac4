"""Recognise how a folder of images is laid out: which of its folders are splits, and which are classes.

Splits are called train, val and test. Other usual names ("training_set", "val2017", "holdout") are taken if they can be
nothing else: one for train beside one of another split, each with class folders. A folder that wraps the splits, or
repeats the name of a split inside it ("seg_train/seg_train"), is entered. Each of these is told as a finding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reslab.data.check.finding import Finding
from reslab.data.sets.listing import entries, is_visible
from reslab.errors import UserError

SPLITS = ("train", "val", "test")
_WORDS = {
    "train": ("train", "training", "trainset", "learn"),
    "val": ("val", "valid", "validation", "dev", "devel", "eval", "evaluation", "valset"),
    "test": ("test", "testing", "holdout", "testset"),
}
_AROUND = re.compile(r"[\W_]+|\d{4}$")  # "train_images", "val2017"
_BESIDE = {"set", "images", "imgs", "image", "data", "split", "seg", "folder", "dir", "pictures", "photos"}
_DEEPEST = 3  # wrapping folders that are entered


@dataclass(frozen=True)
class Layout:
    """What `layout_of` recognised.

    root       the folder that holds the splits or classes
    folders    split → its folder, relative to `root`; {} if the classes are in `root`
    findings   what is not as a reader would expect
    """

    root: Path
    folders: dict[str, str]
    findings: tuple[Finding, ...] = ()


def split_of(name: str) -> str:
    """Return which split a folder's name stands for, "" if none: of "training_set" it is "train"."""
    words = {word for word in _AROUND.split(name.casefold()) if word} - _BESIDE
    found = [split for split, known in _WORDS.items() if words and words <= {*known}]
    return found[0] if found else ""


def layout_of(root: Path) -> Layout:
    """Return the layout of a folder. Raises UserError if a split is a broken link, or if it is none of those above."""
    findings: list[Finding] = []
    for _ in range(_DEEPEST):
        folders = _splits(root, findings)
        inside = _folders(root)
        if folders or len(inside) != 1 or _has_files(root) or not _splits(root / inside[0], []):
            break
        findings.append(
            Finding("layout", 1, examples=(inside[0],), detail=f"{root} holds {inside[0]} alone; it is read")
        )
        root = root / inside[0]
    if not folders:
        _refuse_alike(root, inside)
    for split, name in [*folders.items()]:
        within = _folders(root / name)
        if not within and split != "train" and _has_files(root / name):
            del folders[split]
            count = sum(map(is_visible, entries(str(root / name))[0]))
            findings.append(Finding("unlabelled", count, split=split, examples=(name,)))
        elif len(within) == 1 and split_of(within[0]) == split and _folders(root / name / within[0]):
            folders[split] = os.path.join(name, within[0])
            findings.append(Finding("layout", 1, split=split, examples=(folders[split],), detail=f"read as {split}"))
    return Layout(root, folders, tuple(findings))


def _splits(root: Path, findings: list[Finding]) -> dict[str, str]:
    """Return the folders of the splits, and add what is to be told about them."""
    for split in SPLITS:
        if os.path.islink(root / split) and not os.path.exists(root / split):
            raise UserError(f"{root / split}: a broken link; repair it, or remove it")
    inside = _folders(root)
    exact = {split: split for split in SPLITS if split in inside}
    others = [name for name in inside if name not in exact]
    if len(exact) > 1:
        taken = exact
    else:
        taken = exact | _by_other_names(root, others, exact)
        others = [name for name in others if name not in taken.values()]
        findings += [
            Finding("layout", 1, split=split, examples=(name,), detail=f"read as {split}")
            for split, name in taken.items()
            if name != split
        ]
    if taken and others:
        findings.append(Finding("not-read", len(others), examples=tuple(others)))
    return {split: taken[split] for split in SPLITS if split in taken}


def _by_other_names(root: Path, names: Sequence[str], exact: dict[str, str]) -> dict[str, str]:
    """Return the splits that have other names, {} if these folders may as well be classes. Raises UserError."""
    meant = {name: split for name in names if (split := split_of(name)) and split not in exact}
    if not meant:
        return {}
    for split in SPLITS:
        same = [name for name, other in meant.items() if other == split]
        if len(same) > 1:
            raise UserError(f"{root}: {same[0]} and {same[1]} both stand for {split}; rename the right one to {split}")
    complete = {**exact, **{split: name for name, split in meant.items()}}
    if len(complete) == 1 and len(names) > len(meant):
        return {}  # a class that is called "Train" beside "Bus"
    if not all(_folders(root / name) or _has_files(root / name) for name in meant):
        return {}
    if "train" in complete and not _folders(root / complete["train"]):
        return {}  # images directly inside: classes with such names
    return {split: name for name, split in meant.items()}


def _refuse_alike(root: Path, inside: Sequence[str]) -> None:
    """Raise UserError if the folders hold the same folders: then they are splits of unknown names, not classes."""
    if len(inside) < 2:
        if len(inside) == 1 and len(within := _folders(root / inside[0])) > 1 and not _has_files(root):
            raise UserError(
                f"{root}: one class only ({inside[0]}); if its folders ({', '.join(within[:3])} …) are the classes, "
                f"give {root / inside[0]}"
            )
        return
    first = set(_folders(root / inside[0]))
    if len(first) > 1 and all(set(_folders(root / name)) == first for name in inside[1:]):
        raise UserError(
            f"{root}: {', '.join(inside[:3])} hold the same folders ({', '.join(sorted(first)[:3])} …), so they look "
            "like splits; rename them to train, val or test"
        )


def _folders(folder: Path) -> list[str]:
    """Return the visible folders in a folder, links followed, sorted."""
    return sorted(filter(is_visible, entries(str(folder))[1])) if folder.is_dir() else []


def _has_files(folder: Path) -> bool:
    """Return whether a folder holds visible files."""
    return any(map(is_visible, entries(str(folder))[0]))
