"""Read the footer and the page headers of a parquet file, before pyarrow reads any page.

pyarrow allocates the size that a page header declares. It reports neither that size nor whether a page has a checksum,
and a damaged footer can crash the process when its columns are listed. Source: the Parquet format's `FileMetaData` and
`PageHeader`, in Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

DICTIONARY, DATA = (2,), (0, 3)  # kinds of pages
_HEADER = 1 << 20  # largest size of a header with its statistics, bytes
_DAMAGED = "its footer or a page header is damaged"
_DEPTH = 8  # largest nesting of structs; the format has 5


@dataclass(frozen=True)
class Column:
    """The part of a column in one row group, as declared in the footer."""

    values: int
    start: int
    """offset of its first page in the file, bytes"""
    end: int


@dataclass(frozen=True)
class Page:
    """A page, as declared in its header."""

    kind: int
    size: int
    """bytes after decompression"""
    values: int
    encoding: int
    has_checksum: bool


def row_groups(footer: bytes) -> list[tuple[int, dict[str, Column]]]:
    """Return the rows of each row group, and its columns by their dotted names. Raises ValueError for damage."""
    try:
        declared = _Compact(footer).struct(_DEPTH).get(4, [])
        return [(int(group[3]), dict(map(_column, group[1]))) for group in declared]
    except (IndexError, KeyError, TypeError, AttributeError):
        raise ValueError(_DAMAGED) from None


def _column(chunk: dict[int, Any]) -> tuple[str, Column]:
    declared = chunk[3]
    values, length, first, dictionary = (int(declared.get(number, 0)) for number in (5, 7, 9, 11))
    first = min(first, dictionary) if dictionary else first
    return b".".join(declared[3]).decode(), Column(values, first, first + length)


def pages(file: IO[bytes], start: int, end: int) -> Iterator[Page]:
    """Yield the pages of the column in the bytes `start` to `end`. Raises ValueError if a header is damaged."""
    while start < end:
        fields, length = _header(file, start, end)
        try:
            kind, size, stored = fields[1], fields[2], fields[3]
            body = fields[{0: 5, 2: 7, 3: 8}[kind]] if kind in DATA + DICTIONARY else {1: 0, 2: 0}
            numbers = kind, size, stored, body[1], body[4 if kind == 3 else 2]
        except (KeyError, TypeError):
            raise ValueError(_DAMAGED) from None
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(_DAMAGED)
        start += length + stored
        if start > end:
            raise ValueError("a page declares more bytes than its column has")
        yield Page(kind, size, *numbers[3:], 4 in fields)


def _header(file: IO[bytes], start: int, end: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the header at `start` by number, and its length in bytes."""
    window = 1 << 12
    while True:
        file.seek(start)
        reader = _Compact(file.read(min(window, end - start)))
        try:
            return reader.struct(_DEPTH), reader.position
        except IndexError:
            if window >= min(_HEADER, end - start):
                raise ValueError("a page header is truncated or too long") from None
            window *= 16


class _Compact:
    """A reader of Thrift's compact protocol. Raises IndexError at the end of its bytes, ValueError for damage."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError(_DAMAGED)

    def struct(self, depth: int) -> dict[int, Any]:
        if not depth:
            raise ValueError(_DAMAGED)
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._signed()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _signed(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self.byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind in (7, 8):
            length = 8 if kind == 7 else self.varint()
            self.position += length
            if self.position > len(self.content):
                raise IndexError
            return self.content[self.position - length : self.position]
        if kind in (9, 10):
            head = self.byte()
            count = head >> 4 if head < 0xF0 else self.varint()
            return [self._value(head & 15, depth) for _ in range(count)]
        if kind == 12:
            return self.struct(depth - 1)
        raise ValueError(_DAMAGED)
