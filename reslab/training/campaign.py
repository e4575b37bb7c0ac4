"""Train many runs: skip the finished ones, resume the others, several at the same time on a CPU.

Progress is read from the run folders; the records on disk are the only state.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import resource_tracker
from queue import Empty
from typing import TYPE_CHECKING, Any

from reslab.engines import host, memory
from reslab.errors import Interrupted, ReslabError, RunError, UserError, unexpected
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.runlog import METRICS, Record, Tell, steady
from reslab.store import jsonl
from reslab.training.stop import Stop

if TYPE_CHECKING:  # importing it imports torch, which each process does under the handlers of `_worker`
    from reslab.training.job import Job

PROCESS = 1_300_000_000  # bytes of Python, torch and a data set such as CIFAR-10, at the peak of reading it (measured)


def is_done(job: Job) -> bool:
    """Return whether the job's folder holds its finished run. Raises UserError if the folder holds another run."""
    if not (job.out / runlog.RUN).is_file():
        return False
    record = runlog.read(job.out)
    identity: dict[str, Any] = {"spec": job.spec.to_dict(), "recipe": job.recipe.to_dict(), "seed": job.seed}
    if job.fingerprint:
        identity["data"] = {"fingerprint": job.fingerprint}
    different = difference(identity, record.run, record.folder / runlog.RUN)
    if different:
        raise UserError(f"{job.out}: holds another run ({different}); give another --out")
    return record.finished


def iterations_done(job: Job) -> int:
    """Return the last iteration in the run's record."""
    lines = jsonl.read(job.out / METRICS).records
    return max((int(m["iteration"]) for m in lines if "iteration" in m), default=0)


def run_all(jobs: Sequence[Job], tell: Tell, processes: int | None = None) -> list[Record]:
    """Train the jobs that are not finished and return the records of all, in order.

    processes  runs at a time; None: see `parallelism`
    Raises Interrupted after a signal (every run is saved), RunError if a run failed (the others go on to their end).
    """
    if processes is not None and processes < 1:
        raise UserError(f"--processes: {processes} must be at least 1")
    tell = steady(tell)
    count, threads = parallelism(jobs, processes)  # of all jobs: a run must not depend on which others are missing
    missing = [job for job in jobs if not is_done(job)]
    finished = len(jobs) - len(missing)
    facts = {"message": "runs", "runs": len(jobs), "finished": finished, "missing": len(missing)}
    tell({"kind": "note", **facts, "text": f"{len(jobs)} runs: {finished} finished already, {len(missing)} to do"})
    if missing:
        _work(missing, min(count, len(missing)), threads, tell)
    return [runlog.read(job.out) for job in jobs]


