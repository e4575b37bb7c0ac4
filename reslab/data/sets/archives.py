"""Read a tar archive, compressed or not, within limits: a small file may declare, or unpack to, terabytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from reslab.errors import UserError

_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_HEADER = 1 << 16  # bytes of an additional header, which tarfile reads at once
_MEMBERS = 200
_XZ_MEMORY = 256 << 20  # bytes; an .xz file declares the memory that its reader needs
_BLOCK = 1 << 16


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bounded:
    """A reader of at most `limit` bytes of `file`. Raises UserError if there are more."""

    def __init__(self, file: _Readable, limit: int, path: Path, title: str) -> None:
        self.file, self.limit, self.path, self.title, self.count = file, limit, path, title, 0

    def read(self, size: int) -> bytes:
        content = self.file.read(min(size, _BLOCK))
        self.count += len(content)
        if self.count > self.limit:
            raise UserError(f"{self.path}: it unpacks to more than {self.limit:,} bytes, so it is not {self.title}")
        return content


class _Xz:
    """A reader of an .xz or .lzma file with limited memory; `lzma.LZMAFile` has no limit."""

    def __init__(self, file: _Readable) -> None:
        self.file, self.pending = file, b""
        self.stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self.stream.eof:  # another stream may follow, after zeros
                pending = (self.stream.unused_data or self.file.read(_BLOCK)).lstrip(b"\0")
                if not pending:
                    return b""
                self.stream, self.pending = lzma.LZMADecompressor(memlimit=_XZ_MEMORY), pending
            content = b""
            if self.stream.needs_input:
                content, self.pending = self.pending or self.file.read(_BLOCK), b""
                if not content:
                    raise EOFError("it ends before its end marker")
            if unpacked := self.stream.decompress(content, size):
                return unpacked


class _Member(tarfile.TarInfo):
    """A member whose additional headers are checked against a limit before tarfile reads them."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError("it has a sparse member")
        if member.type in _HEADERS and member.size > _HEADER:
            raise ValueError(f"it declares a header of {member.size:,} bytes, more than {_HEADER:,}")
        return member


def members(path: Path, limit: int, title: str) -> Iterator[tuple[tarfile.TarInfo, _Readable | None]]:
    """Yield each member and its content (None if it has none); read the content before the next member.

    title   the set that it should be, for messages
    Reads to the end, where the checksum of the compression is. Raises UserError if the archive has, or unpacks to, more
    than `limit` bytes, or has more than 200 members. Raises ValueError, OSError, EOFError, tarfile.TarError,
    zlib.error, lzma.LZMAError or RecursionError if it is damaged.
    """
    with path.open("rb") as file:
        if (size := file.seek(0, 2)) > limit:
            raise UserError(f"{path}: {size:,} bytes, more than {limit:,}, so it is not {title}")
        file.seek(0)
        start = file.read(6)
        file.seek(0)
        content: _Readable = file
        if start.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=file)
        elif start.startswith(b"BZh"):
            content = bz2.BZ2File(file)
        elif start.startswith((b"\xfd7zXZ\0", b"]\0\0")):
            content = _Xz(file)
        bounded = _Bounded(content, limit, path, title)
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Member) as tar:  # type: ignore[call-overload]
            for count, member in enumerate(tar, 1):
                if count > _MEMBERS:
                    raise UserError(f"{path}: more than {_MEMBERS} members, so it is not {title}")
                yield member, tar.extractfile(member) if member.isfile() else None
        while bounded.read(_BLOCK):
            pass
