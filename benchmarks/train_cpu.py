"""Training on a CPU end to end, against a plain fp32 loop and against the floor of its convolutions.

`python -m benchmarks.train_cpu [--quick] [--pairs N] [--threads N] [--record]`.

Peer   torch `Dataset` of Pillow images as in `torchvision.datasets.CIFAR10`, `torchvision.transforms`, `DataLoader`
       at its best worker count (tried in the same run), fp32, NCHW, eager, `torch.optim.SGD`.
Ours   an iteration of `reslab.training.loop`: `TrainLoader.stream`, `Step`, `Sums.add`.
Both   the same images, network, initial weights, batch, learning rate and threads. Each piece begins with a few
       untimed iterations, so that caches and the start of workers do not count.
Floor  the sum of the net's convolutions, each at the best of its own times with torch (forward and both backward
      passes, bf16, channels_last): the time of an update that did nothing else; reslab's own convolutions can be
       faster.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.plain_loop import LEAD, SEED, Peer, images, loader_of, piece
from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say, timed
from reslab.data.batches.loader import Batch
from reslab.data.batches.training import TrainLoader
from reslab.engines.choose import ENGINES
from reslab.engines.machine import ComputeOptions, Settings, prepare, settle
from reslab.errors import UserError
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.row import Row as PlanRow
from reslab.nets.spec import Spec
from reslab.runs.recipes import paper_cifar
from reslab.runs.schedule import rate
from reslab.training.progress import Sums
from reslab.training.step import Step

MODELS = ("cifar_resnet20", "cifar_resnet56")
END_TO_END, OF_FLOOR = Bar(least=3.0, aim=4.5), Bar(least=0.45, aim=0.65)


class Ours:
    """An iteration of `reslab.training.loop`, with settings from `machine.settle`."""

    def __init__(self, model: str, loader: TrainLoader, settings: Settings, iterations: int) -> None:
        self.loader, self.settings, self.iterations = loader, settings, iterations
        prepare(settings)
        self.step = Step(build(model, shortcut="A", seed=SEED), paper_cifar(), settings)
        self.logs, self.iteration = Sums.fresh(settings.device), 0
        self()  # the first call builds kernels
        assert self.step.fallback is None, self.step.fallback

    def update(self, batch: Batch) -> int:
        """Do what the loop does with a batch; return its number of images."""
        pixels = batch.images.to(self.settings.device, non_blocking=True)
        labels = batch.labels.to(self.settings.device, non_blocking=True)
        if not self.step.net.training:
            self.step.net.train()
        loss, wrong = self.step(pixels, labels, rate(paper_cifar(), self.iteration))
        self.logs.add(loss, wrong, len(labels))
        self.iteration += 1
        return len(labels)

    def __call__(self) -> float:
        prepare(self.settings)
        return piece(
            self.loader.stream(self.iteration, self.iteration + LEAD + self.iterations), self.update, self.iterations
        )

    def bare(self, batch: Batch) -> int:
        """Do the step alone; return the number of images."""
        self.step(batch.images, batch.labels, 0.01)
        return len(batch.labels)


class Floor:
    """Images per second of an update that is only its convolutions, each at the best of its times so far."""

    def __init__(self, model: str, batch: int, threads: int) -> None:
        rows = [row for row in plan(spec_of(model)) if row.kind == "conv"]
        first = rows[0]
        shapes = [replace(row, name="", part="", block="", path="", line="", zero=False) for row in rows]
        self.counts, self.batch, self.threads = Counter(shapes), batch, threads
        self.first = replace(first, name="", part="", block="", path="", line="", zero=False)
        self.best: dict[tuple[PlanRow, int], float] = {}
        self()  # more times, for a reliable minimum
        self()

    def __call__(self) -> float:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(False)
        for row in self.counts:
            for number, work in enumerate(passes(row, self.batch, row != self.first)):
                now = min(timed(work) for _ in range(8))
                self.best[row, number] = min(now, self.best.get((row, number), now))
        return self.batch / sum(self.counts[row] * seconds for (row, _), seconds in self.best.items())


def passes(row: PlanRow, batch: int, to_images: bool) -> list[Callable[[], object]]:
    """Return the passes to time: forward, the weights' gradient and (if `to_images`: not in layer 1) the input's."""
    x = torch.randn(batch, row.c_in, row.size_in, row.size_in).bfloat16().to(memory_format=torch.channels_last)
    w = torch.randn(row.c_out, row.c_in, row.kernel, row.kernel).bfloat16().to(memory_format=torch.channels_last)
    stride, padding = [row.stride] * 2, [row.padding] * 2
    forward = partial(F.conv2d, x, w, None, stride, padding)
    back = partial(
        torch.ops.aten.convolution_backward, torch.randn_like(forward()), x, w, None, stride, padding, [1, 1], False,
        [0, 0], 1,
    )  # fmt: skip
    return [forward, partial(back, [False, True, False]), *([partial(back, [True, False, False])] if to_images else [])]


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    split, description = images()
    recipe = paper_cifar()
    loader = loader_of(split)
    say(f"data: {description}")
    for model in MODELS:
        iterations = 4 if options.quick else 30 if model == MODELS[0] else 12
        spec = spec_of(model, shortcut="A")
        auto = settle(spec, recipe, ComputeOptions("cpu", threads=options.threads))
        peer = Peer(model, split, auto.threads, iterations, options.quick)
        notes = ("end to end: order, augmentation, forward, backward, update", peer.note, description)
        ours = Ours(model, loader, auto, iterations)
        yield in_turn(f"train {model}", "images/s", ours, peer, options, END_TO_END, (f"ours: {auto.why}", *notes))
        floor = Floor(model, recipe.batch, auto.threads)
        floor_notes = ("peer: the floor of its convolutions with torch, bf16, channels_last",)
        yield in_turn(
            f"{model}, share of the convolutions' floor", "images/s", ours, floor, options, OF_FLOOR, floor_notes
        )
        for settings in others(spec, auto, options.threads) if model == MODELS[0] else ():
            other = Ours(model, loader, settings, iterations)
            name = f"{model}, against our own {settings.precision}, {settings.engine}"
            yield in_turn(name, "images/s", ours, other, options, Bar(), (f"peer: {settings.why}",))


def others(spec: Spec, auto: Settings, threads: int) -> Iterator[Settings]:
    """Yield the settings that `auto` did not choose: every other engine of this machine, and fp32."""
    for options in [
        *(ComputeOptions("cpu", engine=name, threads=threads) for name in ENGINES),
        ComputeOptions("cpu", "fp32", threads=threads),
    ]:
        with suppress(UserError):  # not available on this machine
            settings = settle(spec, paper_cifar(), options)
            if (settings.engine, settings.precision) != (auto.engine, auto.precision):
                yield settings


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        sys.exit(main("train_cpu", "Training on a CPU, batch 128, option A", rows))
