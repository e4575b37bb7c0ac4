"""Verify the checksums of a PNG: Pillow ignores those of the pixels, so a damaged file would give other pixels.

PNG is the only supported format with checksums. In JPEG, WebP, GIF, TIFF, BMP and PPM a changed byte may change pixels
without any way to notice it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_CHUNK = 64 << 20  # bytes of a chunk that is not of pixels; Pillow reads such a chunk at once
_PIXELS = (b"IDAT", b"fdAT")  # Pillow reads these chunks in blocks
_BLOCK = 1 << 18


def verify(file: IO[bytes]) -> None:
    """Raise EOFError if a chunk up to IEND is incomplete, and ValueError if a checksum is wrong.

    Reads in blocks of 256 KiB and restores the position in `file`. Data after IEND are not read.
    """
    position = file.tell()
    block = memoryview(bytearray(_BLOCK))
    try:
        for kind, length in _chunks(file):
            checksum, remaining = zlib.crc32(kind), length
            while remaining:
                count = file.readinto(block[: min(remaining, _BLOCK)])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError(f"the file is truncated in its {_name(kind)} chunk")
                checksum, remaining = zlib.crc32(block[:count], checksum), remaining - count
            if file.read(4) != checksum.to_bytes(4, "big"):
                raise ValueError(f"the checksum of a {_name(kind)} chunk is wrong, so the file is damaged")
    finally:
        file.seek(position)


def check_lengths(file: IO[bytes]) -> None:
    """Raise ValueError if `file` is a PNG with a chunk of more than `LARGEST_CHUNK` bytes that is not of pixels.

    The content of chunks is not read, and a truncated file passes.
    """
    if file.read(len(SIGNATURE)) == SIGNATURE:
        with suppress(EOFError):
            for _, length in _chunks(file):
                file.seek(length + 4, 1)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length (bytes) of each chunk up to IEND; the caller moves `file` to the end of the chunk."""
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        header = file.read(8)
        if len(header) < 8:
            raise EOFError("the file is truncated: it has no IEND chunk")
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if length > LARGEST_CHUNK and kind not in _PIXELS:
            raise ValueError(f"a {_name(kind)} chunk declares {length:,} bytes, more than {LARGEST_CHUNK:,}")
        yield kind, length


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
