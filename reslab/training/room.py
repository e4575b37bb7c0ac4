"""Refuse a run whose updates cannot fit into memory, before anything is computed, and name a batch that fits."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from reslab.engines import choose, memory
from reslab.engines.machine import AUTO, ROOM, ComputeOptions, Settings, resolve_device, settle
from reslab.errors import UserError
from reslab.models.capacity import ROUGH, free_bytes
from reslab.nets.names import name_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import RUN

# An update is predicted within 6 % on the CPU (engines/memory.py): what a run needs at least is compared.
MEASURED = 1.1


def settings_of(folder: Path, spec: Spec, recipe: Recipe, wish: ComputeOptions) -> Settings | None:
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


def check_run(folder: Path, spec: Spec, recipe: Recipe, wish: ComputeOptions, samples: int | None = None) -> None:
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
    certain = ROUGH if settings.device != "cpu" or settings.engine in choose.COMPILED else MEASURED
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
    if not settings.recompute and settings.engine not in choose.KEEPS_ALL:
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
