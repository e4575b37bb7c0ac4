"""Whole-line JSONL: one JSON object a line, appended with one write; a torn last line is no line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reslab.store.files import write_text


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one record as one line, in one write. Raises OSError where the disk took only a part."""
    line = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)


def read(path: Path) -> list[dict[str, Any]]:
    """Every whole line that is a JSON object; [] where the file does not exist."""
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n")[:-1]:  # what stands after the last newline was torn
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            records.append(value)
    return records


def keep(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Rewrite the file with the wanted records alone, in one step; torn lines go."""
    if path.exists():
        kept = [r for r in read(path) if wanted(r)]
        write_text(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))
