"""Refuse a run whose updates do not fit into memory, before anything is computed, and name a batch that fits."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from reslab.engines import choose, host, memory
from reslab.engines.machine import AUTO, ROOM, ComputeOptions, Settings, resolve_device, settle
from reslab.errors import UserError
from reslab.models.capacity import ROUGH, free_bytes
from reslab.nets.names import name_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import RUN

# A run is refused only if its lower bound (`memory.least`) exceeds the free memory by this factor: on the CPU the
# prediction is within 6 % (engines/memory.py).
MEASURED = 1.1


def settings_of(
    folder: Path, spec: Spec, recipe: Recipe, options: ComputeOptions, frozen: Collection[str] = (),
    extend: int | None = None,
) -> Settings | None:  # fmt: skip
    """Return the settings of the run in `folder`: those it began with, or for a new run those that `settle` chooses.

    frozen   parts that do not learn
    extend   iterations to which a finished run is continued
    None if nothing is left to train or the run cannot be read; `job.enter` then refuses it with the reason.
    """
    if not os.path.exists(folder / RUN):  # unlike Path.exists, False without permission to look
        return settle(spec, recipe, options, frozen)
    try:
        record = runlog.read(folder)
        settings = Settings.from_dict(record.run["settings"])
        resolve_device(settings.device)
        finished = record.finished and extend in (None, record.ends[-1])
    except (UserError, TypeError, KeyError):
        return None
    if finished:
        return None
    settings = replace(settings, ranks=options.ranks)
    return settings if options.recompute == AUTO else replace(settings, recompute=options.recompute == "on")


def check_run(
    folder: Path, spec: Spec, recipe: Recipe, options: ComputeOptions, samples: int | None = None,
    frozen: Collection[str] = (), extend: int | None = None,
) -> None:  # fmt: skip
    """Raise UserError if the updates of the run in `folder` do not fit into memory; see `check_update`."""
    settings = settings_of(folder, spec, recipe, options, frozen, extend)
    if settings is not None:
        check_update(spec, recipe, settings, samples, frozen)


def in_parts(spec: Spec, recipe: Recipe, options: ComputeOptions, frozen: Collection[str] = ()) -> Recipe:
    """Return `recipe` as it is if its update fits into memory, else with the largest `bn_batch` that does.

    Parts divide the batch and have two images at least. Raises UserError as `check_update` if none fits.
    """
    settings = settle(spec, recipe, options, frozen)
    free = free_bytes(settings.device)
    sizes = [recipe.bn_batch, *(size for size in range(recipe.batch // 2, 1, -1) if recipe.batch % size == 0)]
    for size in sizes:
        parted = replace(recipe, bn_batch=size)
        if free is None or _fits(spec, parted, settings, free, frozen):
            return parted
    check_update(spec, replace(recipe, bn_batch=sizes[-1]), settings, frozen=frozen)
    return replace(recipe, bn_batch=sizes[-1])


def check_update(
    spec: Spec, recipe: Recipe, settings: Settings, samples: int | None = None, frozen: Collection[str] = ()
) -> None:
    """Raise UserError if one update of `recipe` does not fit into memory; the message names a batch that does.

    samples   in the training split, None if unknown: with `last_batch` "keep" a batch has no more of them
    """
    free = free_bytes(settings.device)
    if samples is not None and recipe.last_batch == "keep" and samples < recipe.batch:
        part = recipe.bn_batch or 1
        recipe = replace(recipe, batch=min(recipe.batch, -(-samples // part) * part))
    margin = ROUGH if settings.device != "cpu" or settings.engine in choose.COMPILED else MEASURED
    share = memory.share_of(recipe, settings.ranks)
    needed = memory.least(spec, share, settings.precision, settings.recompute, frozen)
    if free is None or needed <= margin * free:
        return
    each = f" in each of {settings.ranks} processes" if settings.ranks > 1 else ""
    raise UserError(
        f"recipe: batch = {recipe.batch}: an update of {name_of(spec)} takes at least {memory.shown(needed)}{each} and "
        f"{memory.shown(free)} are free; {_remedy(spec, recipe, settings, free, frozen)}"
    )


def _remedy(spec: Spec, recipe: Recipe, settings: Settings, free: int, frozen: Collection[str]) -> str:
    """Return the options with which the run fits, as text."""
    batch = largest_batch(spec, recipe, settings, free, frozen)
    advice = f"--set batch={batch} fits" if batch else ""
    if not settings.recompute and settings.engine not in choose.KEEPS_ALL:
        recomputed = largest_batch(spec, recipe, replace(settings, recompute=True), free, frozen)
        if recomputed > batch:
            change = "" if recomputed == recipe.batch else f" with batch={recomputed}"
            advice = f"{advice} (or --recompute on{change})" if batch else f"--recompute on{change} fits"
    if advice:
        return advice
    if recipe.bn_batch:
        return f"no multiple of bn_batch = {recipe.bn_batch} fits; take a smaller bn_batch or a smaller net"
    limits = host.memory_limits(swap=True)
    limit = min(limits, key=lambda name: limits[name][1], default="machine")
    is_raised = settings.device == "cpu" and limit.startswith("ulimit")
    raise_it = f"raise the limit ({limit}), or " if is_raised else ""
    return f"no batch fits; {raise_it}take a smaller net or smaller images"


def largest_batch(spec: Spec, recipe: Recipe, settings: Settings, free: int, frozen: Collection[str] = ()) -> int:
    """Return the largest batch of `recipe` that fits into `free` bytes, or 0.

    Tries the recipe's own batch, then powers of two (with `bn_batch`, its multiples by powers of two).
    """
    part = recipe.bn_batch or 1
    doublings = range((recipe.batch // part).bit_length() - 1, -1, -1)
    for batch in (recipe.batch, *(part << power for power in doublings)):
        if _fits(spec, replace(recipe, batch=batch), settings, free, frozen):
            return batch
    return 0


def _fits(spec: Spec, recipe: Recipe, settings: Settings, free: int, frozen: Collection[str]) -> bool:
    """Return whether an update, or a rank's share of it, fits into `free` bytes with room to spare."""
    share = memory.share_of(recipe, settings.ranks)
    return memory.update(spec, share, settings.precision, settings.recompute, frozen) <= ROOM * free
