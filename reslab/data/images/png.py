"""The checksums of PNG: Pillow passes over those of the pixels, so a damaged file would give other pixels.

PNG is the only format here with checksums in the file itself. In JPEG, WebP, GIF, TIFF, BMP and PPM a changed byte
may give other pixels that nothing can tell from the right ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_CHUNK = 64 << 20  # bytes of one chunk without pixels, which Pillow reads at once
_PIXELS = (b"IDAT", b"fdAT")  # read in blocks
_BLOCK = 1 << 18


def verify(file: IO[bytes]) -> None:
    """Raise EOFError unless every chunk up to IEND is whole, and ValueError unless each has its checksum.

    Reads in blocks of 256 KiB and leaves `file` at the position it had. What follows IEND is not read.
    """
    position = file.tell()
    block = memoryview(bytearray(_BLOCK))
    try:
        for kind, length in _chunks(file):
            checksum, rest = zlib.crc32(kind), length
            while rest:
                count = file.readinto(block[: min(rest, _BLOCK)])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError(f"the file is truncated in its {_name(kind)} chunk")
                checksum, rest = zlib.crc32(block[:count], checksum), rest - count
            if file.read(4) != checksum.to_bytes(4, "big"):
                raise ValueError(f"the checksum of a {_name(kind)} chunk is wrong, so the file is damaged")
    finally:
        file.seek(position)


def check_lengths(file: IO[bytes]) -> None:
    """Raise ValueError if `file` is a PNG with a chunk, other than pixels, of more than `LARGEST_CHUNK` bytes.

    The content of chunks is not read; a file that is cut off passes.
    """
    if file.read(len(SIGNATURE)) == SIGNATURE:
        with suppress(EOFError):
            for _, length in _chunks(file):
                file.seek(length + 4, 1)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length in bytes of each chunk, IEND last; the caller moves `file` behind the chunk."""
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise EOFError("the file is truncated: it has no IEND chunk")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if length > LARGEST_CHUNK and kind not in _PIXELS:
            raise ValueError(f"a {_name(kind)} chunk declares {length:,} bytes, more than {LARGEST_CHUNK:,}")
        yield kind, length


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
