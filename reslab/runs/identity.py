"""What decides a run's numbers, and whether two runs agree in it. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe

# What decides a run's numbers: a folder is resumed only by a run that agrees in all of these.
IDENTITY = ("spec", "recipe", "seed")


def difference(mine: dict[str, Any], run: dict[str, Any], file: Path) -> str | None:
    """Return the first thing in which two runs differ and that decides their numbers, in words; None if they agree.

    run    what `file`, the other's run.json, holds; a field that an older record lacks has its default
    Raises UserError if it is damaged.
    """
    theirs = {**run, **_completed(run, file)}
    for part in IDENTITY:
        a, b = _plain(mine[part]), _plain(theirs[part])
        if not isinstance(a, dict):
            a, b = {part: a}, {part: b}
        for key in a:
            if a[key] != b[key]:
                return f"{key} is {a[key]!r} here and {b[key]!r} there"
    if "data" in mine and mine["data"]["fingerprint"] != run["data"].get("fingerprint"):
        return "the data's fingerprint is another"
    return None


def _completed(run: dict[str, Any], file: Path) -> dict[str, Any]:
    """Spec and recipe of a record, every field there."""
    try:
        return {part: kind.from_dict(run[part]).to_dict() for part, kind in (("spec", Spec), ("recipe", Recipe))}
    except UserError as error:
        why = str(error)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:  # as from_dict comes to it
        why = f"{type(error).__name__}: {error}"
    raise UserError(f"{file}: damaged, or written by another version of reslab ({why}); give another folder")


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(value))
