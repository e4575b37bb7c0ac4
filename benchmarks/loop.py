"""The training loop's own cost: its iterations against the bare step on one batch in memory.

`python -m benchmarks.loop [--quick] [--pairs N] [--threads N] [--record]`. What the loop adds to a step is the order,
the crop, the mirror and the statistics of each batch, and the sums of loss and error. Pieces are short and pairs many,
as 97 and 99 % are less apart than two pieces in a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.side import Asked, Bar, Row, in_turn, main, say
from benchmarks.train_cpu import MODELS, Ours, images, loader_of
from reslab.nets.names import spec_of
from reslab.training.machine import Wish, settle
from reslab.training.recipes import paper_cifar

OF_STEP = Bar(least=0.97, aim=0.99)
MORE = 4  # times as many pairs as asked


def rows(asked: Asked) -> Iterator[Row]:
    split, what = images()
    loader = loader_of(split)
    say(f"data: {what}")
    for model in MODELS:
        iterations = 4 if asked.quick else 20 if model == MODELS[0] else 8
        settings = settle(spec_of(model, shortcut="A"), paper_cifar(), Wish("cpu", threads=asked.threads))
        ours = Ours(model, loader, settings, iterations)
        ours.bare()
        many = asked if asked.quick else replace(asked, pairs=MORE * asked.pairs)
        told = (f"ours: {settings.why}", "peer: the bare step on one batch in memory", what)
        yield in_turn(f"{model}, the loop by the bare step", "images/s", ours, ours.bare, many, OF_STEP, told)


if __name__ == "__main__":
    sys.exit(main("loop", "What the training loop costs, batch 128, option A", rows))
