"""The text behind `--data`: "digits", "cifar10:PATH", "cifar10", or a folder of class folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from reslab.data.sets import cifar as cifar_set
from reslab.data.sets import digits as digit_set
from reslab.data.sets.cifar import cifar10
from reslab.data.sets.cifar import download as fetch_cifar10
from reslab.data.sets.classes import rooms_of
from reslab.data.sets.digits import digits
from reslab.data.sets.folder import folder, labelled
from reslab.data.splits import SPLITS, Data
from reslab.errors import UserError, suggest
from reslab.store.files import cache, expanded

WORDS = ("digits", "cifar10")
GRAMMAR = "digits, cifar10:PATH, cifar10 (with --download), or a folder with train/CLASS and val/CLASS"
FOLDER_SIZE = 224


def load(
    source: str,
    *,
    splits: Iterable[str] = SPLITS,
    size: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
) -> Data:
    """Read the data set that `source` names.

    Only the `splits` asked for are decoded where decoding costs (CIFAR-10); the fingerprint is the same anyhow.
    `size` (side in pixels, default 224), `val_share` (in (0, 1)) and `bad_images` ("error" or "skip") are for folders;
    sets in memory have a size of their own. `download` allows the one use of the network, for the word "cifar10",
    which otherwise reads the folder or file that the environment variable RESLAB_CIFAR10 names.
    Raises UserError in one line for anything unknown, absent, contradictory or damaged.
    """
    wanted = tuple(splits)
    for name in wanted:
        if name not in SPLITS:
            raise UserError(f"split {name!r} is unknown; choose from {', '.join(SPLITS)}{suggest(name, SPLITS)}")
    word, colon, rest = source.partition(":")
    if download and source != "cifar10":
        raise UserError(f"download: only the word cifar10 can be downloaded, not {source!r}; leave one of the two out")
    if source == "digits":
        return _own_size(digits(), size, val_share)
    if word == "cifar10" and colon:
        if not rest:
            raise UserError("cifar10: nothing stands after the colon; write cifar10:PATH")
        return _placed(_own_size(cifar10(rest, wanted), size, val_share), source)
    if source == "cifar10":
        path = _cifar10_path(download)
        return _placed(_own_size(cifar10(path, wanted), size, val_share), f"cifar10:{path}")
    _check_folder(source)
    return _placed(folder(source, size or FOLDER_SIZE, val_share, bad_images=bad_images), source)


def shape_of(source: str) -> tuple[int, int, int] | None:
    """Return (classes, channels, side in pixels) of a set known by a word, without reading it; None for a folder."""
    known = {"digits": digit_set, "cifar10": cifar_set}.get(source.partition(":")[0])
    return (len(known.CLASSES), known.CHANNELS, known.SIZE) if known else None


def place_of(source: str) -> str:
    """`source` as it can be said in any folder: its path absolute, or "" where it is a word."""
    word, colon, rest = source.partition(":")
    if source in WORDS:
        return ""
    if word == "cifar10" and colon:
        return f"cifar10:{os.path.abspath(expanded(rest, 'cifar10:'))}"
    return os.path.abspath(expanded(source, "data: "))


def is_there(source: str) -> bool:
    """Whether something stands where `source` leads; of a word nobody knows before it is loaded."""
    try:
        return source in WORDS or Path(place_of(source).removeprefix("cifar10:")).exists()
    except (OSError, ValueError, UserError):
        return False


def to_score(source: str, classes: Sequence[str], size: int, *, bad_images: str = "error") -> Data | None:
    """The labelled images of a folder without a train split, to be scored by a network that tells `classes` apart.

    None where `source` is no such folder. Raises UserError as `folder.labelled`.
    """
    if source in WORDS or source.startswith("cifar10:"):
        return None
    _check_folder(source)
    try:
        if "train" in rooms_of(expanded(source, "data: ")):
            return None
    except OSError as error:
        raise UserError(f"data: {error.filename or source}: {error.strerror or error}") from None
    return _placed(labelled(source, size, classes, bad_images=bad_images), source)


def _placed(data: Data, source: str) -> Data:
    return dataclasses.replace(data, place=place_of(source))


def _cifar10_path(download: bool) -> str | Path:
    if path := os.environ.get("RESLAB_CIFAR10"):
        return path
    if not download:
        raise UserError("cifar10: give its place as cifar10:PATH or in RESLAB_CIFAR10, or allow --download")
    if (folder := cache()) is None:
        raise UserError("--download: there is no home folder to keep CIFAR-10 in; set XDG_CACHE_HOME to a folder")
    return fetch_cifar10(folder)


def _own_size(data: Data, size: int | None, val_share: float | None) -> Data:
    if size not in (None, data.size):
        raise UserError(f"size: {data.name} images are {data.size}x{data.size}; {size} is possible only with folders")
    if val_share is not None:
        raise UserError(f"--val-share: only folders are cut by a share, not {data.name}; --set holdout=N holds N out")
    return data


def _check_folder(source: str) -> None:
    """Raise UserError unless `source` is a folder, telling a misspelt word from a path that leads nowhere."""
    path = expanded(source, "data: ")
    try:
        if path.is_dir():
            return
    except OSError as error:
        raise UserError(f"data: {source[:80]}: {error.strerror}") from None
    if path.exists():
        raise UserError(f"data: {source} is a file, not a folder; for CIFAR-10 archives write cifar10:{source}")
    if os.sep in source or source.startswith((".", "~")):
        raise UserError(f"data: no such folder: {source}")
    hint = suggest(source.lower().partition(":")[0], WORDS)
    raise UserError(f"data: {source!r} is neither a known word nor a folder{hint or '; known: ' + GRAMMAR}")
