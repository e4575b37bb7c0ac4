"""Many runs as one piece of work: skip what is finished, resume what is not, side by side on a CPU.

Progress is read from the run folders themselves; the records on disk are the only truth.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty
from typing import Any

from reslab.engines import host, memory
from reslab.errors import Interrupted, ReslabError, RunError, UserError, unexpected
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import METRICS, Record, Tell, steady
from reslab.store import jsonl
from reslab.training.stop import Stop

PROCESS = 1_300_000_000  # bytes of Python, torch and a data set such as CIFAR-10, at the peak of reading it (measured)


@dataclass(frozen=True)
class Plan:
    """One run of a campaign, torch-free: what, on what, how, from which seed, where to.

    fingerprint  of the data, where it is known: a run of other data is no run of this plan
    precision    as asked for: "auto" takes what the machine does best
    """

    spec: Spec
    source: str
    recipe: Recipe
    seed: int
    out: Path
    command: str = ""
    device: str = "auto"
    download: bool = False
    fingerprint: str = ""
    precision: str = "auto"


def is_done(plan: Plan) -> bool:
    """Whether the run's folder says that it is finished. Raises UserError where the folder holds another run."""
    if not (plan.out / runlog.RUN).is_file():
        return False
    record = runlog.read(plan.out)
    mine: dict[str, Any] = {"spec": plan.spec.to_dict(), "recipe": plan.recipe.to_dict(), "seed": plan.seed}
    if plan.fingerprint:
        mine["data"] = {"fingerprint": plan.fingerprint}
    different = difference(mine, record.run, record.folder / runlog.RUN)
    if different:
        raise UserError(f"{plan.out}: holds another run ({different}); give another --out")
    return record.finished


def iterations_done(plan: Plan) -> int:
    """How far the run's record says that it is."""
    lines = jsonl.read(plan.out / METRICS).records
    return max((int(m["iteration"]) for m in lines if "iteration" in m), default=0)


def run_all(plans: Sequence[Plan], tell: Tell, processes: int | None = None) -> list[Record]:
    """Train what is missing and return every record, in order.

    processes  how many runs go side by side; None: see `side_by_side`.
    Raises Interrupted where a signal came (every run has saved), RunError where a run failed (the others are kept).
    """
    if processes is not None and processes < 1:
        raise UserError(f"--processes: {processes} must be at least 1")
    tell = steady(tell)
    count, threads = side_by_side(plans, processes)  # of all: a run must not depend on which others are missing
    missing = [p for p in plans if not is_done(p)]
    finished = len(plans) - len(missing)
    facts = {"message": "runs", "runs": len(plans), "finished": finished, "missing": len(missing)}
    tell({"kind": "note", **facts, "text": f"{len(plans)} runs: {finished} finished already, {len(missing)} to do"})
    if missing:
        _work(missing, min(count, len(missing)), threads, tell)
    return [runlog.read(p.out) for p in plans]