def parallelism(jobs: Sequence[Job], processes: int | None = None) -> tuple[int, int]:
    """Return (runs at a time, threads of each; 0: all); `processes` fixes the first.

    On a CPU as many runs as cores and memory allow, because threads wait for each other at every layer: two runs of
    cifar_resnet56 with one thread each made 442 img/s together, one run with two threads 358 (docs/log.md). A small net
    never gains from a second thread. On a GPU one run at a time.
    """
    from reslab.engines.choose import update_macs
    from reslab.engines.machine import SMALL_STEP, resolve_device

    if not jobs or resolve_device(jobs[0].options.device) != "cpu":
        return (processes, 1) if processes and processes > 1 else (1, 0)
    cores = host.cores()
    are_small = all(update_macs(job.spec, job.recipe) < SMALL_STEP for job in jobs)
    free = host.available()
    run_bytes = PROCESS + max(memory.need(job.spec, job.recipe, "fp32").total for job in jobs)
    fitting = cores if free is None else max(1, free // run_bytes)
    count = processes or min(cores, fitting, cores if are_small else len(jobs))
    if count == 1:
        return 1, 0
    return count, 1 if are_small else max(1, cores // count)


def _work(jobs: Sequence[Job], count: int, threads: int, tell: Tell) -> None:
    """Train the jobs in `count` processes, which take them from a queue in order, with `threads` each (0: all)."""
    _start_tracker()
    context = multiprocessing.get_context("spawn")
    queue, failures, leave = context.Queue(), context.Queue(), context.Event()
    for job in jobs:
        queue.put(job)
    for _ in range(count):
        queue.put(None)
    decoders = max(1, host.cores() // count)  # processes of each run that decode image files
    workers = [context.Process(target=_worker, args=(queue, failures, leave, threads, decoders)) for _ in range(count)]
    begin, last_report = time.perf_counter(), 0.0
    before = _work_done(jobs)
    failed: list[tuple[str, str]] = []  # message, and traceback if the error is unexpected
    with Stop() as stop:
        for worker in workers:
            worker.start()
        try:
            while any(w.is_alive() for w in workers):
                time.sleep(0.2)
                failed += _drained(failures)  # a process does not end before its messages are read
                if stop() and not leave.is_set():
                    text = "stopping: every run finishes its update and saves"
                    tell({"kind": "note", "message": "stopping", "text": text})
                    leave.set()  # an event, not a signal: a signal to the process group has reached the workers already
                now = time.perf_counter()
                if now - last_report >= 1.0:
                    last_report = now
                    tell(_progress(jobs, before, now - begin))
        finally:  # on any error, too, every run saves and ends
            leave.set()
            for worker in workers:
                worker.join()
        if stop():
            raise Interrupted("stopped; the same command goes on from there")
    failed += _drained(failures, 0.2)
    if failed:
        message, trace = failed[0]
        error = RunError(f"{len(failed)} of {len(jobs)} runs failed; the first: {message}")
        if trace:
            error.add_note(trace)  # printed by --debug
        raise error
    unfinished = [job for job in jobs if not is_done(job)]
    if unfinished:
        raise RunError(f"{unfinished[0].out}: its process ended without an error; run the same command to resume it")


def _start_tracker() -> None:
    """Start multiprocessing's tracker of semaphores so that a closed terminal does not end it before the runs.

    It ignores SIGINT and SIGTERM by itself; that SIGHUP is ignored it inherits from here.
    """
    if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, previous)


def _drained(failures: Any, wait: float = 0.0) -> list[tuple[str, str]]:
    """Return the messages in the queue of failures, waiting up to `wait` seconds for each."""
    messages: list[tuple[str, str]] = []
    while True:
        try:
            messages.append(failures.get(timeout=wait) if wait else failures.get_nowait())
        except Empty:
            return messages


def _work_done(jobs: Sequence[Job]) -> int:
    """Return the work done: iterations times depth, since an update of a deeper net takes longer."""
    return sum(iterations_done(job) * job.spec.depth for job in jobs)


def _progress(jobs: Sequence[Job], before: int, seconds: float) -> dict[str, Any]:
    """Return the share of the work done, and the seconds left; `before` was done when these `seconds` began."""
    done, total = _work_done(jobs), sum(job.recipe.iterations * job.spec.depth for job in jobs)
    gained = done - before
    return {
        "kind": "campaign",
        "done": done / total,
        "runs_done": sum(iterations_done(job) >= job.recipe.iterations for job in jobs),
        "runs": len(jobs),
        "left": seconds * (total - done) / gained if gained > 0 else None,
    }


def _worker(queue: Any, failures: Any, leave: Any, threads: int, decoders: int) -> None:
    """Run one process of a campaign; any error in it reaches the command as one line."""
    try:
        _take_runs(queue, failures, leave, threads, decoders)
    except KeyboardInterrupt:
        return
    except Exception as error:  # outside of a run: an import, the queue
        failures.put((str(unexpected(error)), traceback.format_exc()))


def _take_runs(queue: Any, failures: Any, leave: Any, threads: int, decoders: int) -> None:
    """Import torch once, then train run after run, until the queue is empty, `leave` is set, or the parent is gone."""
    from reslab.models.inputs import load_data, workers_for
    from reslab.training.loop import train

    parent = multiprocessing.parent_process()

    def stop() -> bool:
        return leave.is_set() or (parent is not None and not parent.is_alive())

    loaded: dict[tuple[Any, ...], Any] = {}
    while not stop() and (job := queue.get()) is not None:
        try:
            key = (job.source, job.recipe.holdout, job.spec.image_size, job.levels, job.recipe.resize)
            if key not in loaded:
                loaded[key] = load_data(
                    job.source, job.spec, job.recipe.holdout, download=job.download, levels=job.levels,
                    resize=job.recipe.resize,
                )  # fmt: skip
            workers = min(workers_for(loaded[key], None), decoders)
            job = replace(job, options=replace(job.options, threads=threads), workers=workers)
            train(job, loaded[key], lambda event: None, stop)
        except (Interrupted, KeyboardInterrupt):
            return
        except ReslabError as error:
            failures.put((str(error), ""))
        except Exception as error:
            failures.put((f"{job.out}: {unexpected(error)}", traceback.format_exc()))
