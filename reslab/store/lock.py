"""One writer for a folder. The lock dies with its process, so a killed run leaves nothing to clear away."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reslab.errors import UserError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` for writing. Raises UserError with the holder's process and host where it is in use."""
    owner = folder / ".owner"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            who = owner.read_text(encoding="utf-8").strip()
        except OSError:  # its holder has just left, or has not said its name yet
            who = ""
        who = who or "another process"
        raise UserError(f"{folder}: in use by {who}; wait for it, or give another --out") from None
    try:
        with suppress(OSError):  # a full disk: the lock holds without it, and what is needed will name itself
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
