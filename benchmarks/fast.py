"""The length of a fast recipe to the paper's error, from the records of `results/fast-cifar`. Trains nothing.

`python -m benchmarks.fast [--record]`. `python -m benchmarks.evidence fast-cifar` makes the records.

Peer   the paper: 64,000 iterations of 128 images, 8.75 % (§4.2, Table 6).
Ours   forward-and-backward passes of full-size images (smaller ones count by their multiply-adds) if the mean test
       error over the seeds is at most 8.75 % (final weights, one view), else infinite.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterator

from benchmarks.evidence import RESULTS
from benchmarks.side import Bar, BenchmarkOptions, Row, main, say
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.recipe import Recipe
from reslab.runs.recipes import paper_cifar
from reslab.training.checks import full_size_updates

PART, MODEL, ERROR = "fast-cifar", "cifar_resnet20", 8.75
SEEDS = 3  # the least number of runs for a mean
LENGTH = Bar(most=1 / 6, aim=1 / 12)


def passes(recipe: Recipe) -> float:
    """Return the number of full-size images in the updates of a run of `recipe`."""
    return recipe.batch * full_size_updates(spec_of(MODEL), recipe)


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    runs = sorted(path.parent for path in (RESULTS / PART).glob(f"*/{runlog.EXACT}"))
    if not runs:
        say(f"{RESULTS / PART}: no records; python -m benchmarks.evidence {PART} makes them")
        return
    lengths = [passes(Recipe.from_dict(runlog.read(run).run["recipe"])) for run in runs]
    errors = [json.loads((run / runlog.EXACT).read_text(encoding="utf-8"))["test"]["top1_error"] for run in runs]
    is_reached = len(runs) >= SEEDS and statistics.mean(errors) <= ERROR
    errors_note = (
        f"test error {', '.join(f'{e:.2f}' for e in errors)} %, mean {statistics.mean(errors):.2f} %, n = {len(runs)}"
    )
    ours = tuple(length if is_reached else math.inf for length in lengths)
    peer = (passes(paper_cifar()),) * len(runs)
    yield Row(
        f"{PART} to {ERROR} % test error, {MODEL}", "passes", ours, peer, LENGTH, (errors_note, "peer: the paper")
    )


if __name__ == "__main__":
    sys.exit(main("fast", "Length of a fast recipe", rows))
