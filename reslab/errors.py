"""Errors of one line: subject, problem, remedy. Every room may raise them; the command line prints them."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).parent
LONGEST = 1_000  # characters of a message: enough for several paths of usual length
LONGEST_TEXT = 200  # characters of another library's text within a message
LONGEST_WORD = 240  # characters of a word, such as a path, beyond which it is always cut
SHORTEST_WORD = 40  # characters that a cut word keeps at least
_OUT_OF_MEMORY = re.compile(  # messages of torch, CUDA, cuDNN, cuBLAS and oneDNN
    r"out[ _]of[ _]memory|not enough memory|can.t allocate memory|cannot allocate memory|alloc[_ ]failed|"
    r"could not create a memory|bad_alloc",
    re.IGNORECASE,
)


class ReslabError(Exception):
    """Base of all errors with a one-line message. `exit_code` is the process's exit status."""

    exit_code = 1


class UserError(ReslabError):
    """A wrong name, key, value or path: known before the work starts (exit 2)."""

    exit_code = 2


class RunError(ReslabError):
    """Work that had started cannot go on: a damaged file, a loss that is not finite (exit 1)."""

    exit_code = 1


class Interrupted(ReslabError):
    """Stopped by a signal; the progress is saved, and the same command resumes (exit 75)."""

    exit_code = 75


def unexpected(error: BaseException) -> ReslabError:
    """Return the one-line error for an unexpected exception: its type, first line, place and remedy.

    The place is the innermost frame of reslab. An OSError is reported by its file and reason. Used by the command line
    and by the processes of a campaign.
    """
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # its __str__ fails too
        lines = []
    text = shortened(lines[0], LONGEST_TEXT) if lines else ""
    what = f"{kind}: {text}" if text else kind
    place = place_of(error)
    if is_out_of_memory(error):
        return RunError(
            f"not enough memory: {what}{place}; take a smaller batch (train: --set batch=…, predict: --batch), or "
            "train with --recompute on"
        )
    if isinstance(error, ImportError) and not (error.name or "").startswith(PACKAGE.name):
        return RunError(f"{what}: a package that reslab needs cannot be imported; `reslab doctor` says what to do")
    if isinstance(error, OSError):
        reason = error.strerror or text or kind
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):  # the user's path cannot be a file's
            return UserError(f"{error.filename}: {reason}; give another path")
        return RunError(f"{reason}{place}" if error.filename is None else f"{error.filename}: {reason}")
    return RunError(f"{what}{place}: this is a fault of reslab; run again with --debug and report it")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that the machine or an accelerator is out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def place_of(error: BaseException) -> str:
    """Return the innermost file and line of this package, such as " (in reslab/nets/plan.py:12)", or ""."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            place = f" (in {file.relative_to(PACKAGE.parent).as_posix()}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


def shortened(text: str, most: int = LONGEST) -> str:
    """Return `text` in at most `most` characters.

    The longest words are cut in the middle first, so that the rest stays readable; then the whole text is cut.
    """
    words = re.split(r"(\s+)", text)
    limit = min(LONGEST_WORD, max(map(len, words)))
    while limit > SHORTEST_WORD and sum(min(len(w), limit) for w in words) > most:
        limit -= 1 + limit // 64
    return _middle_cut("".join(_middle_cut(w, max(limit, SHORTEST_WORD)) for w in words), most)


def _middle_cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def suggest(wrong: str, names: Iterable[str], most: int = 3) -> str:
    """Return "; did you mean a, b?" with the names most similar to `wrong`, or ""."""
    similar = difflib.get_close_matches(wrong, list(names), n=most, cutoff=0.6)
    return f"; did you mean {', '.join(similar)}?" if similar else ""


def suggest_beside(missing: Path) -> str:
    """Return `suggest` for a missing path, among the names in its folder."""
    try:
        return suggest(missing.name, os.listdir(missing.parent))
    except (OSError, ValueError):  # no such folder, or not a valid path
        return ""
