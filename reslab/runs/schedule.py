"""The learning rate as a pure function of the iteration, so that a resumed run needs no saved state for it."""

from __future__ import annotations

import math

from reslab.runs.recipe import Recipe


def warms_up(recipe: Recipe, depth: int) -> bool:
    """Return whether a net of `depth` weight layers starts with the error-conditioned phase (§4.2: 110 and more)."""
    return 0 < recipe.warmup_from_depth <= depth


def rate(recipe: Recipe, iteration: int, warming: bool = False) -> float:
    """Return the rate of `iteration` (from 0).

    warming   the training error is not yet below `warmup_error` (§4.2). The iterations of this phase count among the
              64k: "the rest of the learning schedule is as done previously"
    """
    if warming:
        return recipe.warmup_lr
    if iteration < recipe.rise:
        return recipe.lr * (iteration + 1) / (recipe.rise + 1)
    if recipe.schedule == "steps":
        return recipe.lr * recipe.drop_factor ** sum(iteration >= drop for drop in recipe.drops)
    remaining = (recipe.iterations - iteration) / max(1, recipe.iterations - recipe.rise)  # from 1 to just above 0
    return recipe.lr * (remaining if recipe.schedule == "linear" else math.sin(remaining * math.pi / 2) ** 2)


def is_moment(iteration: int, every: int, last: int) -> bool:
    """Return whether something done every `every` iterations is due after `iteration` updates; always at the end."""
    return iteration == last or (iteration > 0 and iteration % every == 0)
