"""How long runs will take: a few updates and one evaluation of each kind of net, timed on this machine.

An estimate only: a machine with other work is slower than when the updates were timed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reslab.campaign.plan import iterations_in
from reslab.data.splits import Data
from reslab.engines import choose
from reslab.engines.machine import ComputeOptions, prepared, settle
from reslab.nets.model import build
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.training import rehearsal
from reslab.training.job import Job
from reslab.training.moments import images_to_evaluate
from reslab.training.step import Step

SLACK = 1.25  # runs at the same time share memory and caches, so each is slower than alone


def seconds_each(jobs: Sequence[Job], data: Data, threads: int) -> dict[Path, float]:
    """Return the seconds that each job still needs, by its folder; `threads` of a run (0: all)."""
    pace: dict[tuple[Spec, Recipe], tuple[float, float]] = {}
    seconds = {}
    for job in jobs:
        key = (job.spec, job.recipe)
        if key not in pace:
            device = job.options.device
            settings = settle(job.spec, job.recipe, ComputeOptions(device=device, threads=threads))
            if settings.engine in choose.COMPILED:  # compiling would take longer than the estimate is worth
                engine = "graph" if settings.engine in choose.RECORDED else "eager"
                settings = settle(job.spec, job.recipe, ComputeOptions(device=device, engine=engine, threads=threads))
            with prepared(settings):
                pace[key] = rehearsal.pace(Step(build(job.spec), job.recipe, settings))
        update, image = pace[key]
        done = iterations_in(job.out)
        updates = max(0, job.recipe.iterations - done)
        seconds[job.out] = SLACK * (updates * update + images_to_evaluate(job.recipe, data, done) * image)
    return seconds


def fitting(
    needs: Mapping[str, Sequence[Path]], seconds: Mapping[Path, float], budget: float, parallel: int
) -> list[str]:
    """Return the names of the tasks that fit into `budget` seconds with `parallel` runs at a time.

    needs    task → folders of the runs that it needs; a run that two tasks need counts once
    seconds  of each run
    The task that adds least is taken first, so that as many tasks as possible are complete.
    """
    paid: set[Path] = set()
    chosen: list[str] = []
    candidates = dict(needs)
    while candidates:
        added = {name: sum(seconds[p] for p in set(paths) - paid) for name, paths in candidates.items()}
        name = min(candidates, key=lambda n: added[n])
        if sum(seconds[p] for p in paid) + added[name] > budget * parallel:
            break
        paid |= set(candidates.pop(name))
        chosen.append(name)
    return [name for name in needs if name in chosen]
