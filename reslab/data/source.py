"""`DataSource`: which data a text such as that of `--data`, or images given in Python, refer to. Reads no data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

from reslab.data.known import KNOWN, KnownSet, pattern
from reslab.errors import UserError
from reslab.store.files import expanded

if TYPE_CHECKING:
    from reslab.data.splits import Data

GIVEN = "<given in Python>"  # stands for the text of such data; on Windows no folder can have this name
GIVEN_NAME = "given"


class Items(Protocol):
    """A map-style dataset of torch, without its import."""

    def __getitem__(self, index: Any, /) -> Any: ...


PARQUET = "parquet"  # the word before the path of parquet files


@dataclass(frozen=True, eq=False)
class Given:
    """Images given in Python, not yet read. Only equal to itself, because comparing arrays would read them."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class DataSource:
    """A reference to data. `source_of` creates it; only there the text is parsed.

    text   as the user wrote it; recorded as a run's `source`
    word   of a known set, or "parquet"; "" for others
    path   after the colon, or of the folder or list; None if there is none
    given  the images, if they were given in Python
    """

    text: str
    word: str = ""
    path: str | None = None
    given: Given | None = None

    @property
    def kind(self) -> str:
        """Return "set", "folder" (also for lists and parquet files) or "given", as in `Data.kind`."""
        return "given" if self.given else "set" if self.word in KNOWN else "folder"

    @property
    def known_set(self) -> KnownSet | None:
        return KNOWN.get(self.word)

    @property
    def name(self) -> str:
        """Return the name before the data are read: the word of a set, the text of a folder or list."""
        return GIVEN_NAME if self.given else self.word or self.text

    @property
    def lead(self) -> str:
        """Return the text before its path in messages."""
        return f"{self.word}:" if self.word else "data: "

    @property
    def absolute(self) -> str | None:
        """Return the absolute path, or None if there is none. Raises UserError for an unknown user."""
        return None if self.path is None else os.path.abspath(expanded(self.path, self.lead))

    @property
    def place(self) -> str:
        """Return the text with an absolute path, which is valid in any working folder; "" without a path."""
        path = self.absolute
        return "" if path is None else f"{self.word}:{path}" if self.word else path

    def shape(self) -> tuple[int, int, int] | None:
        """Return (classes, channels, side in pixels) of a known set without reading it; None for other data."""
        if self.known_set is None:
            return None
        file = self.known_set.opened()
        return len(file.CLASSES), file.CHANNELS, file.SIZE

    def is_there(self) -> bool:
        """Return whether its path exists; True without a path, since that is unknown before loading."""
        try:
            return (path := self.absolute) is None or Path(path).exists()
        except (OSError, ValueError, UserError):
            return False

    def is_same_place(self, other: DataSource) -> bool:
        """Return whether both refer to the same set or folder, with links followed."""
        if (self.kind, self.word) != (other.kind, other.word) or self.given is not other.given:
            return False
        try:
            path, other_path = self.absolute, other.absolute
        except UserError:
            return False
        if path is None or other_path is None:
            return path == other_path
        return path == other_path or os.path.realpath(path) == os.path.realpath(other_path)


# A pair (images, labels), a mapping of splits, a map-style dataset and `Data` are images given in Python.
DataLike: TypeAlias = Union[str, os.PathLike[str], DataSource, Sequence[Any], Mapping[str, Any], Items, "Data"]


def source_of(data: DataLike) -> DataSource:
    """Return the source of `data`: a text as after --data, the path of a folder, or images given in Python."""
    if isinstance(data, DataSource):
        return data
    if isinstance(data, os.PathLike):
        text = os.fspath(data)
        return DataSource(os.path.join(os.curdir, text) if source_of(text).word else text, path=text)
    if not isinstance(data, str):
        return DataSource(GIVEN, given=Given(data))
    word, colon, path = data.partition(":")
    known_set = KNOWN.get(word)
    if colon and word == PARQUET:
        return DataSource(data, word, path)
    if known_set is not None and (not colon or known_set.takes_path):
        return DataSource(data, word, path if colon else None)
    return DataSource(data, path=data)


def recorded_kind(data: Mapping[str, Any]) -> str:
    """Return the kind of the data in a run's record; older records lack it, so it follows from their source."""
    return str(data["kind"]) if "kind" in data else source_of(str(data.get("source"))).kind


def example(name: str) -> str:
    """Return an example of --data for data with the recorded `name`; PATH stands for the unrecorded path."""
    return pattern(name) if name in KNOWN else f"PATH/{name}"
