"""The peer: a plain training loop; and the images on which both sides are timed.

torch `Dataset` of Pillow images as in `torchvision.datasets.CIFAR10`, `torchvision.transforms`, `DataLoader` at its
best worker count (tried in the same run), NCHW, eager, `torch.optim.SGD`; fp32, or autocast to bf16 on a GPU.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.evidence import find_cifar10
from reslab.data.batches.loader import statistics as image_statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.sets.cifar import CLASSES
from reslab.data.sources import load
from reslab.data.splits import Memory
from reslab.engines import host
from reslab.engines.ranks import ALONE, Ranks
from reslab.nets.model import build
from reslab.runs.recipes import paper_cifar

IMAGES = 50_000  # as many as CIFAR-10's training split, so that memory and epochs are as large
WORKERS = (0, 1, 2)
LEAD = 4  # untimed iterations at the start of each piece
SEED = 0
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def images() -> tuple[Memory, str]:
    """Return 50,000 images for timing, and their description."""
    source = find_cifar10()
    if source is not None:
        part = load(source, splits=("test",)).split("test")
        assert isinstance(part, Memory)
        description = f"CIFAR-10: the {len(part):,} images of the test split, repeated to {IMAGES:,} (for speed alone)"
        return part.subset(np.arange(IMAGES) % len(part)), description
    generator = np.random.default_rng(SEED)
    pixels = generator.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, len(CLASSES), IMAGES, dtype=np.int64)
    return Memory(pixels, labels), f"NOT CIFAR-10, which was not found: {IMAGES:,} random images of its shape"


def loader_of(split: Memory, device: str = "cpu", ranks: Ranks = ALONE, share: int = 128) -> TrainLoader:
    """Return the loader of the paper's recipe, with batches on `device`; `share`: images of each rank."""
    recipe = paper_cifar()
    return TrainLoader(
        split, image_statistics(split, recipe.centre, recipe.scale), seed=SEED, batch=share * ranks.count,
        augment=recipe.augment, pad=recipe.pad, last_batch=recipe.last_batch, device=device,
        share=None if ranks.is_alone else ranks.share,
    )  # fmt: skip


def piece(batches: Iterator[Any], update: Callable[[Any], int], iterations: int) -> float:
    """Return images per second over `iterations`, after LEAD untimed ones; `update` returns its number of images."""
    for _ in range(LEAD):
        update(next(batches))
    gc.collect()
    finish()
    begin = time.perf_counter()
    used = sum(update(next(batches)) for _ in range(iterations))
    finish()
    return used / (time.perf_counter() - begin)


def finish() -> None:
    """Wait for the GPU, if one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


class PillowImages(Dataset[tuple[Tensor, int]]):
    """`torchvision.datasets.CIFAR10` without its files: each sample becomes a Pillow image, then is transformed."""

    def __init__(self, split: Memory, transform: Callable[[Image.Image], Tensor]) -> None:
        self.data, self.targets, self.transform = split.images, split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = Image.fromarray(self.data[index]), self.targets[index]
        return self.transform(image), target


class PlainLoop:
    """A net, its data set and the update of a plain loop; in fp32, or with autocast to bf16 on a GPU."""

    def __init__(self, net: nn.Module, split: Memory, device: str = "cpu") -> None:
        recipe = paper_cifar()
        steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        augment = transforms.Compose([*steps, transforms.Normalize(MEANS, DEVIATIONS)])
        self.dataset, self.net, self.device = PillowImages(split, augment), net, device
        self.optimizer = torch.optim.SGD(net.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=1e-4)
        self.loss, self.correct = 0.0, 0

    def update(self, batch: list[Tensor]) -> int:
        pixels, labels = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        self.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            outputs = self.net(pixels)
        loss = F.cross_entropy(outputs.float(), labels)
        loss.backward()
        self.optimizer.step()
        self.loss += loss.item() * len(labels)
        self.correct += int((outputs.argmax(1) == labels).sum().item())
        return len(labels)


class Peer(PlainLoop):
    """The plain loop: NCHW, eager, torchvision's transforms, torch's DataLoader at its best worker count.

    In fp32, or with autocast to bf16 on a GPU.
    """

    def __init__(
        self, model: str, split: Memory, threads: int, iterations: int, quick: bool, device: str = "cpu"
    ) -> None:
        super().__init__(build(model, shortcut="A", seed=SEED).to(device), split, device)
        self.batch, self.threads, self.iterations = paper_cifar().batch, threads, iterations
        self.workers = 0
        workers = WORKERS if device == "cpu" else (4, 8, host.cores())
        tried: dict[int, list[float]] = {count: [] for count in workers}
        for self.workers in workers * (1 if quick else 5 if device == "cpu" else 2):
            tried[self.workers].append(self())
        medians = {count: statistics.median(rates) for count, rates in tried.items()}
        self.workers = max(medians, key=lambda count: medians[count])
        rates = ", ".join(f"{count}: {median:,.0f}" for count, median in medians.items())
        precision = "fp32" if device == "cpu" else "autocast bf16"
        self.note = f"peer: {precision}, NCHW, eager, {self.workers} DataLoader workers, the best of images/s {rates}"

    def __call__(self) -> float:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(False)  # torch's default, as in a plain loop
        self.net.train()
        batches = iter(DataLoader(
            self.dataset, self.batch, shuffle=True, num_workers=self.workers, pin_memory=self.device != "cpu"
        ))  # fmt: skip
        try:
            return piece(batches, self.update, self.iterations)
        finally:
            del batches  # ends the workers, which would otherwise slow the other side
            gc.collect()
