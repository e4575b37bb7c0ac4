"""Whole-line JSONL: one JSON object a line, appended with one write; a torn last line is no line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reslab.store.files import write_text


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one record as one line, in one write."""
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
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
