"""The registry of data sets known by a word: a line each, and a file in `data/sets`, imported on first use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    from reslab.data.splits import Data


class SetFile(Protocol):
    """The interface of a file in `data/sets` for a known set.

    CHANNELS, SIZE   channels of the images; their side in pixels
    read             returns the data; `path` is None if the set needs no file of the user
    download         only if `KnownSet.downloads`: fetches the set into a folder and returns the path for `read`
    """

    CLASSES: tuple[str, ...]
    CHANNELS: int
    SIZE: int

    def read(self, path: str | Path | None, splits: Sequence[str]) -> Data: ...

    def download(self, folder: Path, /) -> Path: ...


@dataclass(frozen=True)
class KnownSet:
    """A data set known by a word.

    title        the publisher's spelling
    file         module in `data/sets`, a `SetFile`
    recipe       the default recipe for training on it
    takes_path   it is in a file: at PATH of WORD:PATH, or in the environment variable RESLAB_WORD
    downloads    --download may fetch it
    files_of     word of the set whose files, and whose environment variable, it shares; "" if they are its own
    """

    title: str
    file: str
    recipe: str = "paper-cifar"
    takes_path: bool = False
    downloads: bool = False
    files_of: str = ""

    def opened(self) -> SetFile:
        """Return the set's module; imported here, on first use, because it imports numpy."""
        return cast(SetFile, import_module(f"reslab.data.sets.{self.file}"))


KNOWN = {
    "digits": KnownSet("digits", "digits", recipe="digits"),
    "cifar10": KnownSet("CIFAR-10", "cifar", takes_path=True, downloads=True),
    "cifar100": KnownSet("CIFAR-100", "cifar100", takes_path=True, downloads=True),
    "cifar100-coarse": KnownSet(
        "CIFAR-100 with 20 coarse labels", "cifar100_coarse", takes_path=True, downloads=True, files_of="cifar100"
    ),
}


def pattern(word: str) -> str:
    """Return how the set `word` is written after --data: with :PATH if it takes one."""
    return f"{word}:PATH" if KNOWN[word].takes_path else word


def variable_of(word: str) -> str:
    """Return the environment variable that names the files of the set `word`."""
    return f"RESLAB_{(KNOWN[word].files_of or word).upper()}"


def grammar() -> str:
    """Return all forms of --data in one line."""
    return f"{', '.join(map(pattern, KNOWN))}, a folder, a .csv list, or parquet:PATH"


def downloadable() -> str:
    """Return "the word …" or "the words … and …": the sets that --download may fetch."""
    words = [word for word, known_set in KNOWN.items() if known_set.downloads]
    return f"the word {words[0]}" if len(words) == 1 else f"the words {', '.join(words[:-1])} and {words[-1]}"
