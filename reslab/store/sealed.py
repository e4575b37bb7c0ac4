"""Sealed records: JSON objects with the SHA-256 of their own content, which reveals damage.

Format 1 had no seal. In format 2 a missing seal is damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.store.files import read_json, write_json

UNSEALED, FORMAT = 1, 2
SEAL = "sha256"


def seal_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a record's content without its seal, independent of key order and spaces."""
    content = {key: value for key, value in record.items() if key != SEAL}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def write_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` to `path` in one step, with the number of this format and the seal."""
    # Converted through JSON once, so that the hash is of what a reader gets: lists for tuples, text for keys.
    content = json.loads(json.dumps({**record, "format": FORMAT}))
    write_json(path, {**content, SEAL: seal_of(content)})


def read_sealed(path: Path, *, unmarked: bool = False) -> dict[str, Any]:
    """Return the record in `path` without its seal; `is_sealed` reads from its "format" whether it had one.

    unmarked  accept a record without a format's number as format 1
    Raises UserError if the file is missing, damaged or of another version.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise UserError(f"{path}: damaged (it holds no table); put a whole copy back")
    seal = record.get(SEAL)
    if seal is not None and seal != seal_of(record):
        raise UserError(f"{path}: damaged (its SHA-256 is not the one it states); put a whole copy back")
    form = record.get("format", UNSEALED if unmarked else None)
    if form not in (UNSEALED, FORMAT) or isinstance(form, bool):
        raise UserError(
            f"{path}: format {form!r} is not {UNSEALED} or {FORMAT}; it was written by another version of reslab"
        )
    if seal is None and form == FORMAT:
        raise UserError(f"{path}: damaged (its SHA-256 is missing); put a whole copy back")
    return {**{key: value for key, value in record.items() if key != SEAL}, "format": form}


def is_sealed(record: Mapping[str, Any]) -> bool:
    """Return whether a record from `read_sealed` had a seal."""
    return bool(record["format"] != UNSEALED)
