"""The parts of a net in network order, and those that `--freeze` names."""

from __future__ import annotations

from reslab.errors import UserError, suggest
from reslab.nets.names import name_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

HEAD = "head"


def part_names(spec: Spec) -> tuple[str, ...]:
    """Return the parts of the plan in network order: stem, conv2_x … head; of an MLP stem, fc2_x … head."""
    return tuple(dict.fromkeys(row.part for row in plan(spec)))


def frozen_parts(spec: Spec, text: str) -> tuple[str, ...]:
    """Return the parts that `text` names, in network order: "stem..conv4_x" (both included), "stem,conv3_x".

    Raises UserError for an unknown part, for a range from a later to an earlier part, and for the head.
    """
    names = part_names(spec)
    chosen: set[str] = set()
    for piece in text.split(","):
        first, dots, last = (word.strip() for word in piece.partition(".."))
        last = last if dots else first
        for name in (first, last):
            if name not in names:
                raise UserError(
                    f"--freeze: {name!r} is no part of {name_of(spec)}{suggest(name, names)}; its parts are "
                    f"{', '.join(names)}"
                )
        start, end = names.index(first), names.index(last)
        if end < start:
            raise UserError(f"--freeze: {first} comes after {last}; write {last}..{first}")
        chosen |= {*names[start : end + 1]}
    if HEAD in chosen:
        raise UserError(f"--freeze: the head cannot be frozen; give parts before it, such as {names[0]}..{names[-2]}")
    return tuple(name for name in names if name in chosen)
