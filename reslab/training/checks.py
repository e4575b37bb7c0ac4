"""Check that a recipe fits its network, its data and the run that it continues, and count its updates and epochs."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import torch

from reslab.data.order import batch_span, batches_per_epoch
from reslab.data.splits import Data
from reslab.engines.shares import part_ends
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.cost import cost
from reslab.nets.names import name_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.runs.extension import extension_words
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Record


def on_small_images(model: Spec, recipe: Recipe) -> Spec:
    """Return `model` as it runs before iteration `small_until`. Raises UserError if `small_size` does not fit it."""
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


def class_weights(data: Data) -> torch.Tensor:
    """Return the inverse frequency of each class in the training split, float32 [classes]; 1 on average over images."""
    counts = np.bincount(data.split("train").labels, minlength=len(data.classes))
    present = int((counts > 0).sum())
    return torch.tensor(counts.sum() / (present * np.maximum(counts, 1)), dtype=torch.float32)


def check_patience(recipe: Recipe, data: Data) -> None:
    """Raise UserError if the recipe stops by the scores of val and there is no val split."""
    if recipe.patience and data.val is None:
        how = (
            "--val-share 0.1" if data.kind == "folder" else "--set holdout=N" if data.kind == "set" else "a pair 'val'"
        )
        raise UserError(f"recipe: patience = {recipe.patience}: {data.name} has no val to stop by; {how} makes one")


def check_optimizer(model: Spec, recipe: Recipe) -> None:
    """Raise UserError if the recipe's optimizer is Muon and `model` has no convolutions."""
    if recipe.optimizer == "muon" and model.family == "mlp":
        raise UserError(f"recipe: optimizer = 'muon' turns convolutions, and {name_of(model)} has none; set it to sgd")


def check_batch_norm(model: Spec, recipe: Recipe, samples: int) -> None:
    """Raise UserError if an update gives a BN layer of 1x1 maps a single sample, which has no variance.

    samples   in the training split
    The message names the first such layer. A net that starts on small images (`small_size`) is checked with those,
    because its maps are smallest then.
    """
    if _smallest_part(recipe, samples) > 1:
        return
    smallest = on_small_images(model, recipe)
    layer = next((row for row in plan(smallest) if row.kind == "bn" and row.size_out == 1), None)
    if layer:
        key = "bn_batch" if recipe.bn_batch else "batch"
        size = f" on images of {smallest.image_size} pixels" if smallest is not model else ""
        raise UserError(
            f"recipe: {key} = {getattr(recipe, key)}: {layer.name} of {name_of(model)} normalises 1x1 maps{size}, and "
            f"one sample has no variance; set {key} to 2 or more"
        )


def _smallest_part(recipe: Recipe, samples: int) -> int:
    """Return the fewest samples that BN sees at once: of the first and the last batch of an epoch, in their parts."""
    last = min(batches_per_epoch(recipe.batch, samples, recipe.last_batch), recipe.iterations) - 1
    counts = {batch_span(iteration, recipe.batch, samples, recipe.last_batch)[1] for iteration in (0, last)}
    return min(b - a for count in counts for a, b in pairwise([0, *part_ends(count, recipe.bn_batch)]))


def full_size_updates(model: Spec, recipe: Recipe, start: int = 0) -> float:
    """Return the cost of the updates from `start` to the end, in updates on full images; small ones by their MACs."""
    small = max(0, min(recipe.small_until, recipe.iterations) - start)
    saved = 1 - cost(on_small_images(model, recipe)).macs / cost(model).macs
    return recipe.iterations - start - small * saved


def iterations_per_epoch(recipe: Recipe, samples: int) -> float:
    """Return the updates in one pass over `samples` training images, by the recipe's `last_batch`."""
    if recipe.last_batch == "fill":
        return samples / recipe.batch
    return float(batches_per_epoch(recipe.batch, samples, recipe.last_batch))


def check_extension(record: Record, extend: int | None) -> None:
    """Raise UserError if the run cannot be continued to `extend` iterations; None does not continue an extended run."""
    out, ends, is_extended = record.folder, record.ends, len(record.ends) > 1
    if extend is None:
        if is_extended:
            raise UserError(
                f"--out {out}: its run is {extension_words(ends)}; give --extend {ends[-1]} to go on with it, or "
                "another folder"
            )
        return
    if is_extended and extend == ends[-1]:
        return
    if not record.finished:
        remedy = (
            f"--extend {ends[-1]} goes on with it" if is_extended else "without --extend the same command resumes it"
        )
        raise UserError(f"--extend {extend}: the run in {out} has not reached iteration {ends[-1]:,}; {remedy}")
    if record.ended is not None and record.ended < ends[-1]:
        raise UserError(
            f"--extend {extend}: the run in {out} stopped at iteration {record.ended:,}, as val had not improved; "
            f"begin a new run with --init-from {out}"
        )
    if extend <= ends[-1]:
        raise UserError(f"--extend {extend}: the run in {out} has {ends[-1]:,} iterations already; give more")
    if (schedule := record.run["recipe"].get("schedule", "steps")) != "steps":
        raise UserError(
            f"--extend {extend}: the rate of a {schedule} schedule ends at 0, so more iterations would change nothing; "
            f"begin a new run with --init-from {out}"
        )
    if not checkpoints.folders(out):
        raise UserError(f"--extend {extend}: {out} has no checkpoint to go on from; put a copy of it back")
