"""Training on a CPU end to end, beside the plain fp32 loop that everybody writes and the floor of its convolutions.

`python -m benchmarks.train_cpu [--quick] [--pairs N] [--threads N] [--record]`.

Peer   torch `Dataset` of Pillow images as in `torchvision.datasets.CIFAR10`, `torchvision.transforms`, `DataLoader`
       at its best worker count (tried in the same run), fp32, NCHW, eager, `torch.optim.SGD`.
Ours   what `reslab.training.loop` does in an iteration: `TrainLoader.stream`, `Step`, `Sums.add`.
Both   the same images, network, initial weights, batch, learning rate and threads. Each piece begins with a few
       iterations that are not timed, so that neither caches nor the start of workers count.
Floor  the sum of the net's convolutions, each at the best of its own times with torch (forward and both backward
       passes, bf16, channels_last): an update that did nothing else would reach it, convolutions of our own may pass
       it.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.evidence import find_cifar10
from benchmarks.side import Asked, Bar, Row, in_turn, main, say, timed
from reslab.data.batches.loader import Batch, TrainLoader
from reslab.data.batches.loader import statistics as image_statistics
from reslab.data.sets.cifar import CLASSES
from reslab.data.sources import load
from reslab.data.splits import Memory
from reslab.engines import host
from reslab.engines.choose import ENGINES
from reslab.engines.machine import Settings, Wish, prepare, settle
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
IMAGES = 50_000  # as many as CIFAR-10's training split, so that memory and epochs are as large
WORKERS = (0, 1, 2)
LEAD = 4  # iterations at the beginning of each piece that are not timed
SEED = 0
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
END_TO_END, OF_FLOOR = Bar(least=3.0, aim=4.5), Bar(least=0.45, aim=0.65)


def images() -> tuple[Memory, str]:
    """50,000 images to measure speed with, and what they are."""
    source = find_cifar10()
    if source is not None:
        part = load(source, splits=("test",)).split("test")
        assert isinstance(part, Memory)
        told = f"CIFAR-10: the {len(part):,} images of the test split, repeated to {IMAGES:,} (for speed alone)"
        return part.subset(np.arange(IMAGES) % len(part)), told
    draw = np.random.default_rng(SEED)
    pixels = draw.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = draw.integers(0, len(CLASSES), IMAGES, dtype=np.int64)
    return Memory(pixels, labels), f"NOT CIFAR-10, which was not found: {IMAGES:,} random images of its shape"


def loader_of(split: Memory, device: str = "cpu") -> TrainLoader:
    """The batches of the paper's recipe, made on `device`."""
    recipe = paper_cifar()
    return TrainLoader(
        split, image_statistics(split, recipe.centre, recipe.scale), seed=SEED, batch=recipe.batch,
        augment=recipe.augment, pad=recipe.pad, last_batch=recipe.last_batch, device=device,
    )  # fmt: skip


def piece(batches: Iterator[Any], update: Callable[[Any], int], iterations: int) -> float:
    """Images a second over `iterations`, after LEAD untimed ones; `update` returns how many images it has used."""
    for _ in range(LEAD):
        update(next(batches))
    gc.collect()
    finish()
    begin = time.perf_counter()
    used = sum(update(next(batches)) for _ in range(iterations))
    finish()
    return used / (time.perf_counter() - begin)


