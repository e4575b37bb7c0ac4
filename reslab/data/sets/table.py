"""Read the table of a list of files: a header with the columns path, label and perhaps split, and a row a file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reslab.errors import UserError, suggest

SUFFIXES = (".csv", ".tsv")
SPLITS = ("train", "val", "test")
_PATH, _LABEL, _SPLIT = ("path", "file", "filename", "image"), ("label", "class"), ("split",)
_DELIMITERS = ",\t;"
_HEADER = "path,label or path,label,split"


@dataclass(frozen=True)
class Row:
    """A row: `path` relative to the folder of the table, `split` "" if the table has no such column."""

    line: int
    path: str
    label: str
    split: str


def is_table(path: Path) -> bool:
    """Return whether the file is a list by its suffix."""
    return path.suffix.lower() in SUFFIXES


def rows_of(file: Path, notes: list[str]) -> list[Row]:
    """Return the rows of the table, and note the columns that are not read.

    Values are separated by commas, tabs or semicolons, as in the header; spaces around them are removed. Empty lines
    are left out. Raises UserError with the line for anything that is not as expected, OSError if it cannot be read.
    """
    text = _text(file)
    if not text.strip():
        raise UserError(f"{file}: it is empty; begin it with the header {_HEADER}")
    delimiter, columns = _header(file, text, notes)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    root, rows, width = file.parent, list[Row](), 0
    real = os.path.realpath(root)
    try:
        line = 1
        for values in table:
            start, line = line, table.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if not width:
                width = len(values)
                continue
            at = f"{file}: line {start}"
            if len(values) != width:
                raise UserError(
                    f"{at} has {_count(len(values))}, the header {width}; quote values that hold {delimiter!r}"
                )
            row = [values[column].strip() if column >= 0 else "" for column in columns]
            rows.append(_row(at, start, row, columns[2] >= 0, root, real))
    except csv.Error as error:
        raise UserError(f"{file}: line {table.line_num}: {error}") from None
    if not rows:
        raise UserError(f"{file}: there is a header, but no row below it")
    return rows


def refuse_two_labels(file: Path, rows: Sequence[Row]) -> None:
    """Raise UserError if a path stands with two labels."""
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if other.label != row.label:
            raise UserError(
                f"{file}: line {row.line}: {row.path} has the label {row.label!r}, but {other.label!r} in line "
                f"{other.line}; remove one"
            )


def _text(file: Path) -> str:
    content = file.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{file}: its encoding is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}: line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from None
    if "\0" in text:
        raise UserError(f"{file}: line {text[: text.index(chr(0))].count(chr(10)) + 1} has a zero byte; it is no text")
    return text


def _header(file: Path, text: str, notes: list[str]) -> tuple[str, tuple[int, int, int]]:
    """Return the delimiter, and the numbers of the columns path, label and split (-1: none)."""
    first = next(line for line in text.splitlines() if line.strip())
    headers = {d: [name.strip().lower() for name in next(csv.reader([first], delimiter=d))] for d in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda d: len({*_PATH, *_LABEL, *_SPLIT} & {*headers[d]}))
    names = headers[delimiter]
    path, label, split = (_column(names, choices) for choices in (_PATH, _LABEL, _SPLIT))
    if path < 0 and label < 0:
        raise UserError(
            f"{file}: its first line is no header ({first.strip()[:60]!r}); begin it with the line {_HEADER}"
        )
    for column, choices in ((path, _PATH), (label, _LABEL)):
        if column < 0:
            raise UserError(
                f"{file}: no column {' or '.join(map(repr, choices))} (there are: {', '.join(names)}); its header is "
                f"{_HEADER}"
            )
    for column in (path, label, split):
        if column >= 0 and names.count(names[column]) > 1:
            raise UserError(f"{file}: two columns are called {names[column]!r}; rename one")
    others = [repr(name) for number, name in enumerate(names) if number not in (path, label, split)]
    if others:
        notes.append(f"columns of {file.name} that are not read: {', '.join(others)}")
    return delimiter, (path, label, split)


def _column(names: Sequence[str], choices: Sequence[str]) -> int:
    return next((names.index(choice) for choice in choices if choice in names), -1)


def _row(at: str, line: int, values: Sequence[str], has_split: bool, root: Path, real: str) -> Row:
    path, label, split = values
    for word, value in (("path", path), ("label", label), *([("split", split)] if has_split else [])):
        if not value:
            raise UserError(f"{at}: the {word} is missing")
        if not value.isprintable():
            raise UserError(f"{at}: the {word} has characters that cannot be printed ({value!r})")
    if has_split and split not in SPLITS:
        raise UserError(f"{at}: split {split!r} is unknown; write train, val or test{suggest(split, SPLITS)}")
    return Row(line, _relative(at, path, root, real), label, split)


def _relative(at: str, path: str, root: Path, real: str) -> str:
    """Return the path relative to the folder of the table, without "." and double separators."""
    native = path.replace("/", os.sep)
    if os.path.isabs(native):
        start = os.path.join(os.path.abspath(root), "")
        try:  # ".." of a linked folder is the parent of the folder that the link leads to
            native = native[len(start) :] if native.startswith(start) else os.path.relpath(native, real)
        except ValueError:  # another drive of Windows
            raise UserError(f"{at}: {path} is on another drive than the list; write a relative path") from None
    return os.sep.join(part for part in native.split(os.sep) if part not in ("", "."))


def _count(n: int) -> str:
    return f"{n} value" if n == 1 else f"{n} values"
