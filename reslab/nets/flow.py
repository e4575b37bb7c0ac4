"""Which outputs each layer reads: a plan as a graph, for whatever computes it without torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reslab.nets.row import Row

IMAGES = "images"  # the network's input


def reads(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Return the names of the outputs that each row reads, in the plan's order; IMAGES is the network's input.

    An addition reads (branch, shortcut); every other row reads one output. As `Block.forward`: a projection of a
    pre-activation block reads the activated input, an identity or option A the input itself.
    """
    found: dict[str, tuple[str, ...]] = {}
    x = IMAGES
    for block, group in groupby(rows, key=lambda row: row.block):
        members = list(group)
        if not block:
            x = _chained(members, x, found)
            continue
        paths = {path: [r for r in members if r.path == path] for path in ("before", "branch", "shortcut", "after")}
        projected = any(row.is_weight_layer for row in paths["shortcut"])
        activated = _chained(paths["before"], x, found)
        branch = _chained(paths["branch"], activated, found)
        shortcut = _chained(paths["shortcut"], activated if projected else x, found)
        x = branch
        for row in paths["after"]:
            found[row.name] = (x, shortcut) if row.kind == "add" else (x,)
            x = row.name
    return {row.name: found[row.name] for row in rows}


def _chained(rows: Sequence[Row], x: str, found: dict[str, tuple[str, ...]]) -> str:
    """Add rows in sequence that begin with the output `x`, and return the name of the last output."""
    for row in rows:
        found[row.name], x = (x,), row.name
    return x
