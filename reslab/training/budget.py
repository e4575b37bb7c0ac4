"""How long runs will take, before they start: a few updates and one evaluation of each kind of net, timed here and now.

What a machine does alone says little of what it does beside others; so this is an estimate, told as one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from reslab.data.splits import Data
from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.training.campaign import Plan, iterations_done
from reslab.training.recipe import Recipe

TIMED = 3  # updates; one goes before them, untimed
SLACK = 1.25  # runs side by side share memory and caches: slower than one alone
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """ "90s", "30m", "1.5h" as seconds. Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not found or float(found[1]) <= 0:
        raise UserError(f"--budget: {text!r}: a time such as 90s, 30m or 1.5h is wanted")
    return float(found[1]) * UNITS[found[2]]


def seconds_each(plans: Sequence[Plan], data: Data, threads: int) -> dict[Path, float]:
    """Seconds that each plan still needs, by its folder; `threads` of a run (0: all)."""
    pace: dict[tuple[Spec, Recipe], tuple[float, float]] = {}
    found = {}
    for plan in plans:
        key = (plan.spec, plan.recipe)
        if key not in pace:
            pace[key] = _pace(plan, threads)
        update, image = pace[key]
        left = max(0, plan.recipe.iterations - iterations_done(plan))
        tests, cleans = left / plan.recipe.eval_every, left / plan.recipe.clean_every
        seen = tests * len(data.split("test")) + cleans * len(data.split("train"))
        found[plan.out] = SLACK * (left * update + seen * image)
    return found


def _pace(plan: Plan, threads: int) -> tuple[float, float]:
    """(seconds of an update, seconds of an image's evaluation), both by torch's own operators."""
    import torch

    from reslab.nets.model import build
    from reslab.training.machine import Wish, prepare, settle
    from reslab.training.step import Step

    before = torch.get_num_threads()
    settings = settle(plan.spec, plan.recipe, Wish(device=plan.device, engine="eager", threads=threads))
    prepare(settings)
    step = Step(build(plan.spec), plan.recipe, settings)
    size, batch = plan.spec.image_size, plan.recipe.batch
    images = torch.zeros(batch, plan.spec.in_channels, size, size, device=settings.device)
    labels = torch.zeros(batch, dtype=torch.int64, device=settings.device)

    def timed(work: object, times: int) -> float:
        assert callable(work)
        work()
        begin = time.perf_counter()
        for _ in range(times):
            work()
        if settings.device.startswith("cuda"):
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / times

    step.net.train()
    update = timed(lambda: step(images, labels, 1e-9), TIMED)
    step.net.eval()
    image = timed(lambda: step.logits(images), 1) / batch
    torch.set_num_threads(before)
    return update, image


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
