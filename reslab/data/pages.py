"""The pages of a parquet file by their headers: what they declare, before any is read.

pyarrow allocates what a page header declares, and tells neither that size nor whether a page carries a checksum.
Source: the Parquet format's `PageHeader`, in Thrift's compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

DICTIONARY, DATA = (2,), (0, 3)  # kinds of pages
_HEADER = 1 << 20  # bytes that a header with its statistics may take
_DEPTH = 8  # of structs within structs; the format has 3


@dataclass(frozen=True)
class Page:
    """What a page header declares."""

    kind: int
    size: int
    """bytes once decompressed"""
    values: int
    encoding: int
    has_checksum: bool


def pages(file: IO[bytes], start: int, end: int) -> Iterator[Page]:
    """Yield the pages of the column that takes the bytes `start` to `end`. Raises ValueError if a header is damaged."""
    while start < end:
        fields, length = _header(file, start, end)
        body = fields.get({0: 5, 2: 7, 3: 8}.get(fields.get(1, -1), 0), {})
        size, stored = fields.get(2, -1), fields.get(3, -1)
        start += length + stored
        if size < 0 or stored < 0 or start > end:
            raise ValueError("a page declares more bytes than its column has")
        yield Page(fields.get(1, -1), size, body.get(1, 0), body.get(4 if fields[1] == 3 else 2, 0), 4 in fields)


def _header(file: IO[bytes], start: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of the header at `start` by number, and its length in bytes."""
    window = 1 << 12
    while True:
        file.seek(start)
        reader = _Compact(file.read(min(window, end - start)))
        try:
            return reader.struct(_DEPTH), reader.position
        except IndexError:
            if window >= min(_HEADER, end - start):
                raise ValueError("a page header is cut off or too long") from None
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
                raise ValueError("a number in a page header is too long")

    def struct(self, depth: int) -> dict[int, Any]:
        if not depth:
            raise ValueError("a page header is nested too deeply")
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
            return None
        if kind in (9, 10):
            head = self.byte()
            count = head >> 4 if head < 0xF0 else self.varint()
            for _ in range(count):
                self._value(head & 15, depth)
            return None
        if kind == 12:
            return self.struct(depth - 1)
        raise ValueError("a page header has a field of an unknown kind")
