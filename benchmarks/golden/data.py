"""Rows on data: orders and draws, splits, statistics, augmented batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.golden.collection import Collection, images
from benchmarks.golden.values import Entries, of_array

SEEDS, SIZES, EPOCHS = (0, 7), (1_297, 50_000, 200_001), range(3)  # beyond 131,072 an order is made place by place
STREAMS = ("order", "crop-y", "flip", "side")


def orders(collection: Collection) -> Entries:
    """Return orders, spans and draws of three epochs for two seeds and three sizes."""
    layout, entries = collection.layout, Entries()
    for seed in SEEDS:
        for n in SIZES[:2] if collection.quick else SIZES:
            for epoch in EPOCHS:
                entries[f"s{seed}/n{n}/epoch {epoch}"] = of_array(layout.order(seed, epoch, n))
            for last in ("fill", "keep", "drop"):
                steps = [0, 1, n // 128 - 1, n // 128, n // 128 + 1, 2 * (n // 128)]
                spans = [part for step in steps for part in layout.positions(seed, step, 128, n, last)]
                entries[f"s{seed}/n{n}/{last}"] = of_array(np.concatenate(spans))
        epochs, indices = np.repeat(np.arange(3), 1_297), np.tile(np.arange(1_297), 3)
        for stream in STREAMS:
            drawn = layout.draws(seed, stream, epochs, indices)
            entries |= {f"s{seed}/draws/{stream}/{kind}": of_array(value) for kind, value in drawn.items()}
        for flip in ("random", "alternating"):
            drawn = layout.crops(seed, epochs, indices, flip)
            entries |= {f"s{seed}/augmentation/{flip}/{kind}": of_array(value) for kind, value in drawn.items()}
    return entries


# name → (recipe, changes of it, seed, iterations)
MEMORY: dict[str, tuple[str, dict[str, Any], int, tuple[int, int]]] = {
    "as recorded": ("digits", {}, 0, (0, 45)),
    "another seed": ("digits", {}, 7, (18, 23)),
    "flips": ("digits", {"augment": "crop-flip", "flip": "alternating"}, 0, (0, 45)),
    "not augmented": ("digits", {"augment": "none"}, 0, (18, 23)),
    "keep": ("digits", {"last_batch": "keep"}, 0, (18, 23)),
    "drop": ("digits", {"last_batch": "drop"}, 0, (18, 23)),
    "small": ("digits", {"small_size": 6, "small_until": 3}, 0, (0, 5)),
    "channels": ("digits", {"centre": "channel", "scale": "channel-std"}, 0, (0, 3)),
    "held out": ("digits", {"holdout": 97}, 0, (0, 3)),
}
CIFAR: dict[str, tuple[str, dict[str, Any], int, tuple[int, int]]] = {
    "paper": ("paper-cifar", {}, 0, (388, 393)),
    "fast": ("fast-cifar", {}, 3, (6_498, 6_502)),
    "held out": ("fast-cifar", {"holdout": 5_000}, 0, (350, 353)),
}
FOLDER: dict[str, tuple[str, dict[str, Any], int, tuple[int, int]]] = {
    "crop-flip": ("paper-cifar", {"batch": 8}, 0, (0, 12)),
    "crop": ("paper-cifar", {"batch": 8, "augment": "crop", "last_batch": "keep"}, 7, (0, 12)),
    "none": ("paper-cifar", {"batch": 8, "augment": "none"}, 0, (0, 6)),
}
STATISTICS = (("pixel", "std"), ("channel", "std"), ("channel", "channel-std"), ("pixel", "255"), ("channel", "none"))


def batches(collection: Collection) -> Entries:
    """Return splits, statistics and batches of digits, of a folder of pictures, and of CIFAR-10 if it is there."""
    entries = _batches(collection, "digits", "digits", MEMORY, (0,))
    entries |= _batches(collection, "folder", str(images()), FOLDER, (0,) if collection.quick else (0, 2))
    if not collection.quick and collection.has_cifar("batches"):
        entries |= _batches(collection, "cifar10", f"cifar10:{collection.cifar}", CIFAR, (0,))
    return entries


def _batches(
    collection: Collection, name: str, source: str, cases: dict[str, Any], workers: tuple[int, ...]
) -> Entries:
    layout, entries, loaded = collection.layout, Entries(), dict[int, Any]()
    for case, (name_of_recipe, values, seed, span) in cases.items():
        recipe = layout.recipe(name_of_recipe, values)
        if recipe.holdout not in loaded:
            loaded[recipe.holdout] = layout.data(source, "cifar_resnet8", recipe)
        data = loaded[recipe.holdout]
        entries[f"{name}/{case}/fingerprint"] = data.fingerprint
        if case in ("held out", next(iter(cases))):
            entries |= {f"{name}/{case}/{part}": of_array(value) for part, value in layout.splits(data).items()}
        if case == next(iter(cases)):
            for centre, scale in STATISTICS:
                statistics = layout.statistics(data, centre, scale)
                entries |= {f"{name}/statistics/{centre}, {scale}/{k}": of_array(v) for k, v in statistics.items()}
            split = "test" if data.test is not None else "val"
            for number, batch in enumerate(layout.evaluation_batches(data, split, 500, 0)):
                entries |= _parts(f"{name}/evaluation/{number}", batch)
        for count in workers:
            for number, batch in enumerate(layout.batches(data, recipe, seed, range(*span), count), span[0]):
                entries |= _parts(f"{name}/{case}/{count} workers/{number:05}", batch)
    return entries


def _parts(name: str, batch: Any) -> Entries:
    return {f"{name}/{part}": of_array(getattr(batch, part)) for part in ("images", "labels", "indices")}
