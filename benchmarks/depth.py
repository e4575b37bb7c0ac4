"""Cost against depth: time and memory of 20 to 110 layers against a straight line; 1,202 layers told beforehand.

`python -m benchmarks.depth [--quick] [--pairs N] [--threads N] [--record]`. Every figure is of a process of its own,
which makes four updates of a net on random images (the median of the last three counts) and tells its peak (VmHWM).
Processes that are compared live side by side and update in turn, one waiting while the other works: a machine whose
neighbours come and go for minutes changes what two processes one after the other take by half. Linux.

Line   through 20 and 110 layers, by multiply-adds: a layer must not cost more in a deeper net.
Told   `engines.memory.need` beside what the process has before the net is built.
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

from benchmarks.side import ROOT, Asked, Bar, Row, main, say

DEPTHS = (20, 32, 44, 56, 110)
DEEP = 1202
BATCH = 128
UPDATES = 4  # of a process; the first one does not count
LINE, TOLD, THIRD, TIME = Bar(within=0.1), Bar(within=0.1), Bar(most=1 / 3), Bar(most=1.4)
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
told = before + memory.need(spec, recipe, settings.precision, settings.recompute).total
step = Step(build(spec), recipe, settings)
step.net.train()
facts = {"told": told, "before": before, "why": settings.why}
for line in sys.stdin:
    begin = time.perf_counter()
    step(images, labels, 0.01)
    print(json.dumps({**facts, "seconds": time.perf_counter() - begin, "peak": host.resident()[1]}), flush=True)
"""


@dataclass(frozen=True)
class Net:
    """What is measured: so many layers, a batch, and whether activations are computed again ("on", "off")."""

    depth: int
    batch: int
    recompute: str = "off"


def in_turns(nets: Sequence[Net], threads: int) -> dict[Net, dict[str, Any]]:
    """What each net's process says at last, "seconds" being the median of its updates but for the first."""
    found: dict[Net, list[dict[str, Any]]] = {net: [] for net in nets}
    with ExitStack() as stack:
        running = {}
        for net in nets:
            words = [sys.executable, "-c", ONE, str(net.depth), str(net.batch), str(threads), net.recompute]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            running[net] = stack.enter_context(process)
            stack.callback(process.kill)
        for turn in range(UPDATES):
            for net in nets if turn % 2 else reversed(nets):
                found[net].append(updated(running[net]))
    middle = {net: statistics.median(one["seconds"] for one in some[1:]) for net, some in found.items()}
    last = {net: {**some[-1], "seconds": middle[net]} for net, some in found.items()}
    for net, told in last.items():
        say(f"{net.depth} layers, batch {net.batch}, recompute {net.recompute}: {told}")
    return last


def updated(process: subprocess.Popen[str]) -> dict[str, Any]:
    """One update, and what is told of it."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


def rows(asked: Asked) -> Iterator[Row]:
    from reslab.nets.cost import cost
    from reslab.nets.names import spec_of

    rounds = 1 if asked.quick else min(asked.pairs, 5)
    macs = {depth: cost(spec_of(f"cifar_resnet{depth}")).macs for depth in DEPTHS}
    line = [Net(depth, BATCH) for depth in DEPTHS]
    found = [{net.depth: told for net, told in in_turns(line, asked.threads).items()} for _ in range(rounds)]

    def on_the_line(of: dict[int, dict[str, Any]], depth: int, key: str) -> float:
        low, high = DEPTHS[0], DEPTHS[-1]
        share = (macs[depth] - macs[low]) / (macs[high] - macs[low])
        return float(of[low][key] + share * (of[high][key] - of[low][key]))

    for key, unit, scale in (("seconds", "ms an image", 1e3 / BATCH), ("peak", "MB", 1e-6)):
        for depth in DEPTHS[1:-1]:
            ours = tuple(scale * of[depth][key] for of in found)
            theirs = tuple(scale * on_the_line(of, depth, key) for of in found)
            notes = ("peer: the line through 20 and 110 layers",)
            yield Row(f"{depth} layers, {unit}", unit, ours, theirs, LINE, notes)
    batch = 8 if asked.quick else BATCH
    keeps, computes = Net(DEEP, batch), Net(DEEP, batch, "on")
    both = [in_turns((keeps, computes), asked.threads) for _ in range(rounds)]
    kept, again = ([of[net] for of in both] for net in (keeps, computes))
    name, told = f"{DEEP} layers, batch {batch}", ("peer: measured peak of the process",)
    for words, some in (("told beforehand", kept), ("recompute, told beforehand", again)):
        predicted, peak = (tuple(one[key] / 1e6 for one in some) for key in ("told", "peak"))
        yield Row(f"{name}, {words}", "MB", predicted, peak, TOLD, told)
    beyond = [tuple((one["peak"] - one["before"]) / 1e6 for one in some) for some in (again, kept)]
    note = ("peer: everything kept", "beyond what the process had before the net")
    yield Row(f"{name}, memory with recompute", "MB", beyond[0], beyond[1], THIRD, note)
    times = [tuple(one["seconds"] for one in some) for some in (again, kept)]
    yield Row(f"{name}, time with recompute", "s an update", times[0], times[1], TIME, ("peer: everything kept",))


if __name__ == "__main__":
    sys.exit(main("depth", "Cost against depth", rows))
