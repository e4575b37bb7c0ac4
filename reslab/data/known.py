"""The data sets known by a word: a line each, and a file of `data/sets` that reads it. Imports no file of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    from reslab.data.splits import Data

DEFAULT_RECIPE = "paper-cifar"  # of all data that name no recipe of their own


class SetFile(Protocol):
    """What a file of `data/sets` has if a word leads to it.

    CHANNELS, SIZE   of the images; their side in pixels
    read             gives the data; `path` is None if the set lies in no file of the user's
    download         of a set with `downloads` alone: fetches it into a folder, and returns what `read` then takes
    """

    CLASSES: tuple[str, ...]
    CHANNELS: int
    SIZE: int

    def read(self, path: str | Path | None, splits: Sequence[str]) -> Data: ...

    def download(self, folder: Path, /) -> Path: ...


@dataclass(frozen=True)
class KnownSet:
    """What differs between the sets known by a word.

    title        as its publisher writes it
    file         of `data/sets`, a `SetFile`
    recipe       that it is trained with if none is named
    takes_path   WORD:PATH says where it lies, else the variable RESLAB_WORD does
    downloads    --download may fetch it
    """

    title: str
    file: str
    recipe: str = DEFAULT_RECIPE
    takes_path: bool = False
    downloads: bool = False

    def opened(self) -> SetFile:
        """Return the set's file, imported on first use: it imports numpy."""
        return cast(SetFile, import_module(f"reslab.data.sets.{self.file}"))


KNOWN = {
    "digits": KnownSet("digits", "digits", recipe="digits"),
    "cifar10": KnownSet("CIFAR-10", "cifar", takes_path=True, downloads=True),
}


def pattern(word: str) -> str:
    """Return how the set `word` is written after --data: with PATH if it takes one."""
    return f"{word}:PATH" if KNOWN[word].takes_path else word


def grammar() -> str:
    """Return all that may follow --data, in one line."""
    forms = [
        form
        for word, known in KNOWN.items()
        for form in (pattern(word), *([f"{word} (with --download)"] if known.downloads else []))
    ]
    return f"{', '.join(forms)}, or a folder with train/CLASS and val/CLASS"


def downloadable() -> str:
    """Return "the word …" or "the words … and …": the sets that --download may fetch."""
    words = [word for word, known in KNOWN.items() if known.downloads]
    return f"the word{'s' if len(words) > 1 else ''} {' and '.join(words)}"
