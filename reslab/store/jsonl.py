"""JSONL with checks: one JSON object a line, appended with one write; an incomplete last line does not count.

Every line ends with the key "check": its number in the file and a hash of number and content. The hash reveals a
changed line; the number reveals a line that is missing in the middle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.store.files import replacing

try:
    import fcntl
except ImportError:  # Windows: the run's lock allows only one writer
    fcntl = None  # type: ignore[assignment]

CHECK = "check"
LONGEST = 64 << 20  # bytes of a line; a probe of 1,202 layers takes a hundredth of it
_END = re.compile(rb', "check": "(\d{1,12}):([0-9a-f]{16})"\}$')
_END_SIZE = 64  # bytes; the end of a line is shorter


@dataclass(frozen=True)
class Lines:
    """The lines of a file.

    records  the undamaged lines, without their checks
    checks   number of the line → hash
    damaged  number of lines that are no JSON objects or whose check fails; an incomplete last line does not count
    missing  number of lines that are gone, by the numbers of later ones
    """

    records: tuple[dict[str, Any], ...] = ()
    checks: dict[int, str] | None = None
    damaged: int = 0
    missing: int = 0

    def lost_since(self, end: Tail) -> int:
        """Return how many of the lines up to `end` are missing here; 1 if only its last line differs."""
        checks = self.checks or {}
        lost = end.lines - sum(number <= end.lines for number in checks)
        return lost or int(end.lines > 0 and checks[end.lines] != end.check)


@dataclass(frozen=True)
class Tail:
    """The end of a file at some time: how many lines it had, and the hash of the last one."""

    lines: int = 0
    check: str = ""

    @staticmethod
    def from_dict(value: Any) -> Tail | None:
        """Return the tail that `dataclasses.asdict` wrote, or None if `value` is something else."""
        if not isinstance(value, dict) or type(value.get("lines")) is not int or not isinstance(value.get(CHECK), str):
            return None
        return Tail(value["lines"], value[CHECK]) if value["lines"] >= 0 else None


def _hash(number: int, content: bytes) -> str:
    return hashlib.sha256(b"%d:%s" % (number, content)).hexdigest()[:16]


def _line(number: int, content: bytes) -> bytes:
    """Return `content` (a JSON object without its last brace) as line `number`, with its check."""
    return content + b', "check": "%d:%s"}\n' % (number, _hash(number, content).encode())


def append(path: Path, record: dict[str, Any]) -> None:
    """Append a record, which must not be empty, as one line with one write.

    Raises OSError naming `path` if the disk is full; a partly written line is removed.
    """
    content = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")[:-1]
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        size, number, _ = _tail(handle)
        os.ftruncate(handle, size)  # remove an incomplete last line, which this one would be appended to
        line = _line(number + 1, content)
        try:
            if os.write(handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(handle, size)
            error.filename = str(path)
            raise
    finally:
        os.close(handle)


def tail(path: Path) -> Tail:
    """Return the tail of the file as it is now; an empty one if the file does not exist."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return Tail()
    try:
        _, number, check = _tail(handle)
    finally:
        os.close(handle)
    return Tail(number, check)


def _tail(handle: int) -> tuple[int, int, str]:
    """Return (bytes up to the end of the last complete line, its number, its hash)."""
    size = os.lseek(handle, 0, os.SEEK_END)
    block = _read_at(handle, max(0, size - _END_SIZE), size)
    if not block.endswith(b"\n"):
        content = _read_at(handle, 0, size)
        size = content.rfind(b"\n") + 1
        block = content[max(0, size - _END_SIZE) : size]
    end = _END.search(block[:-1])
    if end:
        return size, int(end[1]), end[2].decode()
    return size, _read_at(handle, 0, size).count(b"\n"), ""  # a file of the first format, or a damaged line


def _read_at(handle: int, start: int, end: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    parts = []
    while start < end and (part := os.read(handle, end - start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


def read(path: Path, *, checked: bool = False) -> Lines:
    """Return the lines of `path`; none if the file does not exist.

    checked  every line must have a check, as in format 2; a line without one counts as damaged
    """
    records, checks, damaged = [], dict[int, str](), 0
    for line in _verified(path, checked):
        if line is None:
            damaged += 1
            continue
        _, record, number, check = line
        records.append(record)
        if number is not None:
            checks[number] = check
    missing = max(0, max(checks) - len(checks) - damaged) if checks else 0
    return Lines(tuple(records), checks, damaged, missing)


def _verified(path: Path, checked: bool) -> Iterator[tuple[bytes, dict[str, Any], int | None, str] | None]:
    """Yield (content, record, number, hash) of each line, or None for a damaged one; the numbers increase."""
    highest = 0
    for content, number, check in _contents(path):
        record = None
        if number is None:
            record = None if checked else _object(content)
        elif check == _hash(number, content) and number > highest:
            record = _object(content)
        if record is None:
            yield None
            continue
        highest = number or highest
        yield content, record, number, check


def _contents(path: Path) -> Iterator[tuple[bytes, int | None, str]]:
    """Yield (content, number, hash) of each complete line: without check and last brace; number None: no check."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(LONGEST):
            if not line.endswith(b"\n"):
                if len(line) < LONGEST:  # an incomplete line at the end of the file
                    return
                while line and not line.endswith(b"\n"):  # too long to be a line of reslab: skip it
                    line = file.readline(LONGEST)
                yield b"", None, ""
                continue
            yield _parts(line[:-1])


def _parts(line: bytes) -> tuple[bytes, int | None, str]:
    """Return (content, number, hash) of a line, as `_contents` yields them."""
    if end := _END.search(line[-_END_SIZE:]):
        return line[: len(line) - len(end[0])], int(end[1]), end[2].decode()
    return line.removesuffix(b"}"), None, ""


def since(path: Path, start: int) -> tuple[list[dict[str, Any]], int]:
    """Return the undamaged lines from byte `start` on, and the byte at which the next line begins.

    `start` must be the beginning of a line. A file that does not exist has no lines.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return [], start
    try:
        content = _read_at(handle, start, os.lseek(handle, 0, os.SEEK_END))
    finally:
        os.close(handle)
    content = content[: content.rfind(b"\n") + 1]
    records = []
    for line in content.split(b"\n")[:-1]:
        body, number, check = _parts(line)
        if number is None or check == _hash(number, body):
            record = _object(body)
            records += [record] if record is not None else []
    return records, start + len(content)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content + b"}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def keep(path: Path, condition: Callable[[dict[str, Any]], bool], *, checked: bool = False) -> None:
    """Rewrite the file in one step with only the records that meet `condition`, numbered again; damaged lines go."""
    if not path.exists():
        return
    with replacing(path) as aside, aside.open("wb") as file:
        number = 0
        for line in _verified(path, checked):
            if line is not None and condition(line[1]):
                number += 1
                file.write(_line(number, line[0]))
