"""A list of paths that arrives through a pipe, such as the output of `find`: read as far as it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from reslab.errors import UserError

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_READ = 1 << 16  # bytes; what a pipe holds on Linux
_LONGEST = 1 << 20  # bytes without a separator that are no list of paths


class PathList:
    """Paths from a file descriptor, one a line, or each ended by a zero byte.

    null   each path ends with a zero byte; otherwise this is recognised by a zero byte in what is read first
    Names may have any encoding. Empty lines are left out, and so is the carriage return of a line if no file has it.
    """

    def __init__(self, descriptor: int = 0, *, null: bool = False) -> None:
        self.descriptor, self.null = descriptor, null

    def arrivals(self) -> Iterator[list[str]]:
        """Yield the paths that are there, whenever some are; this waits only if none is.

        Raises UserError if the input cannot be read or is no list of paths.
        """
        separator, rest = b"\0" if self.null else b"", b""
        while chunk := self._chunk():
            if not separator:
                if (rest + chunk).startswith(_PICTURES):
                    raise UserError("standard input: is an image, not a list of paths; give the image's path")
                separator = b"\0" if b"\0" in chunk else b"\n" if b"\n" in chunk else b""
            elif separator == b"\n" and b"\0" in chunk:
                raise UserError("standard input: has lines and a zero byte; give --null if zero bytes end the paths")
            rest += chunk
            if separator:
                *names, rest = rest.split(separator)
                if paths := self._paths(names, separator):
                    yield paths
            if len(rest) > _LONGEST:
                raise UserError(f"standard input: {len(rest):,} bytes without a line break are not a list of paths")
        if paths := self._paths([rest], separator):
            yield paths

    def _chunk(self) -> bytes:
        try:
            return os.read(self.descriptor, _READ)
        except OSError as error:
            raise UserError(f"standard input: cannot be read ({error.strerror or error})") from None

    def _paths(self, names: list[bytes], separator: bytes) -> list[str]:
        if separator != b"\0":
            names = [n[:-1] if n.endswith(b"\r") and not os.path.lexists(n) else n for n in names]
        return [os.fsdecode(name) for name in names if name]
