"""C1 and C2: a plain net's training error rises with depth; its residual twin's does not (§1, §4.2, Fig. 1 and 6).

The runs: plain and residual twins (same layers, same initial weights, same order of samples) at several depths and
seeds. The measure: training error of a clean pass in evaluation mode at the end of the schedule, and test error.
The rule, written before the runs: over the seeds, the paired difference deepest minus shallowest of final training
error, with its two-sided 95 % t-interval. Plain degrades where the interval lies above 0; residual does not degrade
where the interval's upper end is at most MARGIN (a claim of "no difference" needs a margin). Otherwise undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from reslab.errors import UserError
from reslab.training.recipe import Recipe
from reslab.training.recipes import recipe
from reslab.training.runlog import Record

MARGIN = 1.0  # percentage points of training error by which a deeper residual net may be worse and still "not worse"


@dataclass(frozen=True)
class Run:
    """One run that the claim needs: a model's name, a recipe, a seed."""

    model: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Cell:
    """Figures of one net over its seeds: errors in percent, sample standard deviation (nan for one seed)."""

    model: str
    depth: int
    residual: bool
    n: int
    train_mean: float
    train_std: float
    test_mean: float
    test_std: float


@dataclass(frozen=True)
class Trend:
    """Deepest minus shallowest in final training error, paired by seed: percentage points, 95 % interval."""

    shallow: int
    deep: int
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Judgement:
    """What the records say. `plain` and `residual` are verdicts: holds, does not hold, undecided, not run."""

    cells: tuple[Cell, ...]
    plain_trend: Trend | None
    residual_trend: Trend | None
    plain: str
    residual: str
    sentence: str
    flat: bool
    iterations: int


def runs(depths: Iterable[int], seeds: Iterable[int], base: Recipe) -> tuple[Run, ...]:
    """Seed by seed, so that an interrupted study has whole seeds; shallow first, plain and residual side by side."""
    return tuple(
        Run(f"cifar_{kind}{depth}", base, seed) for seed in seeds for depth in depths for kind in ("plain", "resnet")
    )


def defaults(data: str) -> tuple[tuple[int, ...], int, Recipe]:
    """(depths, number of seeds, recipe) for a data source's name: minutes on digits, §4.2 and Fig. 6 on CIFAR-10."""
    if data == "digits":
        return (8, 20, 56), 3, recipe("digits-degradation")
    return (20, 32, 44, 56), 1, recipe("paper-cifar")


def _cell(records: list[Record]) -> Cell:
    first = records[0]

    def figures(split: str) -> tuple[float, float]:
        values = [final["top1_error"] for r in records if (final := r.final(split)) is not None]
        if not values:
            return math.nan, math.nan
        return mean(values), stdev(values) if len(values) > 1 else math.nan

    return Cell(first.model, first.depth, first.residual, len(records), *figures("train"), *figures("test"))


def _trend(records: list[Record]) -> Trend | None:
    depths = sorted({r.depth for r in records})
    if len(depths) < 2:
        return None
    by = {(r.depth, r.seed): r.final("train") for r in records}
    seeds = sorted({r.seed for r in records})
    pairs = [(by.get((depths[-1], s)), by.get((depths[0], s))) for s in seeds]
    gaps = [d["top1_error"] - s["top1_error"] for d, s in pairs if d is not None and s is not None]
    if not gaps:
        return None
    centre, half = mean(gaps), math.inf
    if len(gaps) > 1:
        from scipy.special import stdtrit

        half = float(stdtrit(len(gaps) - 1, 0.975)) * stdev(gaps) / math.sqrt(len(gaps))
    return Trend(depths[0], depths[-1], len(gaps), centre, centre - half, centre + half)


def _is_flat(records: list[Record]) -> bool:
    """Whether every net's training error moved by less than half a point over the last tenth of the schedule."""
    for record in records:
        curve = record.evaluations("train")
        end = curve[-1]["iteration"] if curve else 0
        late = [e["top1_error"] for e in curve if e["iteration"] >= 0.9 * end]
        if len(late) < 2 or max(late) - min(late) >= 0.5:
            return False
    return True


def judge(records: Iterable[Record]) -> Judgement:
    """The verdicts of the rule above on finished records; raises UserError where two recipes or data sets are mixed."""
    done = [r for r in records if r.finished]
    for other in done[1:]:
        if other.run["recipe"] != done[0].run["recipe"]:
            raise UserError(
                f"{other.folder}: another recipe than {done[0].folder}; records of two recipes are not mixed"
            )
        if other.run["data"]["fingerprint"] != done[0].run["data"]["fingerprint"]:
            raise UserError(f"{other.folder}: other data than {done[0].folder}; records of two data sets are not mixed")
    groups: dict[tuple[bool, int], list[Record]] = {}
    for record in sorted(done, key=lambda r: (r.residual, r.depth, r.seed)):
        groups.setdefault((record.residual, record.depth), []).append(record)
    cells = tuple(_cell(group) for group in groups.values())
    plain = _trend([r for r in done if not r.residual])
    residual = _trend([r for r in done if r.residual])
    plain_verdict, residual_verdict = verdict_plain(plain), verdict_residual(residual)
    flat = _is_flat(done) if done else False
    iterations = int(done[0].run["recipe"]["iterations"]) if done else 0
    sentence = _sentence(plain, residual, plain_verdict, residual_verdict, flat, iterations)
    return Judgement(cells, plain, residual, plain_verdict, residual_verdict, sentence, flat, iterations)


def verdict_plain(trend: Trend | None) -> str:
    """C1: the plain net's training error rises with depth."""
    if trend is None:
        return "not run"
    return "holds" if trend.low > 0 else "does not hold" if trend.high <= 0 else "undecided"


def verdict_residual(trend: Trend | None) -> str:
    """C2: the residual net's does not, within MARGIN."""
    if trend is None:
        return "not run"
    return "holds" if trend.high <= MARGIN else "does not hold" if trend.low > MARGIN else "undecided"


def _sentence(
    plain: Trend | None, residual: Trend | None, plain_verdict: str, residual_verdict: str, flat: bool, iterations: int
) -> str:
    def told(kind: str, trend: Trend | None, verdict: str) -> str:
        if trend is None:
            return f"{kind} nets were not run at two depths."
        way = "rises" if trend.mean > 0 else "falls" if trend.mean < 0 else "changes"
        n = f"n = {trend.n} seed{'s' if trend.n > 1 else ''}"
        interval = f"95 % interval {trend.low:+.1f} to {trend.high:+.1f}, {n}" if trend.n > 1 else f"{n}, no interval"
        return (
            f"From {trend.shallow} to {trend.deep} layers the {kind} net's training error {way} by "
            f"{abs(trend.mean):.1f} points ({interval}): {verdict}."
        )

    budget = (
        "" if flat else f" The curves are not all flat after {iterations:,} iterations: this is said at this budget."
    )
    return (
        told("plain", plain, f"degradation {plain_verdict}")
        + " "
        + told("residual", residual, f"no degradation {residual_verdict}")
        + budget
    )
