"""What goes wrong, in one line: what, where, what to do. Every room may raise these; the command line prints them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path


class ReslabError(Exception):
    """Base of every error that is told in one line. `exit_code` is the process's exit status."""

    exit_code = 1


class UserError(ReslabError):
    """A wrong name, key, value or path: known before the work starts (exit 2)."""

    exit_code = 2


class RunError(ReslabError):
    """Work that had started cannot go on: a damaged file, a loss that is not finite (exit 1)."""

    exit_code = 1


class Interrupted(ReslabError):
    """Stopped by a signal after saving; the same command goes on from there (exit 75)."""

    exit_code = 75


def suggest(wrong: str, known: Iterable[str], most: int = 3) -> str:
    """`", did you mean a, b?"` for the names nearest to `wrong`, or an empty string."""
    near = difflib.get_close_matches(wrong, list(known), n=most, cutoff=0.6)
    return f"; did you mean {', '.join(near)}?" if near else ""


def suggest_beside(missing: Path) -> str:
    """`suggest`, among what lies where `missing` should."""
    try:
        return suggest(missing.name, os.listdir(missing.parent))
    except (OSError, ValueError):  # no such folder, or no path at all
        return ""
