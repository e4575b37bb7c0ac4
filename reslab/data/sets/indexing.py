"""From listings of files by split and class to `Data`: what folders and lists of files have in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL

from reslab.data.check.duplicates import clips
from reslab.data.check.finding import Finding
from reslab.data.check.survey import MOST, Watch
from reslab.data.images.decode import FORMATS, MAX_PIXELS
from reslab.data.images.levels import Levels
from reslab.data.paths import Paths
from reslab.data.sets.classes import Listing
from reslab.data.sets.groups import Groups
from reslab.data.sets.listing import Index, Part
from reslab.data.splits import Data, Files, fingerprint, ranged
from reslab.errors import UserError

DECODER = [PIL.__version__, list(FORMATS), MAX_PIXELS]  # what decides whether a file is an image


def check_options(size: int, bad_images: str) -> None:
    """Raise UserError unless `size` is a side in pixels and `bad_images` is "error" or "skip"."""
    if bad_images not in ("error", "skip"):
        raise UserError(f"--bad-images: {bad_images!r} is unknown; choose error or skip")
    if size < 1:
        raise UserError(f"size: {size} is no side of an image")


@dataclass(frozen=True)
class Reading:
    """How files are read, see `folder.folder`; without `levels` the files of train decide."""

    size: int
    val_share: float | None
    skip: bool
    channels: int
    workers: int
    watch: Watch | None
    group: str | None = None
    levels: Levels | None = None

    @property
    def key(self) -> list[Any]:
        """Return what an index depends on."""
        levels = None if self.levels is None else [self.levels.low, self.levels.high]
        return [self.size, self.val_share, self.skip, self.channels, self.group, levels]


def case_twins(classes: Sequence[str]) -> list[Finding]:
    """Return the findings on names of classes that differ only in upper and lower case."""
    folded: dict[str, str] = {}
    pairs = [(folded.setdefault(name.casefold(), name), name) for name in classes]
    return [Finding("case-twins", 2, examples=pair) for pair in pairs if pair[0] != pair[1]]


def missing_classes(classes: Sequence[str], sizes: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Return the findings on the classes of train that val or test lack.

    sizes   split → class → its number of images there
    """
    findings = []
    for split in ("val", "test"):
        missing = tuple(name for name in classes if split in sizes and not sizes[split].get(name))
        if missing:
            findings.append(Finding("missing-class", len(missing), len(classes), split, examples=missing))
    return findings


def sizes_of(listings: Mapping[str, Listing]) -> dict[str, dict[str, int]]:
    """Return split → class → its number of images."""
    return {split: {name: len(files) for name, files in listing.items()} for split, listing in listings.items()}


def check_share(share: float) -> None:
    """Raise UserError for a share out of (0, 1)."""
    if not 0 < share < 1:
        raise UserError(f"--val-share: {share} is not between 0 and 1")


def held_out(names: Sequence[bytes], share: float) -> np.ndarray:
    """Return bool [N]: which of the N files of a class are held out, at least one but not all.

    A hash of its own name decides for each file, so adding files moves few of the others.
    """
    digests = [hashlib.sha256(name).digest() for name in names]
    ranked = sorted(set(digests))
    held = set(ranked[: min(max(round(share * len(ranked)), 1), len(ranked) - 1)])
    return np.array([digest in held for digest in digests], bool)


def cut(
    listing: Listing, share: float, group: str | None, folder: str | None, notes: list[str], findings: list[Finding]
) -> dict[str, Listing]:
    """Return train and val, which gets `share` of each class of `listing`, by whole groups if there is a `group`.

    folder   that the class folders are in, relative to the lead of the paths; None: the paths have no class folders
    A path that is listed twice goes to one of them. Frames of a clip in both are found, unless `group` decided on them.
    Raises UserError for a share out of (0, 1), and for a class that is a single group.
    """
    check_share(share)
    train: Listing = {}
    val: Listing = {}
    groups = None if group is None else Groups(group)
    few = sum(map(len, listing.values())) <= MOST
    for name, files in listing.items():
        relative = [files.relative(row) for row in range(len(files))]
        inside = 0 if folder is None else len(os.path.join(folder, name, ""))
        is_held = held_out(relative, share) if groups is None else groups.held_out(name, relative, inside, share)
        val[name], train[name] = files.subset(is_held), files.subset(~is_held)
        if few:
            findings += _cut_clips(name, [os.fsdecode(path) for path in relative], inside, is_held, groups)
    count = sum(map(len, val.values()))
    what = "paths" if groups is None else "groups"
    notes.append(f"{count:,} of {sum(map(len, listing.values())):,} images held out as val by a hash of their {what}")
    if groups is not None:
        notes += groups.notes
        findings += groups.findings
    return {"train": train, "val": val}


def _cut_clips(
    cls: str, names: Sequence[str], inside: int, is_held: np.ndarray, groups: Groups | None
) -> list[Finding]:
    """Return the finding on frames of a clip in train and val of a class; files that match `groups` do not count."""
    sides: dict[bool, list[str]] = {False: [], True: []}
    for name, held in zip(names, is_held.tolist(), strict=True):
        if groups is None or groups.name(name[inside:]) is None:
            sides[held].append(name)
    rows = clips(sides[False], sides[True])
    held = tuple(sides[True][row] for row in rows)
    return [Finding("clips", len(held), len(sides[True]), "val", cls, examples=held)] if held else []


def part(lead: str, listing: Listing, classes: Sequence[str]) -> Part:
    """Return the files of a split, class after class."""
    empty = Paths(lead, b"")
    paths = Paths.joined(lead, (listing.get(name, empty) for name in classes))
    sizes = np.fromiter((os.stat(path).st_size for path in paths), np.int64, len(paths))
    return Part(paths, tuple(len(listing.get(name, empty)) for name in classes), sizes)


def content_hash(parts: Mapping[str, Part]) -> str:
    """Return the fingerprint over split, relative path, size in bytes and label of every file, sorted."""
    rows = []
    for split, files in parts.items():
        row = 0
        for label, count in enumerate(files.counts):
            for size in files.sizes[row : row + count].tolist():
                rows.append(b"\0".join([files.paths.relative(row), f"{size} {label} {split}".encode()]))
                row += 1
    rows.sort()
    return fingerprint(rows)


def as_data(
    index: Index, name: str, size: int, bad_images: str, val_share: float | None = None, channels: int = 3,
    group: str | None = None,
) -> Data:  # fmt: skip
    """Return the files of `index`, which are decoded later, to size x size pixels."""
    numbers, levels = np.arange(len(index.classes)), index.levels
    files = {
        split: Files(part.paths, np.repeat(numbers, part.counts), size, channels, levels, bad_images == "skip")
        for split, part in index.parts.items()
    }
    return Data(
        name=name,
        classes=index.classes,
        channels=channels,
        size=size,
        train=files.get("train"),
        val=files.get("val"),
        test=files.get("test"),
        fingerprint=ranged(index.fingerprint, levels),
        notes=index.notes,
        findings=index.findings,
        kind="folder",
        val_share=val_share,
        bad_images=bad_images,
        group=group,
        levels=levels,
        files=index.fingerprint,
    )
