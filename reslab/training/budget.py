"""How long runs will take, before they start: a few updates and one evaluation of each kind of net, timed here and now.

What a machine does alone says little of what it does beside others; so this is an estimate, told as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reslab.data.splits import Data
from reslab.engines import choose
from reslab.engines.machine import ComputeOptions, prepared, settle
from reslab.nets.model import build
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.training import rehearsal
from reslab.training.campaign import Plan, iterations_done
from reslab.training.moments import sizes_due
from reslab.training.step import Step

SLACK = 1.25  # runs side by side share memory and caches: slower than one alone


def seconds_each(plans: Sequence[Plan], data: Data, threads: int) -> dict[Path, float]:
    """Seconds that each plan still needs, by its folder; `threads` of a run (0: all)."""
    pace: dict[tuple[Spec, Recipe], tuple[float, float]] = {}
    found = {}
    for plan in plans:
        key = (plan.spec, plan.recipe)
        if key not in pace:
            settings = settle(plan.spec, plan.recipe, ComputeOptions(device=plan.device, threads=threads))
            if settings.engine in choose.COMPILED:  # compiling would take longer than the budget is worth
                engine = "graph" if settings.engine in choose.RECORDED else "eager"
                settings = settle(
                    plan.spec, plan.recipe, ComputeOptions(device=plan.device, engine=engine, threads=threads)
                )
            with prepared(settings):
                pace[key] = rehearsal.pace(Step(build(plan.spec), plan.recipe, settings))
        update, image = pace[key]
        done = iterations_done(plan)
        left = max(0, plan.recipe.iterations - done)
        found[plan.out] = SLACK * (left * update + sizes_due(plan.recipe, data, done) * image)
    return found


def fitting(costs: Mapping[str, Sequence[Path]], seconds: Mapping[Path, float], budget: float, side: int) -> list[str]:
    """Which of several pieces of work fit into `budget` seconds, `side` runs at a time; runs shared by two count once.

    costs  a piece's name → the folders of the runs that it needs. The cheapest addition goes first, so that as many
           pieces as possible are whole; a piece that does not fit is left out, and cheaper ones after it still go in.
    """
    taken: set[Path] = set()
    chosen: list[str] = []
    rest = dict(costs)
    while rest:
        more = {name: sum(seconds[p] for p in set(paths) - taken) for name, paths in rest.items()}
        name = min(rest, key=lambda n: more[n])
        if sum(seconds[p] for p in taken) + more[name] > budget * side:
            break
        taken |= set(rest.pop(name))
        chosen.append(name)
    return [name for name in costs if name in chosen]
