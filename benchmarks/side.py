"""Measure two sides in turn, and print the results as a table: every benchmark of this folder is a list of `Row`s.

A side is a function that does one timed piece of work and returns a figure (images per second, seconds, bytes). Pieces
of both sides alternate, and so does the order (ours, peer, peer, ours …), so that changes of the machine's speed affect
both. The ratio is ours by the peer's for each pair; the bar applies to its median.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAIRS, QUICK = 7, 2
QUIET, PATIENCE = 0.5, 300  # load average of a quiet machine; seconds to wait for it
SUMMARY = ("", "unit", "peer", "ours", "ratio", "bar", "verdict")

Side = Callable[[], float]


@dataclass(frozen=True)
class Bar:
    """The required ratio: at least `least`, at most `most`, or 1 ± `within`; `aim` is a stricter value."""

    least: float | None = None
    most: float | None = None
    aim: float | None = None
    within: float | None = None

    def __str__(self) -> str:
        if self.within is not None:
            return f"1 ± {self.within:g}"
        text = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}" if self.most is not None else ""
        return f"{text} (aim {self.aim:g})" if self.aim is not None else text

    def verdict(self, ratio: float) -> str:
        """Return "met", "not met" or "aim met"; "" without a bar."""
        if self.within is not None:
            return "met" if abs(ratio - 1) <= self.within else "not met"
        if self.least is None and self.most is None:
            return ""
        above = self.least is not None
        met = ratio >= self.least if self.least is not None else ratio <= (self.most or 0.0)
        further = self.aim is not None and (ratio >= self.aim if above else ratio <= self.aim)
        return "aim met" if further else "met" if met else "not met"


@dataclass(frozen=True)
class Row:
    """One line of the table: figures of both sides, pair by pair, in `unit`."""

    what: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    bar: Bar = field(default_factory=Bar)
    notes: tuple[str, ...] = ()  # the peer, ours, and what the figure includes

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.peer, strict=True)]

    @property
    def verdict(self) -> str:
        return self.bar.verdict(statistics.median(self.ratios))


@dataclass(frozen=True)
class BenchmarkOptions:
    """The options of the command line."""

    pairs: int
    quick: bool
    threads: int


def in_turn(
    what: str, unit: str, ours: Side, peer: Side, options: BenchmarkOptions, bar: Bar, notes: Iterable[str] = ()
) -> Row:
    """Measure ours, peer, peer, ours …; the caller has warmed up both."""
    first = itertools.cycle((True, False))

    def pair() -> tuple[float, float]:
        if next(first):
            return ours(), peer()
        theirs = peer()
        return ours(), theirs

    return pair_by_pair(what, unit, pair, options, bar, notes)


def pair_by_pair(
    what: str,
    unit: str,
    pair: Callable[[], tuple[float, float]],
    options: BenchmarkOptions,
    bar: Bar,
    notes: Iterable[str] = (),
) -> Row:
    """Return the row of `options.pairs` pairs (ours, peer)."""
    pairs = list[tuple[float, float]]()
    for number in range(1, options.pairs + 1):
        pairs.append(pair())
        ours, theirs = pairs[-1]
        figures = f"ours {figure(ours)}, peer {figure(theirs)} {unit}"
        say(f"{what}: pair {number} of {options.pairs}: {figures}, ratio {ours / theirs:.3g}")
    return Row(what, unit, *zip(*pairs, strict=True), bar, tuple(notes))


def timed(work: Callable[[], object], repeat: int = 1) -> float:
    """Return the mean seconds of `repeat` calls of `work`."""
    begin = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - begin) / repeat


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table, padded for a console; the first column is aligned left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if not i else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [line(head), line(rule), *(line(row) for row in rows)]


def page(title: str, rows: Sequence[Row], options: BenchmarkOptions, command: str, load: float) -> str:
    """Return the result in Markdown, as printed and recorded."""
    head = ("", "unit", "peer", "ours", "ratio: min / median / max", "bar", "verdict")
    cells = []
    for row in rows:
        ratios = row.ratios
        spread = " / ".join(f"{v:.3g}" for v in (min(ratios), statistics.median(ratios), max(ratios)))
        middle = [figure(statistics.median(side)) for side in (row.peer, row.ours)]
        cells.append((row.what, row.unit, *middle, spread, str(row.bar), row.verdict))
    lines = [f"# {title}, {datetime.now(UTC):%Y-%m-%d}", ""]
    if options.quick:
        lines += ["A smoke test (`--quick`): too short to judge anything.", ""]
    lines += [*table(head, cells), "", "Medians; the ratio is ours by peer's, pair by pair.", ""]
    for row in rows:
        lines.append(f"- {row.what}: " + "; ".join([*row.notes, "ratios " + " ".join(f"{v:.3g}" for v in row.ratios)]))
    return "\n".join([*lines, *machine(load), f"- command: `{command}`"]) + "\n"


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Return each row's cells of `SUMMARY`."""
    return [
        [row.what, row.unit, *(figure(statistics.median(side)) for side in (row.peer, row.ours)),
         f"{statistics.median(row.ratios):.3g}", str(row.bar), row.verdict]
        for row in rows
    ]  # fmt: skip


