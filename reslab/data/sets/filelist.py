"""Lists of image files: a table (.csv or .tsv) with the columns path, label and perhaps split; paths relative to it.

A list of the files of class folders, labelled by these, is the same data as the folders: classes are the sorted labels,
files are sorted by class and path, and the fingerprint is over relative path, size, label and split of each.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from reslab.data.check.survey import Watch
from reslab.data.images.levels import FULL, Levels
from reslab.data.paths import Paths, Signature, signature
from reslab.data.sets.classes import Contents, Listing, examine, settle
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
from reslab.data.sets.layout import Layout
from reslab.data.sets.listing import Index, cached_index
from reslab.data.sets.table import SPLITS, Row, refuse_two_labels, rows_of
from reslab.data.splits import Data
from reslab.errors import UserError, suggest
from reslab.store.files import expanded

_FORM = 3  # version of the index file; an index of another version is not read
_SHOWN = 3  # missing files that a message names
_Place = tuple[int, int] | str  # identifies a file under all its names


def filelist(
    path: str | Path, size: int, val_share: float | None = None, *, bad_images: str = "error", channels: int = 3,
    workers: int = 0, watch: Watch | None = None, group: str | None = None, levels: Levels | None = None,
) -> Data:  # fmt: skip
    """Return the images of a list of files, which are decoded later, to size x size pixels.

    val_share    in (0, 1): moves this share of each training class into val, chosen by a hash of the relative path.
                 Required if the list has no val or test rows, and refused if it has some
    bad_images   "error" refuses files that are missing or no images; "skip" leaves them out and notes their number
    channels, workers, watch, group, levels   as in `folder.folder`
    A list without splits is all train. A file in two splits, or twice in one, is noted. The index of a long list is
    cached, as that of a large folder. Raises UserError.
    """
    file = _checked(path, size, bad_images)
    reading = Reading(size, val_share, bad_images == "skip", channels, workers, watch, group, levels)
    key = [_FORM, str(file), os.path.realpath(file), *reading.key, *DECODER]
    try:
        index = cached_index("list", key, _lead(file), lambda: _index(file, reading))
    except OSError as error:
        raise UserError(f"data: {error.filename or file}: {error.strerror or error}") from None
    return as_data(index, file.name, size, bad_images, val_share, channels, group)


def labelled(
    path: str | Path, size: int, classes: Sequence[str], *, bad_images: str = "error", by_order: bool = False,
    channels: int = 3, workers: int = 0, watch: Watch | None = None, levels: Levels = FULL,
) -> Data | None:  # fmt: skip
    """Return a list of files for scoring, labelled by `classes`; its labels must be some of these.

    by_order   the names of `classes` are a guess: as many labels under other names are taken in sorted order
    A list without splits becomes the test split. None if there are rows of a train split. Raises UserError.
    """
    file = _checked(path, size, bad_images)
    lead, notes, skip = _lead(file), list[str](), bad_images == "skip"
    try:
        rows = rows_of(file, notes)
        if any(row.split == "train" for row in rows):
            return None
        refuse_two_labels(file, rows)
        names = sorted({row.label for row in rows})
        if by_order and len(names) == len(classes):
            classes = names
        known = set(classes)
        for row in rows:
            if row.label not in known:
                problem = f"the network knows no class {row.label!r}{suggest(row.label, classes)}"
                raise UserError(f"{file}: line {row.line}: {problem}")
        splits = {row.split or "test" for row in rows}
        rows, places = _existing(file, lead, rows, skip, notes, {})
        contents = _contents(file, _listings(lead, rows, "test"), {}, notes)
        examine(contents, size, skip, channels=channels, workers=workers, watch=watch)
        listings = contents.listings
        _note_repeated(listings, places, notes)
        parts = {split: part(lead, listing, classes) for split, listing in listings.items()}
    except OSError as error:
        raise UserError(f"data: {error.filename or file}: {error.strerror or error}") from None
    _refuse_empty(file, listings, splits)
    settle(contents, {}, levels)
    index = Index(tuple(classes), parts, content_hash(parts), tuple(notes), {}, tuple(contents.findings), levels)
    return as_data(index, file.name, size, bad_images, channels=channels)


def _contents(
    file: Path, listings: dict[str, Listing], watched: dict[str, Signature], notes: list[str]
) -> Contents:  # fmt: skip
    """Return the files of a list as the contents of its folder."""
    return Contents(Layout(file.parent, {}), listings, watched, notes=notes)


def _checked(path: str | Path, size: int, bad_images: str) -> Path:
    file = expanded(path, "data: ")
    check_options(size, bad_images)
    if not file.is_file():
        raise UserError(f"data: {path} is {'not a file' if file.exists() else 'not there'}")
    return file


def _lead(file: Path) -> str:
    return str(file.parent / "x")[:-1]


def _index(file: Path, reading: Reading) -> Index:
    """Read the list and return its index. Raises UserError."""
    lead, skip, val_share = _lead(file), reading.skip, reading.val_share
    watched: dict[str, Signature] = {file.name: signature(str(file))}
    notes: list[str] = []
    rows = rows_of(file, notes)
    refuse_two_labels(file, rows)
    splits = {row.split or "train" for row in rows}
    if "train" not in splits:
        raise UserError(f"{file}: no row is of the split train, whose labels are the classes")
    classes = _classes(file, rows)
    findings = case_twins(classes)
    if len(splits) > 1 and val_share is not None:
        raise UserError(f"{file}: has rows of {' and '.join(sorted(splits - {'train'}))}; leave out --val-share")
    if len(splits) < 2 and val_share is None:
        raise UserError(
            f"{file}: has no val rows; add a column split with train and val, or hold a share of the images out with "
            "--val-share 0.1, say"
        )
    for row in rows:
        folder = os.path.dirname(row.path) or os.curdir
        if folder not in watched:
            watched[folder] = signature(lead + folder)
    rows, places = _existing(file, lead, rows, skip, notes, watched)
    contents = _contents(file, _listings(lead, rows, "train"), watched, notes)
    examine(
        contents, reading.size, skip, channels=reading.channels, workers=reading.workers, watch=reading.watch
    )  # fmt: skip
    listings, findings = contents.listings, [*findings, *contents.findings]
    for name in classes:
        if not listings.get("train", {}).get(name):
            raise UserError(f"{file}: no images of class {name!r} in train are left")
    if val_share is not None:
        listings = cut(listings["train"], val_share, reading.group, None, notes, findings)
    _refuse_empty(file, listings, splits | listings.keys())
    findings += missing_classes(classes, sizes_of(listings))
    _note_repeated(listings, places, notes)
    parts = {split: part(lead, listings[split], classes) for split in SPLITS if split in listings}
    contents.findings = findings
    levels = settle(contents, listings["train"], reading.levels)
    return Index(tuple(classes), parts, content_hash(parts), tuple(notes), watched, tuple(findings), levels)


def _classes(file: Path, rows: Sequence[Row]) -> list[str]:
    """Return the sorted labels of train. Raises UserError for a single one, or one that train lacks."""
    classes = sorted({row.label for row in rows if row.split in ("", "train")})
    if len(classes) < 2:
        raise UserError(f"{file}: one class only ({classes[0]}) in train; at least two are needed")
    known = set(classes)
    for row in rows:
        if row.label not in known:
            problem = f"train has no class {row.label!r}{suggest(row.label, classes)}"
            raise UserError(f"{file}: line {row.line}, of {row.split}: {problem}")
    return classes


def _existing(
    file: Path, lead: str, rows: Sequence[Row], skip: bool, notes: list[str], watched: dict[str, Signature]
) -> tuple[list[Row], dict[str, _Place]]:
    """Return the rows whose files exist, and what identifies each file.

    Raises UserError with the number of missing files; with `skip`, adds a note and the files to `watched`.
    """
    places: dict[str, _Place] = {}
    missing: dict[str, None] = {}
    for name in dict.fromkeys(row.path for row in rows):
        try:
            status = os.stat(lead + name)
        except OSError:
            missing[name] = None
            continue
        # Folders and pipes are left to the check of the images, which names them.
        is_file = stat.S_ISREG(status.st_mode) and status.st_ino
        places[name] = (status.st_dev, status.st_ino) if is_file else name
    if not missing:
        return list(rows), places
    names = ", ".join(list(missing)[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
    if not skip:
        raise UserError(
            f"{file}: {len(missing):,} of {len(missing) + len(places):,} files are missing: {names}; paths are "
            f"relative to {file.parent}; correct them, or leave the files out with --bad-images skip"
        )
    notes.append(f"{len(missing):,} files of the list that are missing were left out: {names}")
    watched.update({name: signature(lead + name) for name in missing})
    return [row for row in rows if row.path in places], places


def _listings(lead: str, rows: Sequence[Row], otherwise: str) -> dict[str, Listing]:
    """Return the files by split (`otherwise` if the list has none) and class, sorted."""
    names: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        names.setdefault(row.split or otherwise, {}).setdefault(row.label, []).append(row.path)
    return {
        split: {
            label: Paths(lead, os.fsencode("".join(f"{name}\0" for name in sorted(files))))
            for label, files in sorted(labels.items())
        }
        for split, labels in names.items()
    }


def _refuse_empty(file: Path, listings: Mapping[str, Listing], splits: set[str]) -> None:
    for split in sorted(splits):
        if not any(listings.get(split, {}).values()):
            raise UserError(f"{file}: no images of the split {split} are left")


def _note_repeated(listings: Mapping[str, Listing], places: Mapping[str, _Place], notes: list[str]) -> None:
    """Note the files that a split has twice, and those that two splits share, also under other names."""
    seen: dict[_Place, set[str]] = {}
    repeated: dict[str, list[str]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for split in (name for name in SPLITS if name in listings):
        for files in listings[split].values():
            for path in files:
                name = path[len(files.lead) :]
                splits = seen.setdefault(places[name], set())
                if split in splits:
                    repeated.setdefault(split, []).append(name)
                for other in sorted(splits - {split}):
                    shared.setdefault((other, split), []).append(name)
                splits.add(split)
    for (one, other), names in shared.items():
        notes.append(f"leakage: {len(names):,} files of {other} are also in {one}, the first is {names[0]}")
    for split, names in repeated.items():
        notes.append(f"{split} lists {len(names):,} files again, the first is {names[0]}; each row counts")
