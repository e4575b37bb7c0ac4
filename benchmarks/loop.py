"""The training loop's overhead: its iterations against the bare step on one batch in memory.

`python -m benchmarks.loop [--quick] [--pairs N] [--threads N] [--record]`. The loop adds to a step the order,
the crop, the mirror and the normalisation of each batch, and the sums of loss and error. Within a pair the sides
alternate update by update, because the speed of a shared machine changes by more than the difference of 97 and 99 %.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.plain_loop import LEAD, images, loader_of
from benchmarks.side import Bar, BenchmarkOptions, Row, main, pair_by_pair, say
from benchmarks.train_cpu import MODELS, Ours
from reslab.engines.machine import ComputeOptions, prepare, settle
from reslab.nets.names import spec_of
from reslab.runs.recipes import paper_cifar

OF_STEP = Bar(least=0.97, aim=0.99)


def pair(ours: Ours) -> tuple[float, float]:
    """Return images per second of the loop's iterations and of bare steps; they alternate, and so does the order."""
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


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    split, description = images()
    loader = loader_of(split)
    say(f"data: {description}")
    for model in MODELS:
        settings = settle(spec_of(model, shortcut="A"), paper_cifar(), ComputeOptions("cpu", threads=options.threads))
        ours = Ours(model, loader, settings, 4 if options.quick else 60 if model == MODELS[0] else 24)
        notes = (f"ours: {settings.why}", "peer: the bare step on one batch in memory", description)
        yield pair_by_pair(
            f"{model}, the loop by the bare step", "images/s", partial(pair, ours), options, OF_STEP, notes
        )


if __name__ == "__main__":
    sys.exit(main("loop", "What the training loop costs, batch 128, option A", rows))
