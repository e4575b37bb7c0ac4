"""Many runs as one piece of work: skip what is finished, resume what is not, side by side where runs are small.

Progress is read from the run folders themselves; the records on disk are the only truth.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reslab.errors import Interrupted, ReslabError, RunError
from reslab.nets.spec import Spec
from reslab.store import jsonl
from reslab.training import runlog
from reslab.training.recipe import Recipe
from reslab.training.runlog import METRICS, Record

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """One run of a campaign, torch-free: what, on what, how, from which seed, where to."""

    spec: Spec
    source: str
    recipe: Recipe
    seed: int
    out: Path
    command: str = ""
    device: str = "auto"
    download: bool = False


def is_done(plan: Plan) -> bool:
    """Whether the run's folder says that it is finished."""
    return (plan.out / runlog.RUN).is_file() and runlog.read(plan.out).finished


def iterations_done(plan: Plan) -> int:
    """How far the run's record says that it is."""
    lines = jsonl.read(plan.out / METRICS)
    return max((int(m["iteration"]) for m in lines if "iteration" in m), default=0)


def run_all(plans: Sequence[Plan], tell: Tell, processes: int | None = None) -> list[Record]:
    """Train what is missing and return every record, in order.

    processes  how many runs go side by side, each on one thread; None decides: small nets on a CPU side by side (their
               layers are too small to share among threads), large ones one after another on all threads.
    Raises Interrupted where a signal came (every run has saved), RunError where a run failed (the others are kept).
    """
    missing = [p for p in plans if not is_done(p)]
    tell(
        {
            "kind": "note",
            "text": f"{len(plans)} runs: {len(plans) - len(missing)} finished already, {len(missing)} to do",
        }
    )
    if missing:
        count = processes or _side_by_side(missing)
        _work(missing, min(count, len(missing)), tell)
    return [runlog.read(p.out) for p in plans]


def _side_by_side(plans: Sequence[Plan]) -> int:
    from reslab.training.machine import SMALL_STEP, resolve_device, update_macs

    if resolve_device(plans[0].device) != "cpu":
        return 1
    small = all(update_macs(p.spec, p.recipe) < SMALL_STEP for p in plans)
    return os.cpu_count() or 1 if small else 1


def _work(plans: Sequence[Plan], count: int, tell: Tell) -> None:
    """`count` processes take runs from a queue, longest first at the end of no one's patience: in the given order."""
    from reslab.training.stop import Stop

    context = multiprocessing.get_context("spawn")
    queue, failures = context.Queue(), context.Queue()
    for plan in plans:
        queue.put(plan)
    threads = 1 if count > 1 else 0
    for _ in range(count):
        queue.put(None)
    workers = [context.Process(target=_worker, args=(queue, failures, threads)) for _ in range(count)]
    begin, last_told = time.perf_counter(), 0.0
    before = sum(iterations_done(p) for p in plans)
    total = sum(p.recipe.iterations for p in plans)
    cost = {p.out: float(len(p.spec.blocks[0])) for p in plans}
    with Stop() as stop:
        for worker in workers:
            worker.start()
        asked = False
        while any(w.is_alive() for w in workers):
            time.sleep(0.2)
            if stop() and not asked:
                asked = True
                tell({"kind": "note", "text": "stopping: every run finishes its step and saves"})
                for worker in workers:
                    worker.terminate()  # SIGTERM, which the loop takes as "save and leave"
            now = time.perf_counter()
            if now - last_told >= 1.0:
                last_told = now
                tell(_progress(plans, cost, before, total, now - begin))
        if stop():
            raise Interrupted("stopped; the same command goes on from there")
    failed = [failures.get() for _ in range(failures.qsize())]
    if failed:
        raise RunError(f"{len(failed)} of {len(plans)} runs failed; the first: {failed[0]}")
    undone = [p for p in plans if not is_done(p)]
    if undone:
        raise RunError(f"{undone[0].out}: its process ended without a word; run the same command to go on")


def _progress(
    plans: Sequence[Plan], cost: dict[Path, float], before: int, total: int, seconds: float
) -> dict[str, Any]:
    """Share of the work done, weighed by depth, and the time left at the pace so far."""
    done = [(iterations_done(p), p.recipe.iterations, cost[p.out]) for p in plans]
    weighed = sum(c * w for c, _, w in done)
    whole = sum(n * w for _, n, w in done)
    finished = sum(c >= n for c, n, _ in done)
    gained = sum(c for c, _, _ in done) - before
    left = seconds * (whole - weighed) / weighed if weighed and gained else None
    return {
        "kind": "campaign",
        "done": weighed / whole,
        "runs_done": finished,
        "runs": len(plans),
        "iterations_done": sum(c for c, _, _ in done),
        "iterations": total,
        "left": left,
    }


def _worker(queue: Any, failures: Any, threads: int) -> None:
    """One process: import torch once, train run after run."""
    from reslab.data.sources import load
    from reslab.training.loop import Job, train
    from reslab.training.machine import Wish

    kept: dict[tuple[str, int], Any] = {}
    while (plan := queue.get()) is not None:
        plan = replace(plan)
        try:
            key = (plan.source, plan.recipe.holdout)
            if key not in kept:
                data = load(plan.source, download=plan.download)
                if plan.recipe.holdout:
                    from reslab.data.splits import hold_out

                    data = hold_out(data, plan.recipe.holdout)
                kept[key] = data
            job = Job(
                plan.spec, plan.source, plan.recipe, plan.seed, plan.out,
                Wish(device=plan.device, threads=threads), command=plan.command,
            )  # fmt: skip
            train(job, kept[key], lambda event: None)
        except Interrupted:
            return
        except ReslabError as error:
            failures.put(str(error))
        except Exception as error:
            failures.put(f"{plan.out}: {type(error).__name__}: {error}")
