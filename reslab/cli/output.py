"""Print to standard output and standard error: any character reaches any stream, and a message is one line."""

from __future__ import annotations

import base64
import codecs
import csv
import io
import json
import math
import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

from reslab.errors import shortened

# ASCII replacements of the characters that reslab prints, for streams that cannot encode them.
LOOKALIKES = {
    "–": "-", "—": "-", "…": "...", "×": "x", "·": "*", "±": "+-", "→": "->", "←": "<-", "‖": "||", "²": "^2", "≈": "~",
    "≤": "<=", "≥": ">=", "−": "-", "√": "sqrt", "γ": "gamma", "β": "beta", "’": "'", "“": '"', "”": '"', "⁹": "^9",
}  # fmt: skip
ERRORS = "reslab.lookalikes"


def _lookalike(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace one character that a stream cannot encode: by a byte of a file name, a lookalike, or its escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # the byte itself, so that a printed path leads to its file
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return LOOKALIKES.get(character) or character.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(ERRORS, _lookalike)


def prepare_streams() -> None:
    """Make standard output and standard error accept any character; reopen closed standard streams on /dev/null.

    Otherwise the next file that is opened would get the number of a closed stream, and its content the output.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed by the caller; `open` returns the lowest free number, which is this one
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def say(line: str) -> None:
    """Print one line on standard error; a closed or broken stream is ignored."""
    from reslab.show.format import clean

    if sys.stderr is None:
        return
    try:
        print(shortened(clean(line)), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        drop(sys.stderr)


def say_traceback() -> None:
    """Print the traceback of the current exception on standard error."""
    import traceback

    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            traceback.print_exc()


class Unwritable(OSError):
    """Standard output cannot be written: the disk is full, or the reader closed the pipe (`errno` EPIPE)."""


def show(text: object, end: str = "\n") -> None:
    """Print a result on standard output. Raises Unwritable if it cannot be written."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        raise Unwritable(*error.args) from None


def drop(stream: TextIO | None) -> None:
    """Discard what `stream` could not write; otherwise the interpreter reports an error at exit."""
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print `value` as JSON; `indent` None prints one line."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    show(json_text(value, indent, codecs.lookup(encoding).name != "utf-8"))


def print_csv(cells: list[Any]) -> None:
    """Print a line of CSV (RFC 4180) in UTF-8, whatever the locale is."""
    if codecs.lookup(getattr(sys.stdout, "encoding", None) or "ascii").name != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8", errors=ERRORS)  # type: ignore[union-attr]  # a text stream
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    show(line.getvalue(), end="")


def json_text(value: Any, indent: int | None = 2, ascii_only: bool = False) -> str:
    """Return `value` as standard JSON in valid UTF-8.

    In a file name that is not UTF-8, U+FFFD replaces the invalid bytes, and an extra key holds the exact bytes in
    base64: `file_bytes` for `file`, a list for a list of names. A number that is not finite becomes null. Control
    characters are escaped.
    """
    text = json.dumps(valid(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return re.sub(r"[^ -~\n]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")  # two code units beyond U+FFFF
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def valid(value: Any) -> Any:
    """Return plain types as `json_text` writes them: valid UTF-8, and the bytes of other names in extra keys."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value if _is_utf8(value) else _bytes_of(value).decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [valid(item) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        key = key if _is_utf8(key) else key.encode("utf-8", "backslashreplace").decode()
        result[key] = valid(item)
        names = item if isinstance(item, list | tuple) else [item]
        if any(isinstance(name, str) and not _is_utf8(name) for name in names):
            exact = [base64.b64encode(_bytes_of(n)).decode() if isinstance(n, str) else None for n in names]
            result[f"{key}_bytes"] = exact if isinstance(item, list | tuple) else exact[0]
    return result


def _is_utf8(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def _bytes_of(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # a surrogate that does not encode a byte of a file name
        return name.encode("utf-8", "surrogatepass")
