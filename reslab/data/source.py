"""`DataSource`: what data are meant, by a text such as that of `--data` or by images given in Python. Reads nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

from reslab.data.known import DEFAULT_RECIPE, KNOWN, KnownSet, pattern
from reslab.errors import UserError
from reslab.store.files import expanded

if TYPE_CHECKING:
    from reslab.data.splits import Data

GIVEN = "<given in Python>"  # the text of data that have none; no folder of Windows can be called so
GIVEN_NAME = "given"


class Items(Protocol):
    """A map-style dataset of torch, without its import."""

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Given:
    """Images given in Python, not looked at yet. Equal to itself alone: comparing arrays would read them."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class DataSource:
    """What data are meant. Made by `source_of`, the one place that reads such a text.

    text   as it was written; recorded as a run's `source`
    word   of a known set, "" for others
    path   after the colon, or of the folder; None if there is none
    given  the images themselves, if they were given in Python
    """

    text: str
    word: str = ""
    path: str | None = None
    given: Given | None = None

    @property
    def kind(self) -> str:
        """As in `Data.kind`: "set", "folder" or "given"."""
        return "given" if self.given else "set" if self.word else "folder"

    @property
    def known(self) -> KnownSet | None:
        return KNOWN.get(self.word)

    @property
    def name(self) -> str:
        """What it is called before it is read: the word of a set, the text of a folder."""
        return GIVEN_NAME if self.given else self.word or self.text

    @property
    def recipe(self) -> str:
        """The name of the recipe that it is trained with if none is named."""
        return self.known.recipe if self.known else DEFAULT_RECIPE

    @property
    def lead(self) -> str:
        """What stands before its path in messages."""
        return f"{self.word}:" if self.word else "data: "

    @property
    def absolute(self) -> str | None:
        """The path in full, if there is one. Raises UserError for an unknown user."""
        return None if self.path is None else os.path.abspath(expanded(self.path, self.lead))

    @property
    def place(self) -> str:
        """The text as it can be written in any folder: its path absolute, or "" if it has none."""
        path = self.absolute
        return "" if path is None else f"{self.word}:{path}" if self.word else path

    def shape(self) -> tuple[int, int, int] | None:
        """Return (classes, channels, side in pixels) of a known set, without reading it; None for others."""
        if self.known is None:
            return None
        file = self.known.opened()
        return len(file.CLASSES), file.CHANNELS, file.SIZE

    def is_there(self) -> bool:
        """Return whether its path exists; True if it has none, as this is not known before it is loaded."""
        try:
            return (path := self.absolute) is None or Path(path).exists()
        except (OSError, ValueError, UserError):
            return False

    def is_same_place(self, other: DataSource) -> bool:
        """Return whether both texts lead to the same set or folder, through links too."""
        if (self.kind, self.word) != (other.kind, other.word) or self.given is not other.given:
            return False
        try:
            here, there = self.absolute, other.absolute
        except UserError:
            return False
        if here is None or there is None:
            return here == there
        return here == there or os.path.realpath(here) == os.path.realpath(there)


# A pair (images, labels), a mapping of splits, a map-style dataset and `Data` are images given in Python.
DataLike: TypeAlias = Union[str, os.PathLike[str], DataSource, Sequence[Any], Mapping[str, Any], Items, "Data"]


def source_of(data: DataLike) -> DataSource:
    """Return what `data` mean: a text as after --data, a folder's path, or images given in Python. Reads nothing."""
    if isinstance(data, DataSource):
        return data
    if isinstance(data, os.PathLike):
        text = os.fspath(data)
        return DataSource(os.path.join(os.curdir, text) if source_of(text).word else text, path=text)
    if not isinstance(data, str):
        return DataSource(GIVEN, given=Given(data))
    word, colon, rest = data.partition(":")
    known = KNOWN.get(word)
    if known is not None and (not colon or known.takes_path):
        return DataSource(data, word, rest if colon else None)
    return DataSource(data, path=data)


def recorded_kind(data: Mapping[str, Any]) -> str:
    """Return the kind of the data that a run recorded; records of older versions do not say it."""
    return str(data["kind"]) if "kind" in data else source_of(str(data.get("source"))).kind


def example(name: str) -> str:
    """Return how data of the recorded `name` are written after --data, PATH in place of what no record says."""
    return pattern(name) if name in KNOWN else f"PATH/{name}"