def side_by_side(plans: Sequence[Plan], processes: int | None = None) -> tuple[int, int]:
    """(runs at a time, threads of each; 0: all), of which `processes` may fix the first.

    On a CPU as many runs as cores and memory allow, since threads wait for each other at every layer: two runs of
    cifar_resnet56 on a thread each made 442 img/s together, one on two threads 358 (docs/log.md). Small nets are never
    worth a second thread. On an accelerator one at a time.
    """
    from reslab.engines.choose import update_macs
    from reslab.engines.machine import SMALL_STEP, resolve_device

    if not plans or resolve_device(plans[0].device) != "cpu":
        return (processes, 1) if processes and processes > 1 else (1, 0)
    cores = host.cores()
    small = all(update_macs(p.spec, p.recipe) < SMALL_STEP for p in plans)
    free = host.available()
    each = PROCESS + max(memory.need(p.spec, p.recipe, "fp32").total for p in plans)
    room = cores if free is None else max(1, free // each)
    count = processes or min(cores, room, cores if small else len(plans))
    if count == 1:
        return 1, 0
    return count, 1 if small else max(1, cores // count)


def _work(plans: Sequence[Plan], count: int, threads: int, tell: Tell) -> None:
    """`count` processes take runs from a queue, in the given order; each run computes on `threads` (0: all)."""
    _start_tracker()
    context = multiprocessing.get_context("spawn")
    queue, failures, leave = context.Queue(), context.Queue(), context.Event()
    for plan in plans:
        queue.put(plan)
    for _ in range(count):
        queue.put(None)
    decoders = max(1, host.cores() // count)  # processes of each run that decode image files
    workers = [context.Process(target=_worker, args=(queue, failures, leave, threads, decoders)) for _ in range(count)]
    begin, last_told = time.perf_counter(), 0.0
    before = _weighed(plans)
    failed: list[tuple[str, str]] = []  # line, and the traceback of an error that is not ours
    with Stop() as stop:
        for worker in workers:
            worker.start()
        try:
            while any(w.is_alive() for w in workers):
                time.sleep(0.2)
                failed += _drained(failures)  # a process does not end before its words have been taken
                if stop() and not leave.is_set():
                    text = "stopping: every run finishes its step and saves what it has"
                    tell({"kind": "note", "message": "stopping", "text": text})
                    leave.set()  # no signal of ours: one to the whole group has reached the workers already
                now = time.perf_counter()
                if now - last_told >= 1.0:
                    last_told = now
                    tell(_progress(plans, before, now - begin))
        finally:  # whatever went wrong here, every run saves and ends
            leave.set()
            for worker in workers:
                worker.join()
        if stop():
            raise Interrupted("stopped; the same command goes on from there")
    failed += _drained(failures, 0.2)
    if failed:
        line, trace = failed[0]
        error = RunError(f"{len(failed)} of {len(plans)} runs failed; the first: {line}")
        if trace:
            error.add_note(trace)  # printed by --debug
        raise error
    undone = [p for p in plans if not is_done(p)]
    if undone:
        raise RunError(f"{undone[0].out}: its process ended without a word; run the same command to go on")


def _start_tracker() -> None:
    """Start multiprocessing's tracker of semaphores, deaf to a closed terminal: it must outlive the runs.

    It ignores SIGINT and SIGTERM by itself, and inherits that SIGHUP is ignored.
    """
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, previous)


def _drained(failures: Any, wait: float = 0.0) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while True:
        try:
            found.append(failures.get(timeout=wait) if wait else failures.get_nowait())
        except Empty:
            return found


def _weighed(plans: Sequence[Plan]) -> int:
    """The work done: iterations, those of deeper nets counting as much more as they are deeper."""
    return sum(iterations_done(p) * p.spec.depth for p in plans)


def _progress(plans: Sequence[Plan], before: int, seconds: float) -> dict[str, Any]:
    """Share of the work done, and the time left at the pace of these `seconds`, which began with `before` done."""
    weighed, whole = _weighed(plans), sum(p.recipe.iterations * p.spec.depth for p in plans)
    gained = weighed - before
    return {
        "kind": "campaign",
        "done": weighed / whole,
        "runs_done": sum(iterations_done(p) >= p.recipe.iterations for p in plans),
        "runs": len(plans),
        "left": seconds * (whole - weighed) / gained if gained > 0 else None,
    }


def _worker(queue: Any, failures: Any, leave: Any, threads: int, decoders: int) -> None:
    """Run one process of a campaign; whatever fails in it reaches the command as one line."""
    try:
        _take_runs(queue, failures, leave, threads, decoders)
    except KeyboardInterrupt:
        return
    except Exception as error:  # before the first run: an import, the queue
        failures.put((str(unexpected(error)), traceback.format_exc()))


def _take_runs(queue: Any, failures: Any, leave: Any, threads: int, decoders: int) -> None:
    """Import torch once, then train run after run, until none is left, asked to leave, or left alone."""
    from reslab.engines.machine import ComputeOptions
    from reslab.models.inputs import load_data, workers_for
    from reslab.training.job import Job
    from reslab.training.loop import train

    parent = multiprocessing.parent_process()

    def stop() -> bool:
        return leave.is_set() or (parent is not None and not parent.is_alive())

    kept: dict[tuple[str, int, int], Any] = {}
    while not stop() and (plan := queue.get()) is not None:
        try:
            key = (plan.source, plan.recipe.holdout, plan.spec.image_size)
            if key not in kept:
                kept[key] = load_data(plan.source, plan.spec, plan.recipe.holdout, download=plan.download)
            wish = ComputeOptions(device=plan.device, precision=plan.precision, threads=threads)
            workers = min(workers_for(kept[key], None), decoders)
            job = Job(plan.spec, plan.source, plan.recipe, plan.seed, plan.out, wish, workers, plan.command)
            train(job, kept[key], lambda event: None, stop)
        except (Interrupted, KeyboardInterrupt):
            return
        except ReslabError as error:
            failures.put((str(error), ""))
        except Exception as error:
            failures.put((f"{plan.out}: {unexpected(error)}", traceback.format_exc()))
