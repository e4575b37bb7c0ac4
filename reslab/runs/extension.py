"""A finished run that was continued with more iterations, as recorded. It is not the same as one longer run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from reslab.errors import UserError


def ends_of(run: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the iterations at which a run was to end: those of its recipe, then of each extension in turn.

    run   the content of its `run.json`, or the facts of a checkpoint. Raises UserError if its extensions are damaged.
    """
    recipe, extended = run.get("recipe"), run.get("extended", [])
    length: Any = recipe.get("iterations") if isinstance(recipe, Mapping) else None
    if extended == []:
        return (length,)
    try:
        ends = [extended[0]["from"], *(extension["to"] for extension in extended)]
        are_whole = all(type(end) is int for end in ends) and ends[0] == length
        is_sound = are_whole and all(a < b for a, b in pairwise(ends)) and table_of(ends) == extended
    except (KeyError, TypeError, IndexError):
        is_sound = False
    if not is_sound:
        raise UserError("damaged (its table extended is no list of rising iterations)")
    return tuple(ends)


def table_of(ends: Sequence[int]) -> list[dict[str, int]]:
    """Return `ends` as the table `extended` of a `run.json`; empty if the run was not extended."""
    return [{"from": a, "to": b} for a, b in pairwise(ends)]


def extension_words(ends: Sequence[int]) -> str:
    """Return a remark for readers of the run, in one line; "" if it was not extended."""
    if len(ends) < 2:
        return ""
    later = " and then to ".join(f"{end:,}" for end in ends[1:])
    return f"extended from {ends[0]:,} to {later} iterations: not the same as one run of {ends[-1]:,}"
