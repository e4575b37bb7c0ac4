"""Private folders and files: no other user can change them, so reslab may load what it has stored there.

Trusted are the effective user and root. A folder is private if it and every folder and link on the way to it belong to
one of them and no other user may write there. A parent folder with the sticky bit, such as /tmp, is the one exception:
others may add names to it, but not replace those of this user. Access control lists are not read. Systems without POSIX
owners (Windows) give each user a folder of their own, so there every folder counts as private.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reslab.errors import RunError
from reslab.store.files import replacing

OTHERS = stat.S_IWGRP | stat.S_IWOTH
HAS_OWNERS = os.name == "posix"
MOST_LINKS = 40  # on the way to one folder, the limit of Linux
CHECKSUM = 4  # bytes of the CRC-32 before the content of a kept file
STANDARD_PLACES = ("/tmp", "/var/tmp")


@dataclass(frozen=True)
class Distrust:
    """The reason a folder is not used: `problem` ("/x is writable by others") and `remedy` ("chmod go-w /x")."""

    problem: str
    remedy: str


def distrust(
    folder: Path | None, *, create: bool = False, sticky: bool = False, variable: str = "XDG_CACHE_HOME"
) -> Distrust | None:
    """Return the reason the absolute `folder` is not private to this user, or None if it is.

    folder    None if the user has no home folder
    create    create missing folders with mode 0700, but only inside private ones
    sticky    accept a folder like /tmp, in which a private folder can be created safely
    variable  environment variable that the remedy suggests if the folder's mode cannot be changed
    """
    another = f"set {variable} to a folder of your own"
    if folder is None:
        return Distrust("there is no home folder", another)
    try:
        if not HAS_OWNERS:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            return None
        path, status = folder.anchor, os.lstat(folder.anchor)
        for path, status in _way(folder, create):
            if problem := _problem(path, status, True, another):
                return problem
        return _problem(path, status, sticky, another)
    except OSError as error:
        shown = _shown(os.fsdecode(error.filename or folder))
        return Distrust(f"{shown} cannot be {'made' if create else 'read'} ({error.strerror})", another)


def is_trusted(file: Path) -> bool:
    """Return whether `file` is a regular file (no link) in a private folder that only trusted users can write."""
    try:
        status = os.lstat(file)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and (not HAS_OWNERS or (_is_own(status) and not status.st_mode & OTHERS))
        and distrust(file.parent) is None
    )


@contextmanager
def replacing_privately(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` at the end, as `replacing` does, with mode 0600 under any umask.

    The mode is set when the file is created: another user who opens it before a later chmod could go on writing.
    """
    with replacing(path) as aside:
        aside.unlink(missing_ok=True)  # from a killed process with the same number
        with open(aside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file


def read_kept(file: Path | None) -> bytes | None:
    """Return what `write_kept` wrote; None if it is absent or damaged, or may have been written by another user."""
    if file is None or not is_trusted(file):
        return None
    try:
        content = memoryview(file.read_bytes())
    except OSError:
        return None
    checksum, kept = content[:CHECKSUM], content[CHECKSUM:]
    return bytes(kept) if checksum == zlib.crc32(kept).to_bytes(CHECKSUM, "little") else None


def write_kept(file: Path | None, content: bytes) -> bool:
    """Write a file of the user's cache with a checksum; return False if it cannot be written or is not private."""
    if file is None or distrust(file.parent, create=True):
        return False
    try:
        with replacing_privately(file) as out:
            out.write(zlib.crc32(content).to_bytes(CHECKSUM, "little") + content)
    except OSError:
        return False
    return True


@contextmanager
def temporary_folder(spare: Path | None = None) -> Iterator[Path]:
    """Yield a new private folder in the first safe one of $TMPDIR, /tmp, /var/tmp and `spare`; removed at the end.

    Raises RunError if none is safe.
    """
    problems = []
    for place in [*_temporary_places(), *([spare] if spare else [])]:
        if problem := distrust(place, sticky=True):
            problems.append(problem.problem)
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix="reslab-", dir=place))
            break
        except OSError as error:
            problems.append(f"{_shown(str(place))} cannot be written ({error.strerror})")
    else:
        raise RunError(f"no folder is safe to compile in ({', '.join(problems)}); set TMPDIR to a folder of your own")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_places() -> list[Path]:
    if not HAS_OWNERS:
        return [Path(tempfile.gettempdir())]
    places = (os.environ.get("TMPDIR", ""), *STANDARD_PLACES)
    return list(dict.fromkeys(Path(place) for place in places if os.path.isabs(place)))


def _way(folder: Path, create: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path, lstat) of each folder and link that the system passes on its way to `folder`, which comes last.

    The next folder is created or entered only when the caller, having checked the last one, asks for more.
    """
    current, names, links = folder.anchor, [*reversed(folder.parts[1:])], 0
    yield current, os.lstat(current)
    while names:
        name = names.pop()
        path = os.path.dirname(current) if name == ".." else os.path.join(current, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            if not create:
                raise
            with suppress(FileExistsError):  # created by another process meanwhile: checked like any other
                os.mkdir(path, 0o700)
            status = os.lstat(path)
        yield path, status
        if not stat.S_ISLNK(status.st_mode):
            current = path
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(path)
        names += [part for part in reversed(target.split(os.sep)) if part not in ("", os.curdir)]
        if os.path.isabs(target):
            current = folder.anchor
        yield current, os.lstat(current)


def _problem(path: str, status: os.stat_result, sticky: bool, another: str) -> Distrust | None:
    """Return the reason other users can change what this folder or link leads to, or None."""
    shown = _shown(path)
    if not _is_own(status):
        return Distrust(f"{shown} belongs to another user", another)
    if stat.S_ISLNK(status.st_mode):  # the mode of a link has no meaning
        return None
    if not stat.S_ISDIR(status.st_mode):
        return Distrust(f"{shown} is not a folder", another)
    if not status.st_mode & OTHERS or (sticky and status.st_mode & stat.S_ISVTX):
        return None
    whose = "others" if status.st_mode & stat.S_IWOTH else "its group"
    may_change = os.geteuid() in (0, status.st_uid)
    return Distrust(f"{shown} is writable by {whose}", f"chmod go-w {shlex.quote(shown)}" if may_change else another)


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _shown(path: str) -> str:
    """Return `path` in one line; a name may contain line ends and escape sequences."""
    return path if path.isprintable() else repr(path)
