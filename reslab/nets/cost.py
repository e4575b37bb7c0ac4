"""Parameters and multiply-adds: sums over the plan's rows, in total and for each part of Table 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec


@dataclass(frozen=True)
class Cost:
    """Number of trainable `parameters`, and `macs`: multiply-adds for one image (the paper's "FLOPs")."""

    parameters: int
    macs: int


def cost_of(rows: tuple[Row, ...] | list[Row]) -> Cost:
    """Return the sum over some rows."""
    return Cost(sum(r.parameters for r in rows), sum(r.macs for r in rows))


@lru_cache(maxsize=256)  # a claim about equal costs compares fifty nets, and is judged for each study
def cost(spec: Spec) -> Cost:
    """Return the cost of the whole network."""
    return cost_of(plan(spec))


def by_part(spec: Spec) -> dict[str, tuple[Row, ...]]:
    """Return the rows of each part (stem, conv2_x, …, head), in network order."""
    parts: dict[str, list[Row]] = {}
    for row in plan(spec):
        parts.setdefault(row.part, []).append(row)
    return {part: tuple(rows) for part, rows in parts.items()}


def shown(count: int) -> str:
    """Return a count as the paper prints it: 269,722 becomes 0.27M, 3,857,973,248 becomes 3.858G."""
    if count >= 10**9:
        return f"{count / 1e9:.3f}G"
    return f"{count / 1e6:.2f}M" if count >= 10**4 else f"{count:,}"
