"""What a statement is about: a number for each seed, read from records, and which runs and measurements it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reslab.claims.evidence import Evidence, Net
from reslab.runs.runlog import Record

Series = dict[int, float]  # seed → value; what was computed and not sampled has its cases numbered instead


@dataclass(frozen=True)
class Quantity:
    """A number for each seed.

    key       what is read, for the hash of a rule: two quantities of one key are the same quantity
    read      gives a value for each seed that has one
    nets      must be trained for it
    measured  the measurements that must be made for it
    """

    key: str
    read: Callable[[Evidence], Series]
    nets: tuple[Net, ...] = ()
    measured: tuple[str, ...] = ()


def final_error(of: Net, split: str) -> Quantity:
    """The top-1 error at the end of the schedule, percent; split "train" is the clean pass in evaluation mode."""

    def read(evidence: Evidence) -> Series:
        ends = {seed: record.final(split) for seed, record in evidence.runs(of).items()}
        return _finite({seed: end.get("top1_error") for seed, end in ends.items() if end is not None})

    return Quantity(f"final {split} error of {of.key}", read, (of,))


def error_gap(of: Net, other: Net, split: str) -> Quantity:
    """The final error of one net minus that of another, seed by seed, percentage points."""
    return minus(final_error(of, split), final_error(other, split))


def probed(of: Net, key: str, reduce: Callable[[list[float]], float], first: bool = False) -> Quantity:
    """`reduce` of a probe's values in network order, at the end of training, or (`first`) of the initial weights.

    key  "gradients", "activations", "residuals" (by block), "responses", "layer_gradients",
         "layer_activations", "weight_gradients" (by layer)
    Needs a recipe with `probe_every`.
    """

    def read(evidence: Evidence) -> Series:
        series = {}
        for seed, record in evidence.runs(of).items():
            values = probe_values(record, key, first)
            if values:
                series[seed] = reduce(values)
        return _finite(series)

    moment = "initial" if first else "final"
    return Quantity(f"{named(reduce)} of {moment} {key} of {of.key}", read, (of,))


def probe_lines(record: Record) -> list[dict[str, Any]]:
    """The probes of a run through its training, in the order of iterations."""
    return [m for m in record.metrics if m.get("kind") == "probe"]


def probe_values(record: Record, key: str, first: bool = False) -> list[float]:
    """The values of one probe of a run, in network order, without those that were not finite."""
    lines = probe_lines(record)
    if not lines:
        return []
    values = lines[0 if first else -1].get(key)
    return [float(v) for v in values.values() if isinstance(v, int | float)] if isinstance(values, dict) else []


def measurement(name: str, key: str) -> Quantity:
    """A figure of a measurement: a number for each seed, or (made once) a number or a list of cases."""

    def read(evidence: Evidence) -> Series:
        series: dict[int, Any] = {}
        for seed, figures in evidence.measured.get(name, {}).items():
            value = figures.get(key)
            if isinstance(value, list):
                series |= {len(series) + i: v for i, v in enumerate(value)}
            else:
                series[0 if seed is None else seed] = value
        return _finite(series)

    return Quantity(f"{key} of {name}", read, (), (name,))


def minus(a: Quantity, b: Quantity) -> Quantity:
    """a - b, seed by seed: a paired difference, over the seeds that both have."""
    return paired(a, b, difference)


def relative_gap(of: Net, other: Net, split: str = "test") -> Quantity:
    """`error_gap` in percent of the other net's mean error over the seeds that both have."""
    return relative(error_gap(of, other, split), final_error(other, split))


def relative(gap: Quantity, base: Quantity) -> Quantity:
    """A difference in percent of the mean of `base` over the same seeds; nothing if that mean is 0."""

    def read(evidence: Evidence) -> Series:
        gaps, bases = gap.read(evidence), base.read(evidence)
        seeds = [seed for seed in gaps if seed in bases]
        mean = sum(bases[seed] for seed in seeds) / len(seeds) if seeds else 0.0
        return {seed: 100.0 * gaps[seed] / mean for seed in seeds} if mean else {}

    return _over(f"percent of ({gap.key}) to {base.key}", read, gap, base)


def difference(a: float, b: float) -> float:
    return a - b


def paired(a: Quantity, b: Quantity, combine: Callable[[float, float], float]) -> Quantity:
    """`combine(a, b)` over the seeds that both have."""

    def read(evidence: Evidence) -> Series:
        left, right = a.read(evidence), b.read(evidence)
        return {seed: combine(left[seed], right[seed]) for seed in left if seed in right}

    return _over(f"{named(combine)}({a.key}; {b.key})", read, a, b)


def _over(key: str, read: Callable[[Evidence], Series], a: Quantity, b: Quantity) -> Quantity:
    """A quantity that needs what two others need."""
    nets, measured = dict.fromkeys([*a.nets, *b.nets]), dict.fromkeys([*a.measured, *b.measured])
    return Quantity(key, read, tuple(nets), tuple(measured))


def named(function: Callable[..., Any]) -> str:
    """Return the function's name, by which the hash of a rule knows it. Raises ValueError for a lambda."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise ValueError(f"{function}: a rule's function needs a name, by which the rule's hash knows it")
    return name


def _finite(series: Mapping[int, Any]) -> Series:
    """What is a number: a torn or diverged record may hold None or text in its place."""
    numbers = {seed: value for seed, value in series.items() if isinstance(value, int | float)}
    return {seed: float(value) for seed, value in numbers.items() if math.isfinite(value)}
