"""Cost against depth: time and memory of 20 to 110 layers against a straight line; 1,202 layers against an estimate.

`python -m benchmarks.depth [--quick] [--pairs N] [--threads N] [--record]`. Every figure is of its own process, which
makes four updates of a net on random images (the median of the last three counts) and reports its peak memory (VmHWM).
Compared processes exist at the same time and update in turn, one waiting while the other works: on a shared machine two
processes that run one after the other differ by up to a half. Linux only.

Line       through 20 and 110 layers, by multiply-adds: a layer must not cost more in a deeper net.
Estimate   `engines.memory.need`, plus the memory of the process before the net is built.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.side import ROOT, Bar, BenchmarkOptions, Row, main, say

DEPTHS = (20, 32, 44, 56, 110)
DEEP = 1202
BATCH = 128
UPDATES = 4  # of a process; the first one does not count
LINE, ESTIMATE, THIRD, TIME = Bar(within=0.1), Bar(within=0.1), Bar(most=1 / 3), Bar(most=1.4)
ONE = """
import json, sys, time, torch
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.engines import host, memory
from reslab.engines.machine import ComputeOptions, prepare, settle
from reslab.runs.recipe import changed
from reslab.runs.recipes import paper_cifar
from reslab.training.step import Step
depth, batch, threads, recompute = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
recipe, spec = changed(paper_cifar(), {"batch": batch}), spec_of(f"cifar_resnet{depth}")
settings = settle(spec, recipe, ComputeOptions("cpu", threads=threads, recompute=recompute))
prepare(settings)
images, labels = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
images = images.to(memory_format=torch.channels_last)
before = host.resident()[0]
estimate = before + memory.need(spec, recipe, settings.precision, settings.recompute).total
step = Step(build(spec), recipe, settings)
step.net.train()
facts = {"estimate": estimate, "before": before, "why": settings.why}
for line in sys.stdin:
    begin = time.perf_counter()
    step(images, labels, 0.01)
    print(json.dumps({**facts, "seconds": time.perf_counter() - begin, "peak": host.resident()[1]}), flush=True)
"""


@dataclass(frozen=True)
class Net:
    """A measured net: layers, batch, and whether activations are recomputed ("on", "off")."""

    depth: int
    batch: int
    recompute: str = "off"


def in_turns(nets: Sequence[Net], threads: int) -> dict[Net, dict[str, Any]]:
    """Return the last report of each net's process; "seconds" is the median of its updates after the first."""
    reports: dict[Net, list[dict[str, Any]]] = {net: [] for net in nets}
    with ExitStack() as stack:
        running = {}
        for net in nets:
            words = [sys.executable, "-c", ONE, str(net.depth), str(net.batch), str(threads), net.recompute]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            running[net] = stack.enter_context(process)
            stack.callback(process.kill)
        for turn in range(UPDATES):
            for net in nets if turn % 2 else reversed(nets):
                reports[net].append(updated(running[net]))
    medians = {net: statistics.median(r["seconds"] for r in updates[1:]) for net, updates in reports.items()}
    last = {net: {**updates[-1], "seconds": medians[net]} for net, updates in reports.items()}
    for net, report in last.items():
        say(f"{net.depth} layers, batch {net.batch}, recompute {net.recompute}: {report}")
    return last


def updated(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Make one update and return its report."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    from reslab.nets.cost import cost
    from reslab.nets.names import spec_of

    rounds = 1 if options.quick else min(options.pairs, 5)
    macs = {depth: cost(spec_of(f"cifar_resnet{depth}")).macs for depth in DEPTHS}
    line = [Net(depth, BATCH) for depth in DEPTHS]
    measured = [{net.depth: report for net, report in in_turns(line, options.threads).items()} for _ in range(rounds)]

    def on_the_line(reports: dict[int, dict[str, Any]], depth: int, key: str) -> float:
        low, high = DEPTHS[0], DEPTHS[-1]
        share = (macs[depth] - macs[low]) / (macs[high] - macs[low])
        return float(reports[low][key] + share * (reports[high][key] - reports[low][key]))

    for key, unit, scale in (("seconds", "ms an image", 1e3 / BATCH), ("peak", "MB", 1e-6)):
        for depth in DEPTHS[1:-1]:
            ours = tuple(scale * reports[depth][key] for reports in measured)
            theirs = tuple(scale * on_the_line(reports, depth, key) for reports in measured)
            notes = ("peer: the line through 20 and 110 layers",)
            yield Row(f"{depth} layers, {unit}", unit, ours, theirs, LINE, notes)
    batch = 8 if options.quick else BATCH
    plain_net, recompute_net = Net(DEEP, batch), Net(DEEP, batch, "on")
    both = [in_turns((plain_net, recompute_net), options.threads) for _ in range(rounds)]
    plain, recomputed = ([reports[net] for reports in both] for net in (plain_net, recompute_net))
    name, notes = f"{DEEP} layers, batch {batch}", ("peer: measured peak of the process",)
    for words, reports in (("estimate", plain), ("recompute, estimate", recomputed)):
        predicted, peak = (tuple(report[key] / 1e6 for report in reports) for key in ("estimate", "peak"))
        yield Row(f"{name}, {words}", "MB", predicted, peak, ESTIMATE, notes)
    added = [tuple((r["peak"] - r["before"]) / 1e6 for r in reports) for reports in (recomputed, plain)]
    note = ("peer: without recompute", "memory in addition to that of the process before the net")
    yield Row(f"{name}, memory with recompute", "MB", added[0], added[1], THIRD, note)
    times = [tuple(report["seconds"] for report in reports) for reports in (recomputed, plain)]
    yield Row(f"{name}, time with recompute", "s an update", times[0], times[1], TIME, ("peer: without recompute",))


if __name__ == "__main__":
    sys.exit(main("depth", "Cost against depth", rows))
