"""The class folders of each split, the files in them that are images, and what is found about them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reslab.data.check.facts import Facts, began_like
from reslab.data.check.finding import Finding
from reslab.data.check.judged import Entry, judged, judged_levels
from reslab.data.check.survey import MOST, Watch, survey
from reslab.data.images.decode import BadImage, mode_of
from reslab.data.images.levels import FULL, Levels, stretched
from reslab.data.images.pixels import is_deep
from reslab.data.paths import Paths, Signature, signature
from reslab.data.sets.layout import SPLITS, Layout, layout_of
from reslab.data.sets.listing import files_below, is_visible
from reslab.errors import UserError

NAMED = 20  # damaged files that a message names
Listing = dict[str, Paths]  # class name -> its image files, sorted


@dataclass
class Contents:
    """What a folder holds.

    layout     its splits
    listings   split → class → files; "train" alone if the classes are in the folder itself
    watched    files and folders that must be unchanged for this to stay true
    unread     a line for each folder that cannot be read
    litter     names that were left out
    findings   what was found
    notes      what a reader of results should know
    good       files that can be read, if they were examined; of more than MOST `deep` has names of 16-bit files
    is_settled   `settle` has decided on the levels of 16-bit files
    """

    layout: Layout
    listings: dict[str, Listing] = field(default_factory=dict)
    watched: dict[str, Signature] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    good: list[Entry] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)
    is_settled: bool = False

    @property
    def root(self) -> Path:
        return self.layout.root

    @property
    def lead(self) -> str:
        return str(self.root / "x")[:-1]

    @property
    def files(self) -> int:
        """Number of files in class folders."""
        return sum(len(paths) for listing in self.listings.values() for paths in listing.values())

    def folder(self, split: str) -> Path:
        """Return the folder of a split's classes."""
        return self.root / self.layout.folders.get(split, "")


def contents_of(path: Path, splits: Sequence[str] = ("train", "val", "test"), alone: str = "train") -> Contents:
    """Return the files of a folder by split and class.

    splits   that are listed; `alone`: the split that the classes are if they are in the folder itself
    Raises UserError if there are no images in class folders, or if the layout is not understood.
    """
    layout = layout_of(path)
    contents = Contents(layout, findings=[*layout.findings])
    contents.watched["."] = signature(str(layout.root))
    folders = {split: name for split, name in layout.folders.items() if split in splits} or {alone: ""}
    for split, name in folders.items():
        contents.listings[split] = _class_files(contents, name)
    if contents.litter:
        names = Counter(os.path.basename(name) for name in contents.litter)
        shown = ", ".join(f"{count:,} {name}" for name, count in names.most_common(5))
        contents.findings.append(Finding("litter", len(contents.litter), examples=tuple(contents.litter), detail=shown))
    return contents


