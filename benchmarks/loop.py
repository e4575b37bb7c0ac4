"""The training loop's own cost: its iterations against the bare step on one batch in memory.

`python -m benchmarks.loop [--quick] [--pairs N] [--threads N] [--record]`. What the loop adds to a step is the order,
the crop, the mirror and the statistics of each batch, and the sums of loss and error. Within a pair the sides take
turns update by update: 97 and 99 % are less apart than two seconds of a machine that has neighbours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.plain_loop import LEAD, images, loader_of
from benchmarks.side import Asked, Bar, Row, main, pair_by_pair, say
from benchmarks.train_cpu import MODELS, Ours
from reslab.engines.machine import ComputeOptions, prepare, settle
from reslab.nets.names import spec_of
from reslab.runs.recipes import paper_cifar

OF_STEP = Bar(least=0.97, aim=0.99)


def pair(ours: Ours) -> tuple[float, float]:
    """Images a second of the loop's iterations and of bare steps, one of each in turn, and who is first alternates."""
    prepare(ours.settings)
    stream = ours.loader.stream(ours.iteration, ours.iteration + LEAD + ours.iterations)
    resident = ours.loader.at(0)
    sides = (lambda: ours.update(next(stream)), lambda: ours.bare(resident))
    spent, used = [0.0, 0.0], [0, 0]
    for number in range(LEAD + ours.iterations):
        for side in (0, 1) if number % 2 else (1, 0):
            begin = time.perf_counter()
            count = sides[side]()
            if number >= LEAD:
                spent[side] += time.perf_counter() - begin
                used[side] += count
    return used[0] / spent[0], used[1] / spent[1]


def rows(asked: Asked) -> Iterator[Row]:
    split, what = images()
    loader = loader_of(split)
    say(f"data: {what}")
    for model in MODELS:
        settings = settle(spec_of(model, shortcut="A"), paper_cifar(), ComputeOptions("cpu", threads=asked.threads))
        ours = Ours(model, loader, settings, 4 if asked.quick else 60 if model == MODELS[0] else 24)
        told = (f"ours: {settings.why}", "peer: the bare step on one batch in memory", what)
        yield pair_by_pair(f"{model}, the loop by the bare step", "images/s", partial(pair, ours), asked, OF_STEP, told)


if __name__ == "__main__":
    sys.exit(main("loop", "What the training loop costs, batch 128, option A", rows))
