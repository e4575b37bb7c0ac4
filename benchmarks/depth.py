"""Cost against depth: time and memory of 20 to 110 layers against a straight line; 1,202 layers told beforehand.

`python -m benchmarks.depth [--quick] [--pairs N] [--threads N] [--record]`. Every figure is of a process of its own,
which makes four updates of a net on random images (the median of the last three counts) and tells its peak (VmHWM).
Linux.

Line   through 20 and 110 layers, by multiply-adds: a layer must not cost more in a deeper net.
Told   `training.memory.need` beside what the process has before the net is built.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.side import ROOT, Asked, Bar, Row, main, say

DEPTHS = (20, 32, 44, 56, 110)
DEEP = 1202
BATCH = 128
LINE, TOLD, THIRD, TIME = Bar(within=0.1), Bar(within=0.1), Bar(most=1 / 3), Bar(most=1.4)
ONE = """
import json, sys, time, torch
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.training import host, memory
from reslab.training.machine import Wish, prepare, settle
from reslab.training.recipe import changed
from reslab.training.recipes import paper_cifar
from reslab.training.step import Step
depth, batch, threads, recompute = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
recipe, spec = changed(paper_cifar(), {"batch": batch}), spec_of(f"cifar_resnet{depth}")
settings = settle(spec, recipe, Wish("cpu", threads=threads, recompute=recompute))
prepare(settings)
images, labels = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
images = images.to(memory_format=torch.channels_last)
before = host.resident()[0]
told = before + memory.need(spec, recipe, settings.precision, settings.recompute).total
step = Step(build(spec), recipe, settings)
step.net.train()
seconds = []
for _ in range(4):
    begin = time.perf_counter()
    step(images, labels, 0.01)
    seconds.append(time.perf_counter() - begin)
peak = host.resident()[1]
middle = sorted(seconds[1:])[1]
print(json.dumps({"told": told, "peak": peak, "before": before, "seconds": middle, "why": settings.why}))
"""


def measured(depth: int, batch: int, threads: int, recompute: str = "off") -> dict[str, float]:
    words = [sys.executable, "-c", ONE, str(depth), str(batch), str(threads), recompute]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    say(f"{depth} layers, batch {batch}, recompute {recompute}: {found}")
    return found


def rows(asked: Asked) -> Iterator[Row]:
    from reslab.nets.cost import cost
    from reslab.nets.names import spec_of

    rounds = 1 if asked.quick else min(asked.pairs, 5)
    macs = {depth: cost(spec_of(f"cifar_resnet{depth}")).macs for depth in DEPTHS}
    found = [{depth: measured(depth, BATCH, asked.threads) for depth in DEPTHS} for _ in range(rounds)]

    def on_the_line(of: dict[int, dict[str, float]], depth: int, key: str) -> float:
        low, high = DEPTHS[0], DEPTHS[-1]
        share = (macs[depth] - macs[low]) / (macs[high] - macs[low])
        return of[low][key] + share * (of[high][key] - of[low][key])

    for key, unit, scale in (("seconds", "ms an image", 1e3 / BATCH), ("peak", "MB", 1e-6)):
        for depth in DEPTHS[1:-1]:
            ours = tuple(scale * of[depth][key] for of in found)
            line = tuple(scale * on_the_line(of, depth, key) for of in found)
            yield Row(f"{depth} layers, {unit}", unit, ours, line, LINE, ("peer: the line through 20 and 110 layers",))
    batch = 8 if asked.quick else BATCH
    kept, again = list[dict[str, float]](), list[dict[str, float]]()
    for _ in range(rounds):
        kept.append(measured(DEEP, batch, asked.threads))
        again.append(measured(DEEP, batch, asked.threads, "on"))
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
