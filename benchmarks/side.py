"""Two sides measured in turn, and the table of what came out: every benchmark of this folder is a list of `Row`s.

A side is a function that makes one timed piece of work and gives a figure (images a second, seconds, bytes). Pieces of
both sides alternate, and so does who is first (ours, peer, peer, ours …), so that a machine which grows slower does so
for both; the ratio is taken pair by pair, ours by peer's, and its median is held against the bar.
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
QUIET, PATIENCE = 0.5, 300  # load average below which a machine counts as quiet; seconds that a record waits for it
SUMMARY = ("", "unit", "peer", "ours", "ratio", "bar", "verdict")

Side = Callable[[], float]


@dataclass(frozen=True)
class Bar:
    """What the ratio must reach: at least `least`, or at most `most`, or 1 ± `within`; `aim` is the same, further."""

    least: float | None = None
    most: float | None = None
    aim: float | None = None
    within: float | None = None

    def __str__(self) -> str:
        if self.within is not None:
            return f"1 ± {self.within:g}"
        told = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}" if self.most is not None else ""
        return f"{told} (aim {self.aim:g})" if self.aim is not None else told

    def verdict(self, ratio: float) -> str:
        """ "met", "not met", "aim met"; nothing where there is no bar."""
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
    notes: tuple[str, ...] = ()  # who the peer is, what ours is, what is in the figure and what is not

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.peer, strict=True)]

    @property
    def verdict(self) -> str:
        return self.bar.verdict(statistics.median(self.ratios))


@dataclass(frozen=True)
class Asked:
    """What the command line asked for."""

    pairs: int
    quick: bool
    threads: int


def in_turn(what: str, unit: str, ours: Side, peer: Side, asked: Asked, bar: Bar, notes: Iterable[str] = ()) -> Row:
    """Measure ours, peer, peer, ours …; both have been warmed up by whoever made them."""
    first = itertools.cycle((True, False))

    def pair() -> tuple[float, float]:
        if next(first):
            return ours(), peer()
        theirs = peer()
        return ours(), theirs

    return pair_by_pair(what, unit, pair, asked, bar, notes)


def pair_by_pair(
    what: str, unit: str, pair: Callable[[], tuple[float, float]], asked: Asked, bar: Bar, notes: Iterable[str] = ()
) -> Row:
    """The row of as many pairs (ours, peer) as were asked for."""
    found = list[tuple[float, float]]()
    for number in range(1, asked.pairs + 1):
        found.append(pair())
        mine, theirs = found[-1]
        told = f"ours {figure(mine)}, peer {figure(theirs)} {unit}"
        say(f"{what}: pair {number} of {asked.pairs}: {told}, ratio {mine / theirs:.3g}")
    return Row(what, unit, *zip(*found, strict=True), bar, tuple(notes))


def timed(work: Callable[[], object], repeat: int = 1) -> float:
    """Seconds that `work` takes, each of `repeat` times."""
    begin = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - begin) / repeat


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is aligned on a console too; the first column to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if not i else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return [line(head), line(rule), *(line(row) for row in rows)]


def page(title: str, rows: Sequence[Row], asked: Asked, command: str, load: float) -> str:
    """The result in Markdown, as it is printed and recorded."""
    head = ("", "unit", "peer", "ours", "ratio: min / median / max", "bar", "verdict")
    cells = []
    for row in rows:
        ratios = row.ratios
        spread = " / ".join(f"{v:.3g}" for v in (min(ratios), statistics.median(ratios), max(ratios)))
        middle = [figure(statistics.median(side)) for side in (row.peer, row.ours)]
        cells.append((row.what, row.unit, *middle, spread, str(row.bar), row.verdict))
    lines = [f"# {title}, {datetime.now(UTC):%Y-%m-%d}", ""]
    if asked.quick:
        lines += ["A smoke test (`--quick`): too short to judge anything.", ""]
    lines += [*table(head, cells), "", "Medians; the ratio is ours by peer's, pair by pair.", ""]
    for row in rows:
        lines.append(f"- {row.what}: " + "; ".join([*row.notes, "ratios " + " ".join(f"{v:.3g}" for v in row.ratios)]))
    return "\n".join([*lines, *machine(load), f"- command: `{command}`"]) + "\n"


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """What each row comes to: its cells of `SUMMARY`."""
    return [
        [row.what, row.unit, *(figure(statistics.median(side)) for side in (row.peer, row.ours)),
         f"{statistics.median(row.ratios):.3g}", str(row.bar), row.verdict]
        for row in rows
    ]  # fmt: skip


def quiet(seconds: float) -> bool:
    """Wait until nothing else runs, at most so long; whether that came about."""
    end = time.monotonic() + seconds
    while os.getloadavg()[0] > QUIET:
        if time.monotonic() > end:
            return False
        time.sleep(5)
    return True


def machine(load: float) -> list[str]:
    """Hardware and versions, without which no figure means anything."""
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
    """The CPU's name as part of a file name: "amd-epyc"."""
    from reslab.engines.machine import environment

    told = re.sub(r"\([^)]*\)", "", str(environment()["cpu"])).lower()
    return "-".join(re.findall(r"[a-z0-9]+", told))


def main(name: str, title: str, rows: Callable[[Asked], Iterable[Row]], arguments: Sequence[str] | None = None) -> int:
    """The command line of one benchmark: `python -m benchmarks.NAME [--quick] [--pairs N] [--threads N] [--record]`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=title)
    parser.add_argument("--quick", action="store_true", help=f"a smoke test: {QUICK} pairs")
    parser.add_argument("--pairs", type=int, help=f"pairs a row (default {PAIRS})")
    parser.add_argument("--threads", type=int, default=0, help="of both sides (default: torch's own choice)")
    parser.add_argument("--record", action="store_true", help=f"write benchmarks/results/{name}-DATE-CPU.md")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # where `python -m benchmarks` reads them
    given = parser.parse_args(arguments)
    pairs = given.pairs if given.pairs is not None else QUICK if given.quick else PAIRS
    if pairs < 1 or given.threads < 0:
        parser.error("--pairs must be at least 1, --threads at least 0")
    if given.record and (given.quick or pairs < 5):
        parser.error("--record wants a full measurement: at least 5 pairs, and no --quick")
    if given.record and not quiet(PATIENCE):
        say(f"load average {os.getloadavg()[0]:.1f}: something else runs here, and a record wants a quiet machine")
        return 2
    load = os.getloadavg()[0]
    if load > QUIET:
        say(f"load average {load:.1f}: this machine is not quiet, and the numbers will show it")
    options = [f"--{k} {v}" for k, v in (("pairs", given.pairs), ("threads", given.threads)) if v]
    command = " ".join([f"python -m benchmarks.{name}", *(["--quick"] if given.quick else []), *options])
    asked = Asked(pairs, given.quick, given.threads)
    found = list(rows(asked))
    if given.rows:
        given.rows.write_text(json.dumps(summary(found)), encoding="utf-8")
    if not found:  # the part has said why
        return 0
    text = page(title, found, asked, command, load)
    print(text, end="")
    if given.record:
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}-{processor()}.md"
        file.write_text(text, encoding="utf-8")
        say(f"written: {file.relative_to(ROOT)}")
    return 0