def finish() -> None:
    """Wait for what a GPU, where there is one, was asked to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


# -- the peer


class PillowImages(Dataset[tuple[Tensor, int]]):
    """`torchvision.datasets.CIFAR10` without its files: a Pillow image is made of each sample, then transformed."""

    def __init__(self, split: Memory, transform: Callable[[Image.Image], Tensor]) -> None:
        self.data, self.targets, self.transform = split.images, split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = Image.fromarray(self.data[index]), self.targets[index]
        return self.transform(image), target


class Peer:
    """The plain loop: NCHW, eager, torchvision's transforms, torch's DataLoader at its best worker count; fp32, or
    autocast to bf16 on a GPU."""

    def __init__(
        self, model: str, split: Memory, threads: int, iterations: int, quick: bool, device: str = "cpu"
    ) -> None:
        recipe = paper_cifar()
        steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        augment = transforms.Compose([*steps, transforms.Normalize(MEANS, DEVIATIONS)])
        self.dataset, self.batch, self.threads = PillowImages(split, augment), recipe.batch, threads
        self.net, self.iterations = build(model, shortcut="A", seed=SEED).to(device), iterations
        self.device = device
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=1e-4)
        self.loss, self.correct, self.workers = 0.0, 0, 0
        workers = WORKERS if device == "cpu" else (4, 8, host.cores())
        tried: dict[int, list[float]] = {count: [] for count in workers}
        for self.workers in workers * (1 if quick else 5 if device == "cpu" else 2):
            tried[self.workers].append(self())
        medians = {count: statistics.median(rates) for count, rates in tried.items()}
        self.workers = max(medians, key=lambda count: medians[count])
        told = ", ".join(f"{count}: {found:,.0f}" for count, found in medians.items())
        how = "fp32" if device == "cpu" else "autocast bf16"
        self.note = f"peer: {how}, NCHW, eager, {self.workers} DataLoader workers, the best of images/s {told}"

    def _update(self, batch: list[Tensor]) -> int:
        pixels, labels = (one.to(self.device, non_blocking=True) for one in batch)
        self.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            outputs = self.net(pixels)
        loss = F.cross_entropy(outputs.float(), labels)
        loss.backward()
        self.optimizer.step()
        self.loss += loss.item() * len(labels)
        self.correct += int((outputs.argmax(1) == labels).sum().item())
        return len(labels)

    def __call__(self) -> float:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(False)  # what a plain loop has
        self.net.train()
        batches = iter(DataLoader(
            self.dataset, self.batch, shuffle=True, num_workers=self.workers, pin_memory=self.device != "cpu"
        ))  # fmt: skip
        try:
            return piece(batches, self._update, self.iterations)
        finally:
            del batches  # ends the workers, or they would run on beside the other side
            gc.collect()


# -- ours, and its floor


class Ours:
    """An iteration of `reslab.training.loop`, with settings that `machine.settle` chose."""

    def __init__(self, model: str, loader: TrainLoader, settings: Settings, iterations: int) -> None:
        self.loader, self.settings, self.iterations = loader, settings, iterations
        prepare(settings)
        self.step = Step(build(model, shortcut="A", seed=SEED), paper_cifar(), settings)
        self.logs, self.iteration = Sums.fresh(settings.device), 0
        self()  # builds what has to be built
        assert self.step.fallback is None, self.step.fallback

    def update(self, batch: Batch) -> int:
        """What the loop does with a batch."""
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
        """The step alone."""
        self.step(batch.images, batch.labels, 0.01)
        return len(batch.labels)


class Floor:
    """Images a second if an update were nothing but its convolutions, each at the best of all its times so far."""

    def __init__(self, model: str, batch: int, threads: int) -> None:
        rows = [row for row in plan(spec_of(model)) if row.kind == "conv"]
        first = rows[0]
        shapes = [replace(row, name="", part="", block="", path="", line="", zero=False) for row in rows]
        self.counts, self.batch, self.threads = Counter(shapes), batch, threads
        self.first = replace(first, name="", part="", block="", path="", line="", zero=False)
        self.best: dict[tuple[PlanRow, int], float] = {}
        self()  # a minimum of few is no floor
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
    """Forward, the weights' gradient and (`to_images`; of the first layer nobody wants it) the input's, to be timed."""
    x = torch.randn(batch, row.c_in, row.size_in, row.size_in).bfloat16().to(memory_format=torch.channels_last)
    w = torch.randn(row.c_out, row.c_in, row.kernel, row.kernel).bfloat16().to(memory_format=torch.channels_last)
    stride, padding = [row.stride] * 2, [row.padding] * 2
    forward = partial(F.conv2d, x, w, None, stride, padding)
    back = partial(
        torch.ops.aten.convolution_backward, torch.randn_like(forward()), x, w, None, stride, padding, [1, 1], False,
        [0, 0], 1,
    )  # fmt: skip
    return [forward, partial(back, [False, True, False]), *([partial(back, [True, False, False])] if to_images else [])]


def rows(asked: Asked) -> Iterator[Row]:
    split, what = images()
    recipe = paper_cifar()
    loader = loader_of(split)
    say(f"data: {what}")
    for model in MODELS:
        iterations = 4 if asked.quick else 30 if model == MODELS[0] else 12
        spec = spec_of(model, shortcut="A")
        auto = settle(spec, recipe, Wish("cpu", threads=asked.threads))
        peer = Peer(model, split, auto.threads, iterations, asked.quick)
        told = ("end to end: order, augmentation, forward, backward, update", peer.note, what)
        ours = Ours(model, loader, auto, iterations)
        yield in_turn(f"train {model}", "images/s", ours, peer, asked, END_TO_END, (f"ours: {auto.why}", *told))
        floor = Floor(model, recipe.batch, auto.threads)
        of_floor = ("peer: the floor of its convolutions with torch, bf16, channels_last",)
        yield in_turn(f"{model}, share of the convolutions' floor", "images/s", ours, floor, asked, OF_FLOOR, of_floor)
        for settings in others(spec, auto, asked.threads) if model == MODELS[0] else ():
            other = Ours(model, loader, settings, iterations)
            name = f"{model}, against our own {settings.precision}, {settings.engine}"
            yield in_turn(name, "images/s", ours, other, asked, Bar(), (f"peer: {settings.why}",))


def others(spec: Spec, auto: Settings, threads: int) -> Iterator[Settings]:
    """What `auto` has not taken: every other engine that this machine has, and fp32."""
    for wish in [
        *(Wish("cpu", engine=name, threads=threads) for name in ENGINES),
        Wish("cpu", "fp32", threads=threads),
    ]:
        with suppress(UserError):  # this machine has it not
            found = settle(spec, paper_cifar(), wish)
            if (found.engine, found.precision) != (auto.engine, auto.precision):
                yield found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        sys.exit(main("train_cpu", "Training on a CPU, batch 128, option A", rows))
