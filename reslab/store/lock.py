"""A lock for the only writer of a folder. It ends with its process, so a killed run leaves no lock behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reslab.errors import UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder` for writing. Raises UserError with the owner's process and host if it is locked already."""
    owner = folder / ".owner"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            user = owner.read_text(encoding="utf-8").strip()
        except OSError:  # the owner has just ended, or has not written its name yet
            user = ""
        user = user or "another process"
        raise UserError(f"{folder}: in use by {user}; wait for it, or give another --out") from None
    try:
        with suppress(OSError):  # a full disk: the lock works without the name, and the run reports the disk itself
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
