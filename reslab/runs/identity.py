"""The fields that decide a run's numbers, and the comparison of two runs by them. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.runs.extension import ends_of
from reslab.runs.init import Init, init_difference
from reslab.runs.recipe import Recipe

# The fields that decide a run's numbers: a folder is resumed only by a run with the same values.
IDENTITY = ("spec", "recipe", "seed")


def difference(run: dict[str, Any], recorded: dict[str, Any], file: Path) -> str | None:
    """Return the first field in which `run` differs from the `recorded` one, as text, or None if they agree.

    run        the IDENTITY fields; "data" with the fingerprint if that is to be compared; "init" if the run begins from
               a trained model; "extended" if the record may be of an extended run
    recorded   the content of `file`, a run.json; a field that an older record lacks has its default
    Raises UserError if the record is damaged.
    """
    completed = {**recorded, **_completed(recorded, file)}
    other_data = "data" in run and run["data"]["fingerprint"] != recorded["data"].get("fingerprint")
    if other_data and run["recipe"]["images"] != completed["recipe"]["images"]:  # named before what follows
        return _data_difference(run["data"], recorded["data"])
    for part in IDENTITY:
        a, b = _as_json(run[part]), _as_json(completed[part])
        if not isinstance(a, dict):
            a, b = {part: a}, {part: b}
        for key in a:
            if a[key] != b[key]:
                return f"{key} is {a[key]!r} here and {b[key]!r} there"
    if different := init_difference(Init.of(run), Init.of(recorded)):
        return different
    if recorded.get("extended") and "extended" not in run:
        return f"it was extended to {ends_of(recorded)[-1]:,} iterations"
    if other_data:
        return _data_difference(run["data"], recorded["data"])
    return None


def _data_difference(data: dict[str, Any], recorded: dict[str, Any]) -> str:
    """Return how data of another fingerprint differ: by an option, or in their files."""
    for key in ("val_share", "group", "range") if "kind" in data else ():
        if data.get(key) != recorded.get(key):
            here, there = (_option_words(key, values.get(key)) for values in (data, recorded))
            return f"{key} is {here} here and {there} there"
    return "the data's fingerprint is another"


def _option_words(key: str, value: Any) -> str:
    """Return an option of the data as it is given on the command line."""
    default = "full" if key == "range" else "none"
    return default if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _completed(recorded: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return spec and recipe of a record with all fields."""
    try:
        return {part: kind.from_dict(recorded[part]).to_dict() for part, kind in (("spec", Spec), ("recipe", Recipe))}
    except UserError as error:
        reason = str(error)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:  # from_dict of damaged values
        reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{file}: damaged, or written by another version of reslab ({reason}); give another folder")


def _as_json(value: Any) -> Any:
    """Return `value` as JSON reads it back: tuples become lists."""
    return json.loads(json.dumps(value))
