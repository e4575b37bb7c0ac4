"""The file that an export writes: refused before the work if it cannot be, whole or absent after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reslab.errors import UserError
from reslab.store.files import FULL, replacing


def check_out(out: Path, to: str, endings: Sequence[str]) -> None:
    """Raise UserError if `out` exists or has another ending than `endings`."""
    if out.suffix not in endings:
        raise UserError(f"--out {out}: --to {to} is written as {', '.join(endings)}")
    if out.exists():
        raise UserError(f"--out {out}: exists already; choose another name")


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which gets the name `out` at the end; if anything fails, it is removed.

    Raises UserError if it cannot be written.
    """
    try:
        with replacing(out) as aside:
            yield aside
    except (OSError, RuntimeError) as error:  # torch wraps the system's errors
        remedy = "make room" if getattr(error, "errno", None) in FULL else "choose another folder"
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"--out {out}: cannot be written ({reason}); {remedy}") from None