def _is_broken_link(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _class_files(contents: Contents, split: str) -> Listing:
    """Return the files of each class folder of a split's folder ("": of the root). Raises UserError without any."""
    folder, unread = contents.root / split, contents.unread
    if split:
        contents.watched[split] = signature(str(folder))
    names = os.listdir(folder)
    visible = sorted(filter(is_visible, names))
    contents.litter += [os.path.join(split, name) for name in sorted(names) if not is_visible(name)]
    class_names = [name for name in visible if os.path.isdir(folder / name)]
    for name in sorted({*visible} - {*class_names}):
        if _is_broken_link(folder / name):  # perhaps a class on a disk that is not mounted
            contents.watched[os.path.join(split, name)] = None
            unread.append(f"{folder / name}: cannot be read (a broken link)")
    listing = {
        name: files_below(contents.lead, os.path.join(split, name), contents.watched, unread, contents.litter)
        for name in class_names
    }
    if not any(listing.values()):
        problem = "its files are outside class folders" if len(class_names) < len(visible) else "it is empty"
        if listing:
            problem = "its class folders are empty"
        if unread:
            problem = unread[0]
        raise UserError(f"{folder}: no images: {problem}; put the images of each class into a folder named after it")
    return listing


def refuse_unread(contents: Contents, skip: bool) -> None:
    """Raise UserError with the first folder that cannot be read; with `skip`, add a finding instead."""
    unread = contents.unread
    if unread and not skip:
        raise UserError(
            f"{unread[0]} (such folders: {len(unread)}); make it readable, or leave them out with --bad-images skip"
        )
    if unread:
        contents.findings.append(Finding("unreadable", len(unread), examples=tuple(unread)))


def examine(
    contents: Contents,
    size: int,
    skip: bool,
    *,
    channels: int = 3,
    workers: int = 0,
    watch: Watch | None = None,
    most: float = MOST,
) -> None:
    """Examine every file, add what is found, and leave out those that cannot be read.

    Of more than `most` files only the headers are read. Raises UserError with the names of the bad files; with `skip`
    it adds these files to `watched`.
    """
    entries = _entries(contents, workers, watch, most)
    if contents.files > most:
        contents.findings.append(Finding("headers", contents.files))
    contents.findings += judged(entries, size, channels)
    bad = [entry for entry in entries if entry.facts.reason]
    contents.good = [entry for entry in entries if not entry.facts.reason]
    if bad and not skip:
        first, *others = bad
        names = "".join(f", {entry.name or os.curdir}" for entry in others[: NAMED - 1])
        names += " …" if len(bad) > NAMED else ""
        raise UserError(
            f"{contents.lead}{first.name}: {first.facts.reason} (bad files: {len(bad)}{names}); remove them, or leave "
            "them out with --bad-images skip"
        )
    if not bad:
        return
    lost = Counter((entry.split, entry.cls) for entry in bad)
    for entry in bad:
        contents.watched[entry.name] = signature(contents.lead + entry.name)
    gone = {entry.name for entry in bad}
    for split, cls in lost:
        files = contents.listings[split][cls]
        rows = [row for row in range(len(files)) if files[row][len(files.lead) :] not in gone]
        contents.listings[split][cls] = files.subset(np.array(rows, np.int64))


def settle(contents: Contents, train: Listing, wanted: Levels | None) -> Levels:
    """Return the levels of 16-bit pixels that become black and white, and add what is found about files that have some.

    train    the training files, whose lowest and highest level is taken if it is a small part of the range
    wanted   the levels to take; None: they are decided here
    """
    contents.is_settled = True
    levels, total = wanted or FULL, len(contents.good) or contents.files
    if contents.deep:
        remedy = "" if wanted else ", as only their headers were read; --range LOW,HIGH takes fewer levels"
        contents.findings.append(
            Finding("deep", len(contents.deep), total, examples=tuple(contents.deep), detail=levels.words + remedy)
        )
    elif any(entry.facts.is_deep for entry in contents.good):
        if wanted is None:
            names = {files[row][len(files.lead) :] for files in train.values() for row in range(len(files))}
            deep = [entry.facts for entry in contents.good if entry.facts.is_deep and entry.name in names]
            if deep:
                levels = stretched(min(facts.low for facts in deep), max(facts.high for facts in deep))
        contents.findings += judged_levels(contents.good, levels)
    else:
        return levels
    if not levels.is_full:
        contents.notes.append(f"16-bit pixels: {levels.words}")
    return levels


def _entries(contents: Contents, workers: int, watch: Watch | None, most: float) -> list[Entry]:
    """Return every file with its facts; of a large folder only those that have a bad header."""
    rows = (  # not a list: a million names take 150 MB
        (paths[row][len(paths.lead) :], split, cls)
        for split in sorted(contents.listings, key=SPLITS.index)
        for cls, paths in contents.listings[split].items()
        for row in range(len(paths))
    )
    if contents.files <= most:
        listed = [*rows]
        facts = survey(contents.root, [name for name, _, _ in listed], workers, watch)
        return [Entry(*row, known) for row, known in zip(listed, facts, strict=True)]
    bad = []
    for name, split, cls in rows:
        path = contents.lead + name
        try:
            if is_deep(mode_of(path)):
                contents.deep.append(name)
        except BadImage as error:
            bad.append(Entry(name, split, cls, Facts(error.reason, began_like(path))))
    return bad
