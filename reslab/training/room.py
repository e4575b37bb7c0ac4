"""Refuse what cannot fit into memory, before anything is computed, and name a batch that fits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch

from reslab.engines import host, memory
from reslab.engines.machine import AUTO, ROOM, Settings, Wish, resolve_device, settle
from reslab.errors import UserError
from reslab.measure.probe import GRADIENT_BATCH
from reslab.nets.cost import cost
from reslab.nets.names import name_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import RUN

# A run that fits must not be refused, so what it needs at least is compared. On the CPU that is predicted within 6 %.
# Compiled updates keep less than torch's own, and what a GPU or an evaluation frees on the way was not measured: these
# are refused only if there is no doubt.
MEASURED, ROUGH = 1.1, 2.0


def free_bytes(device: str) -> int | None:
    """Return the bytes that can be had on `device`, swap space included; None if unknown."""
    if not device.startswith("cuda"):
        return host.available(swap=True)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def settings_of(folder: Path, spec: Spec, recipe: Recipe, wish: Wish) -> Settings | None:
    """Return the settings that a run in `folder` computes with: those it began with, or those it will begin with.

    None if there is nothing to compute, or nothing to read it from, which `job.enter` refuses with the reason.
    """
    if not os.path.exists(folder / RUN):  # unlike Path.exists, says no where it may not look
        return settle(spec, recipe, wish)
    try:
        record = runlog.read(folder)
        settings = Settings.from_dict(record.run["settings"])
        resolve_device(settings.device)
        finished = record.finished
    except (UserError, TypeError, KeyError):
        return None
    if finished:
        return None
    return settings if wish.recompute == AUTO else replace(settings, recompute=wish.recompute == "on")


def check_run(folder: Path, spec: Spec, recipe: Recipe, wish: Wish, samples: int | None = None) -> None:
    """Raise UserError if the updates of a run in `folder` cannot fit; see `check_update`."""
    settings = settings_of(folder, spec, recipe, wish)
    if settings is not None:
        check_update(spec, recipe, settings, samples)


def check_update(spec: Spec, recipe: Recipe, settings: Settings, samples: int | None = None) -> None:
    """Raise UserError if one update of `recipe` cannot fit, with the largest batch that does.

    samples   in the training split, which bound a batch if the last one is kept short; None: unknown
    """
    free = free_bytes(settings.device)
    if samples is not None and recipe.last_batch == "keep" and samples < recipe.batch:
        part = recipe.bn_batch or 1
        recipe = replace(recipe, batch=min(recipe.batch, -(-samples // part) * part))
    certain = ROUGH if settings.device != "cpu" or settings.engine == "compiled" else MEASURED
    least = memory.least(spec, recipe, settings.precision, settings.recompute)
    if free is None or least <= certain * free:
        return
    raise UserError(
        f"recipe: batch = {recipe.batch}: an update of {name_of(spec)} takes at least {memory.shown(least)} and "
        f"{memory.shown(free)} are free; {_remedy(spec, recipe, settings, free)}"
    )


def _remedy(spec: Spec, recipe: Recipe, settings: Settings, free: int) -> str:
    """What fits instead, in words."""
    plain = largest_batch(spec, recipe, settings.precision, settings.recompute, free)
    fitting = f"--set batch={plain} fits" if plain else ""
    if not settings.recompute and settings.engine != "compiled":
        shared = largest_batch(spec, recipe, settings.precision, True, free)
        if shared > plain:
            same = "" if shared == recipe.batch else f" with batch={shared}"
            fitting = f"{fitting} (or --recompute on{same})" if plain else f"--recompute on{same} fits"
    if fitting:
        return fitting
    if recipe.bn_batch:
        return f"no multiple of bn_batch = {recipe.bn_batch} fits; take a smaller bn_batch or a smaller net"
    return "no batch fits; take a smaller net or smaller images"


def largest_batch(spec: Spec, recipe: Recipe, precision: str, recompute: bool, free: int) -> int:
    """Return the largest batch of `recipe` that fits into `free` bytes, or 0.

    Tries the recipe's own, and powers of two, with ghost batches times `bn_batch`.
    """
    part = recipe.bn_batch or 1
    doublings = range((recipe.batch // part).bit_length() - 1, -1, -1)
    for batch in (recipe.batch, *(part << power for power in doublings)):
        if memory.update(spec, replace(recipe, batch=batch), precision, recompute) <= ROOM * free:
            return batch
    return 0


def check_evaluation(spec: Spec, images: int, device: str, nets: int = 1, at_once: int | None = None) -> None:
    """Raise UserError if the evaluation of a batch cannot fit, with the largest batch that does.

    images    of a batch
    nets      members of an ensemble, all of them in memory
    at_once   images whose maps exist together, if a batch is scored in pieces
    """
    free = free_bytes(device)
    weights = nets * cost(spec).parameters * memory.FLOAT

    def wanted(batch: int) -> int:
        maps = memory.evaluation(spec, min(batch, at_once or batch))
        return weights + maps + memory.inputs(spec, batch)

    if free is None or wanted(images) <= ROUGH * free:
        return
    fitting = next((2**k for k in range(images.bit_length() - 1, -1, -1) if wanted(2**k) <= ROOM * free), 0)
    remedy = f"--batch {fitting} fits" if fitting else "no batch fits; use a machine with more memory"
    raise UserError(
        f"--batch {images}: to score it by {name_of(spec)} would take about {memory.shown(wanted(images))} and "
        f"{memory.shown(free)} are free; {remedy}"
    )


def check_probe(spec: Spec, images: int, gradients: bool, device: str) -> None:
    """Raise UserError if a probe of `spec` on batches of `images` cannot fit; `gradients`: some are differentiated."""
    free = free_bytes(device)
    wanted = 2 * cost(spec).parameters * memory.FLOAT + memory.evaluation(spec, images)  # the net and its copy
    if gradients:
        # the copy stands for the momentum that an update has
        wanted = max(wanted, memory.least(spec, Recipe(batch=min(images, GRADIENT_BATCH)), "fp32"))
    if free is not None and wanted > ROUGH * free:
        raise UserError(
            f"probe: {name_of(spec)} would take about {memory.shown(wanted)} and {memory.shown(free)} are free; take a "
            "smaller net or smaller images"
        )
