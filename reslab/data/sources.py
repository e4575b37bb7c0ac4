"""Read the data of a `DataSource`: a known set, class folders, a list of files, parquet files, images from Python."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence

from reslab.data.check.survey import Watch
from reslab.data.given import given
from reslab.data.images.levels import FULL, Levels
from reslab.data.known import KNOWN, downloadable, grammar, pattern, variable_of
from reslab.data.sets.filelist import filelist
from reslab.data.sets.filelist import labelled as labelled_list
from reslab.data.sets.folder import folder
from reslab.data.sets.folder import labelled as labelled_folder
from reslab.data.sets.groups import check_group
from reslab.data.sets.layout import layout_of
from reslab.data.sets.parquet_set import labelled as labelled_parquet
from reslab.data.sets.parquet_set import parquet_set
from reslab.data.sets.table import SUFFIXES, is_table
from reslab.data.source import DataLike, DataSource, source_of
from reslab.data.splits import SPLITS, Data
from reslab.errors import UserError, suggest, suggest_beside
from reslab.store.files import cache, expanded

FOLDER_SIZE = 224


def load(
    source: DataLike,
    *,
    splits: Iterable[str] = SPLITS,
    size: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
    pair: str = "train",
    classes: Sequence[str] = (),
    channels: int = 3,
    workers: int = 0,
    watch: Watch | None = None,
    group: str | None = None,
    levels: Levels | None = None,
) -> Data:
    """Read the data of `source`.

    splits      splits to decode, if decoding is slow (CIFAR); the fingerprint does not depend on it
    size        image files: side of the images in pixels, default 224; sets in memory have a size of their own
    val_share   image files: share in (0, 1) of the training images that becomes the val split
    bad_images  image files: "error" or "skip" for files that are no images
    download    allow the network, for a set such as "cifar10"; otherwise the environment variable RESLAB_CIFAR10 names
                its folder or file
    pair, classes   split and class names for images given in Python without them (`given`)
    channels    folders: 3, or 1 for grey
    workers, watch   folders: processes that examine the files, and what is told meanwhile (`check.survey`)
    group       folders and lists: with `val_share`, a regular expression; groups of files are cut whole (`sets.groups`)
    levels      image files: the levels of 16-bit pixels that become black and white; None: see `sets.classes.settle`
    Raises UserError for anything unknown, missing, contradictory or damaged.
    """
    check_group(group, val_share)
    split_names = tuple(splits)
    for name in split_names:
        if name not in SPLITS:
            raise UserError(f"split {name!r} is unknown; choose from {', '.join(SPLITS)}{suggest(name, SPLITS)}")
    source = source_of(source)
    if download and not (source.known_set and source.known_set.downloads and source.path is None):
        raise UserError(
            f"download: only {downloadable()} can be downloaded, not {source.text!r}; leave one of the two out"
        )
    if source.given is not None:
        return _own_size(given(source.given.value, pair, classes), size, val_share)
    if source.path == "" and source.word:
        raise UserError(f"{source.word}: there is no path after the colon; write {source.word}:PATH")
    if source.known_set is None:
        size = size or FOLDER_SIZE
        if source.word:
            images = parquet_set(
                source.path or "", size, val_share,
                bad_images=bad_images, channels=channels, group=group, levels=levels,
            )  # fmt: skip
            return _placed(images, source)
        read = filelist if is_list(source) else folder
        files = read(
            source.text, size, val_share, bad_images=bad_images, channels=channels, workers=workers, watch=watch,
            group=group, levels=levels,
        )  # fmt: skip
        return _placed(files, source)
    if source.path is None and (source.known_set.takes_path or source.known_set.downloads):
        source = dataclasses.replace(source, path=_path_of(source, download))
    data = KNOWN[source.word].opened().read(source.path, split_names)
    return _placed(_own_size(data, size, val_share), source)


def to_score(
    source: DataLike, classes: Sequence[str], size: int, *, bad_images: str = "error", by_order: bool = False,
    channels: int = 3, workers: int = 0, watch: Watch | None = None, levels: Levels = FULL,
) -> Data | None:  # fmt: skip
    """Return the images of a folder or list without a train split, for scoring a network with these `classes`.

    by_order, channels, workers, watch, levels   as in `folder.labelled`
    None if `source` is no such folder or list. Raises UserError as `folder.labelled` does.
    """
    source = source_of(source)
    if source.kind != "folder":
        return None
    if source.word:
        images = labelled_parquet(
            source.path or "", size, classes,
            bad_images=bad_images, by_order=by_order, channels=channels, levels=levels,
        )  # fmt: skip
        return None if images is None else _placed(images, source)
    if is_list(source):
        rows = labelled_list(
            source.text, size, classes,
            bad_images=bad_images, by_order=by_order, channels=channels, workers=workers, watch=watch, levels=levels,
        )  # fmt: skip
        return None if rows is None else _placed(rows, source)
    try:
        if "train" in layout_of(expanded(source.text, source.lead)).folders:
            return None
    except OSError as error:
        raise UserError(f"data: {error.filename or source.text}: {error.strerror or error}") from None
    files = labelled_folder(
        source.text, size, classes,
        bad_images=bad_images, by_order=by_order, channels=channels, workers=workers, watch=watch, levels=levels,
    )  # fmt: skip
    return _placed(files, source)


def _placed(data: Data, source: DataSource) -> Data:
    return dataclasses.replace(data, place=source.place)


def _path_of(source: DataSource, download: bool) -> str:
    """Return the path of a set given without one: from its environment variable, or downloaded into the cache."""
    word, known_set = source.word, KNOWN[source.word]
    if path := os.environ.get(variable_of(word)):
        return path
    if not download:
        alternative = ", or allow --download" if known_set.downloads else ""
        raise UserError(f"{word}: the path is missing; write {word}:PATH, or set {variable_of(word)}{alternative}")
    if (folder := cache()) is None:
        raise UserError(
            f"--download: there is no home folder to keep {known_set.title} in; set XDG_CACHE_HOME to a folder"
        )
    return str(known_set.opened().download(folder))


def _own_size(data: Data, size: int | None, val_share: float | None) -> Data:
    if size not in (None, data.size):
        raise UserError(
            f"size: {data.name} images are {data.size}x{data.size}; {size} is possible only with folders and lists"
        )
    if val_share is not None:
        raise UserError(
            f"--val-share: only folders and lists are cut by a share, not {data.name}; --set holdout=N holds N out"
        )
    return data


def is_list(source: DataSource) -> bool:
    """Return whether `source` is a list of files, not a folder.

    Raises UserError if it is neither; the message depends on whether it looks like a path or a word.
    """
    text = source.text
    path = expanded(text, source.lead)
    try:
        if path.is_dir():
            return False
        if path.is_file() and is_table(path):
            return True
    except OSError as error:
        raise UserError(f"data: {text[:80]}: {error.strerror}") from None
    if path.exists():
        archives = ", ".join(pattern(word) for word, known_set in KNOWN.items() if known_set.takes_path)
        raise UserError(
            f"data: {text} is a file, but no list of files ({' or '.join(SUFFIXES)}); for an archive write {archives}"
        )
    if is_table(path):
        raise UserError(f"data: no such file: {text}{suggest_beside(path)}")
    if os.sep in text or text.startswith((".", "~")):
        raise UserError(f"data: no such folder: {text}")
    hint = suggest(text.lower().partition(":")[0], KNOWN)
    raise UserError(f"data: {text!r} is neither a known word nor a folder{hint or '; known: ' + grammar()}")
