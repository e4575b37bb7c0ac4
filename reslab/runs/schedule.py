"""The learning rate as a pure function: nothing to save, nothing to get out of step after a resume."""

from __future__ import annotations

import math

from reslab.runs.recipe import Recipe


def warms_up(recipe: Recipe, depth: int) -> bool:
    """Whether a net of `depth` weight layers starts with the error-conditioned phase (§4.2: 110 and more)."""
    return 0 < recipe.warmup_from_depth <= depth


def rate(recipe: Recipe, iteration: int, warming: bool = False) -> float:
    """The rate of 0-based `iteration`; `warming` while the training error is not yet below `warmup_error` (§4.2).

    The paper's phase is counted among the 64k iterations: "the rest of the learning schedule is as done previously".
    """
    if warming:
        return recipe.warmup_lr
    if iteration < recipe.rise:
        return recipe.lr * (iteration + 1) / (recipe.rise + 1)
    if recipe.schedule == "steps":
        return recipe.lr * recipe.drop_factor ** sum(iteration >= drop for drop in recipe.drops)
    left = (recipe.iterations - iteration) / max(1, recipe.iterations - recipe.rise)  # 1 at the top; never quite 0
    return recipe.lr * (left if recipe.schedule == "linear" else math.sin(left * math.pi / 2) ** 2)


def is_moment(iteration: int, every: int, last: int) -> bool:
    """Whether something done every `every` iterations is due after `iteration` updates; always at the end."""
    return iteration == last or (iteration > 0 and iteration % every == 0)
