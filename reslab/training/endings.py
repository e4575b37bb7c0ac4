"""How a run ends, in words: stopped and saved, at its last iteration, or with a loss that is not finite."""

from __future__ import annotations

from pathlib import Path

from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.runs.best import BEST, Best
from reslab.runs.runlog import CHECKPOINTS
from reslab.training.job import Job


def stopped(iteration: int, start: int) -> str:
    """Return the message of a run that began at `start` and stops at `iteration`: what was saved, what to do."""
    if iteration > start:
        return f"stopped at iteration {iteration:,} and saved; the same command goes on from there"
    if start:
        return f"stopped at iteration {start:,}, where it resumed; the same command goes on from there"
    return "stopped at iteration 0, nothing to save; the same command starts again"


def two_checkpoints(out: Path, best: Best, last: int) -> str:
    """Return where the checkpoint of the `last` iteration and the best on val are."""
    if best.iteration == last:
        return f"the last checkpoint is the best on val ({best.error:.2f} % wrong)"
    return (
        f"best on val: {best.error:.2f} % wrong at iteration {best.iteration:,}, in {out / CHECKPOINTS / BEST}; last: "
        f"iteration {last:,}, in {out}"
    )


def remedy(job: Job) -> str:
    """Return which checkpoint of the run is left, and what to do about a loss that is not finite."""
    try:
        newest = checkpoints.newest(job.out)
        left = f"the checkpoint at iteration {newest.iteration:,} is kept" if newest else "there is no checkpoint yet"
    except UserError:
        left = "no checkpoint can be read"
    return f"{left}; try --set lr={job.recipe.lr / 10:g} in another --out"
