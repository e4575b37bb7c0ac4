"""The text behind `--data`: "digits", "cifar10:PATH", "cifar10", or a folder of class folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reslab.data.cifar import cifar10
from reslab.data.cifar import download as fetch_cifar10
from reslab.data.digits import digits
from reslab.data.folder import folder
from reslab.data.splits import SPLITS, Data
from reslab.errors import UserError, suggest
from reslab.store.files import cache

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
        return _own_size(cifar10(rest, wanted), size, val_share)
    if source == "cifar10":
        return _own_size(cifar10(_cifar10_path(download), wanted), size, val_share)
    _check_folder(source)
    return folder(source, size or FOLDER_SIZE, val_share, bad_images=bad_images)


def _cifar10_path(download: bool) -> str | Path:
    if path := os.environ.get("RESLAB_CIFAR10"):
        return path
    if not download:
        raise UserError("cifar10: give its place as cifar10:PATH or in RESLAB_CIFAR10, or allow --download")
    return fetch_cifar10(cache())


def _own_size(data: Data, size: int | None, val_share: float | None) -> Data:
    if size not in (None, data.size):
        raise UserError(f"size: {data.name} images are {data.size}x{data.size}; {size} is possible only with folders")
    if val_share is not None:
        raise UserError(f"val share: only folders are cut by a share, not {data.name}; hold a number of samples out")
    return data


def _check_folder(source: str) -> None:
    """Raise UserError unless `source` is a folder, telling a misspelt word from a path that leads nowhere."""
    path = Path(source).expanduser()
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