def quiet(seconds: float) -> bool:
    """Wait at most `seconds` until the machine is quiet; return whether it is."""
    end = time.monotonic() + seconds
    while os.getloadavg()[0] > QUIET:
        if time.monotonic() > end:
            return False
        time.sleep(5)
    return True


def machine(load: float) -> list[str]:
    """Return lines with hardware and versions."""
    import torch

    from reslab.engines.machine import environment

    facts, abilities = environment(), torch.cpu.get_capabilities()
    units = [k for k in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16") if abilities.get(k)]
    versions = ", ".join(f"{k} {facts[k]}" for k in ("torch", "torchvision", "numpy", "reslab"))
    return [
        f"- hardware: {facts['cpu']}, {facts['cores']} cores, bf16 units: {', '.join(units) or 'none'}"
        f"{', ' + facts['gpu'] if facts['gpu'] else ''}; "
        f"load average before: {load:.2f}, after: {os.getloadavg()[0]:.2f}",
        f"- {versions}, Python {facts['python']}, {facts['system']}",
    ]


def processor() -> str:
    """Return the CPU's name for a file name, "amd-epyc"; with "-amx" if it has those units, which the name hides."""
    import torch

    from reslab.engines.machine import environment

    name = re.sub(r"\([^)]*\)", "", str(environment()["cpu"])).lower()
    units = ["amx"] if torch.cpu.get_capabilities().get("amx_bf16") else []
    return "-".join([*re.findall(r"[a-z0-9]+", name), *units])


def main(
    name: str, title: str, rows: Callable[[BenchmarkOptions], Iterable[Row]], arguments: Sequence[str] | None = None
) -> int:
    """Run a benchmark's command: `python -m benchmarks.NAME [--quick] [--pairs N] [--threads N] [--record]`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=title)
    parser.add_argument("--quick", action="store_true", help=f"a smoke test: {QUICK} pairs")
    parser.add_argument("--pairs", type=int, help=f"pairs a row (default {PAIRS})")
    parser.add_argument("--threads", type=int, default=0, help="of both sides (default: torch's own choice)")
    parser.add_argument("--record", action="store_true", help=f"write benchmarks/results/{name}-DATE-CPU.md")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # read by `python -m benchmarks`
    given = parser.parse_args(arguments)
    pairs = given.pairs if given.pairs is not None else QUICK if given.quick else PAIRS
    if pairs < 1 or given.threads < 0:
        parser.error("--pairs must be at least 1, --threads at least 0")
    if given.record and (given.quick or pairs < 5):
        parser.error("--record needs a full measurement: at least 5 pairs, without --quick")
    if given.record and not quiet(PATIENCE):
        say(f"load average {os.getloadavg()[0]:.1f}: the machine is busy, and --record needs a quiet one; wait")
        return 2
    load = os.getloadavg()[0]
    if load > QUIET:
        say(f"load average {load:.1f}: the machine is busy, so the figures are unreliable")
    flags = [f"--{k} {v}" for k, v in (("pairs", given.pairs), ("threads", given.threads)) if v]
    command = " ".join([f"python -m benchmarks.{name}", *(["--quick"] if given.quick else []), *flags])
    options = BenchmarkOptions(pairs, given.quick, given.threads)
    measured = list(rows(options))
    if given.rows:
        given.rows.write_text(json.dumps(summary(measured)), encoding="utf-8")
    if not measured:  # the part has printed the reason
        return 0
    text = page(title, measured, options, command, load)
    print(text, end="")
    if given.record:
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}-{processor()}.md"
        file.write_text(text, encoding="utf-8")
        say(f"written: {file.relative_to(ROOT)}")
    return 0
