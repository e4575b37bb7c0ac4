"""From figures to a verdict: a 95 % interval over seeds against a threshold.

The whole interval decides: if it contains the threshold the verdict is *undecided*, an honest end. A claim of "no
difference" has a margin (`Within`). What is computed exactly has no interval (`Always`). `combined` makes a claim's
verdict from those of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

HOLDS, CONDITION, FAILS = "holds", "holds with a condition", "does not hold"
UNDECIDED, NOT_RUN = "undecided", "not run"
VERDICTS = (HOLDS, CONDITION, FAILS, UNDECIDED, NOT_RUN)
DECIDED = (HOLDS, CONDITION, FAILS)
FEWEST = 3  # seeds below which no rule decides
SMALL = 3.0  # percent of an error: less than what the paper's own options A and C differ by (Table 3: 25.03, 24.19 %)


@dataclass(frozen=True)
class Figure:
    """Mean, sample standard deviation (nan for one value), n, and the two-sided 95 % t-interval of the mean."""

    values: tuple[float, ...]
    mean: float
    std: float
    low: float
    high: float

    @property
    def n(self) -> int:
        return len(self.values)

    def without_spread(self) -> Figure:
        """Return the same mean as if it were known exactly and over enough seeds."""
        return Figure((self.mean,) * max(self.n, FEWEST), self.mean, 0.0, self.mean, self.mean)


def figure(values: Sequence[float]) -> Figure | None:
    """Return mean, spread and interval of the values of n seeds, None without any. One value: an infinite interval."""
    if not values:
        return None
    centre, n = mean(values), len(values)
    if n == 1:
        return Figure(tuple(values), centre, math.nan, -math.inf, math.inf)
    from scipy.special import stdtrit

    spread = stdev(values)
    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return Figure(tuple(values), centre, spread, centre - half, centre + half)


@dataclass(frozen=True)
class Above:
    """Holds if the interval is above the bar, does not hold if it is at or below it."""

    bar: float

    def __call__(self, found: Figure) -> str:
        if found.n < FEWEST:
            return UNDECIDED
        return HOLDS if found.low > self.bar else FAILS if found.high <= self.bar else UNDECIDED

    def __str__(self) -> str:
        return f"> {self.bar:g}"


@dataclass(frozen=True)
class Below:
    """Holds if the interval ends at or below the bar, does not hold if it is above it."""

    bar: float

    def __call__(self, found: Figure) -> str:
        if found.n < FEWEST:
            return UNDECIDED
        return HOLDS if found.high <= self.bar else FAILS if found.low > self.bar else UNDECIDED

    def __str__(self) -> str:
        return f"≤ {self.bar:g}"


@dataclass(frozen=True)
class Within:
    """No difference: holds if the interval is inside ±margin, does not hold if it is outside on one side."""

    margin: float

    def __call__(self, found: Figure) -> str:
        if found.n < FEWEST:
            return UNDECIDED
        if -self.margin <= found.low and found.high <= self.margin:
            return HOLDS
        return FAILS if found.low > self.margin or found.high < -self.margin else UNDECIDED

    def __str__(self) -> str:
        return f"± {self.margin:g}"


@dataclass(frozen=True)
class Always:
    """For what is computed and not sampled: every value lies in [low, high], or the statement does not hold."""

    low: float = -math.inf
    high: float = math.inf

    def __call__(self, found: Figure) -> str:
        return HOLDS if all(self.low <= v <= self.high for v in found.values) else FAILS

    def __str__(self) -> str:
        if self.low == self.high:
            return f"= {self.low:g}"
        if math.isinf(self.low):
            return f"≤ {self.high:g}, each"
        return f"≥ {self.low:g}, each" if math.isinf(self.high) else f"{self.low:g} … {self.high:g}, each"


Rule = Above | Below | Within | Always


def seeds_needed(value: Figure, rule: Rule) -> float:
    """Return how many seeds would put the whole 95 % interval on one side, if mean and spread stay; inf if none would.

    A lower bound in practice: a mean near the threshold may move to the other side.
    """
    from scipy.special import stdtrit

    edges = [rule.bar] if isinstance(rule, Above | Below) else []
    edges += [-rule.margin, rule.margin] if isinstance(rule, Within) else []
    distance = min((abs(value.mean - edge) for edge in edges), default=0.0)
    if not edges or distance == 0 or not math.isfinite(value.std):
        return math.inf
    low, high = FEWEST - 1, FEWEST

    def half(n: int) -> float:
        return float(stdtrit(n - 1, 0.975)) * value.std / math.sqrt(n)

    while half(high) >= distance:
        if high > 1e7:
            return math.inf
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if half(middle) >= distance else (low, middle)
    return float(high)


def combined(mains: Sequence[str], limits: Sequence[str] = ()) -> str:
    """A claim's verdict from those of its parts.

    mains   what is claimed, all of it: some hold and some do not is "holds with a condition"; where none holds, one
            that is undecided could still make it that, so that the whole is undecided
    limits  where it ends: a limit that holds turns "holds" into "holds with a condition"
    """
    if NOT_RUN in mains or not mains:
        return NOT_RUN
    if FAILS in mains and (HOLDS in mains or CONDITION in mains):
        return CONDITION
    if UNDECIDED in mains:
        return UNDECIDED
    if FAILS in mains:
        return FAILS
    return CONDITION if CONDITION in mains or any(v in (HOLDS, CONDITION) for v in limits) else HOLDS


def together(verdicts: Sequence[str]) -> str:
    """Return one verdict for a claim judged on several data sets: decided ones count; if they differ, a condition."""
    decided = {v for v in verdicts if v in DECIDED}
    if decided:
        return decided.pop() if len(decided) == 1 else CONDITION
    return UNDECIDED if UNDECIDED in verdicts else NOT_RUN
