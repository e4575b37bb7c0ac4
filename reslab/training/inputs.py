"""Data and network brought together: the data cut as the recipe says, the network fitted to the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from reslab.data.order import batch_span, batches_per_epoch
from reslab.data.source import DataLike, source_of
from reslab.data.sources import load
from reslab.data.splits import Data, Files, hold_out
from reslab.engines import host
from reslab.errors import UserError
from reslab.nets.cost import cost
from reslab.nets.names import name_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.training.step import part_ends


def expected(model: Spec, source: DataLike) -> Spec | None:
    """Return `model` as `fit` will make it, before the data are read; None if only the data themselves say it."""
    shape = source_of(source).shape()
    if shape is None:
        return None
    classes, channels, size = shape
    return dataclasses.replace(model, classes=classes, in_channels=channels, image_size=size)


def load_data(
    source: DataLike,
    model: Spec,
    holdout: int = 0,
    *,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
    splits: Sequence[str] = ("train", "val", "test"),
    pair: str = "train",
    classes: Sequence[str] = (),
) -> Data:
    """Return the data of `source`, `holdout` training images held out; folders are read at the network's image size.

    pair, classes   as in `sources.load`
    """
    source = source_of(source)
    data = load(
        source, splits=splits, size=model.image_size if source.kind == "folder" else None, download=download,
        val_share=val_share, bad_images=bad_images, pair=pair, classes=classes,
    )  # fmt: skip
    return hold_out(data, holdout) if holdout and data.train is not None else data


def fit(model: Spec, data: Data, said: Mapping[str, Any]) -> Spec:
    """`model` with the data's classes, channels and size. Raises UserError where the user said other ones in `said`."""
    facts = {"classes": len(data.classes), "in_channels": data.channels, "image_size": data.size}
    for key, value in facts.items():
        if said.get(key) is not None and getattr(model, key) != value:
            raise UserError(
                f"{key}: {getattr(model, key)} asked for, but {data.name} has {value}; say {value} or leave it out"
            )
    fitted = dataclasses.replace(model, **facts)  # type: ignore[arg-type]
    plan(fitted)  # refuses an image too small for the net
    return fitted


def on_small_images(model: Spec, recipe: Recipe) -> Spec:
    """`model` as it runs before iteration `small_until`. Raises UserError where the recipe's `small_size` cannot be."""
    size = recipe.small_size
    if not recipe.small_until or not size:
        return model
    if model.family == "mlp":
        raise UserError(f"recipe: small_size = {size}: {name_of(model)} reads images of one size; set it to 0")
    if size >= model.image_size:
        raise UserError(f"recipe: small_size = {size} must be below the images' {model.image_size} pixels, or 0")
    small = dataclasses.replace(model, image_size=size)
    plan(small)  # refuses an image too small for the net
    return small


def check_optimizer(model: Spec, recipe: Recipe) -> None:
    """Raises UserError where the recipe's optimizer has nothing to turn in `model`."""
    if recipe.optimizer == "muon" and model.family == "mlp":
        raise UserError(f"recipe: optimizer = 'muon' turns convolutions, and {name_of(model)} has none; set it to sgd")


def check_batch_norm(model: Spec, recipe: Recipe, samples: int) -> None:
    """Raise UserError if an update gives a BN layer of 1x1 maps a single sample, which has no variance.

    samples   in the training split
    The message names the first such layer. A net that starts on smaller images (`small_size`) is checked on those: its
    maps are the smallest.
    """
    if _smallest_part(recipe, samples) > 1:
        return
    smallest = on_small_images(model, recipe)
    lone = next((row for row in plan(smallest) if row.kind == "bn" and row.size_out == 1), None)
    if lone:
        key = "bn_batch" if recipe.bn_batch else "batch"
        size = f" on images of {smallest.image_size} pixels" if smallest is not model else ""
        raise UserError(
            f"recipe: {key} = {getattr(recipe, key)}: {lone.name} of {name_of(model)} normalises 1x1 maps{size}, and "
            f"one sample has no variance; set {key} to 2 or more"
        )


def _smallest_part(recipe: Recipe, samples: int) -> int:
    """The fewest samples that BN sees at once: in a batch, in the last one of an epoch, and in their parts."""
    last = min(batches_per_epoch(recipe.batch, samples, recipe.last_batch), recipe.iterations) - 1
    counts = {batch_span(iteration, recipe.batch, samples, recipe.last_batch)[1] for iteration in (0, last)}
    return min(b - a for count in counts for a, b in pairwise([0, *part_ends(count, recipe.bn_batch)]))


def full_size_updates(model: Spec, recipe: Recipe, start: int = 0) -> float:
    """What the updates from `start` to the end cost, in updates on full images: smaller ones count by their MACs."""
    small = max(0, min(recipe.small_until, recipe.iterations) - start)
    saved = 1 - cost(on_small_images(model, recipe)).macs / cost(model).macs
    return recipe.iterations - start - small * saved


def iterations_per_epoch(recipe: Recipe, samples: int) -> float:
    """Updates of one pass over `samples` training images, by what the recipe does with the last batch of an epoch."""
    if recipe.last_batch == "fill":
        return samples / recipe.batch
    return float(batches_per_epoch(recipe.batch, samples, recipe.last_batch))


def workers_for(data: Data, wanted: int | None) -> int:
    """Processes that decode image files: `wanted`, or one a core; sets in memory need none."""
    if wanted is not None and wanted < 0:
        raise UserError(f"--workers: {wanted} must be at least 0")
    host.check_processes("--workers", wanted or 0)
    if not isinstance(data.train or data.test or data.val, Files):
        return 0
    return host.cores() if wanted is None else wanted
