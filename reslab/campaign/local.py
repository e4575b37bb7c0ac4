"""The executor of this machine: processes that import torch once and train run after run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from typing import Any

from reslab.campaign.executor import Ended, Outcome, Task
from reslab.errors import unexpected

PAUSE = 0.2  # seconds that `poll` waits at most


@dataclass
class _Worker:
    """A process, the pipe to it, and what it does."""

    process: Any
    pipe: connection.Connection
    task: Task | None = None


class LocalExecutor:
    """Trains `count` runs at a time, each in a process of its own; see `executor.Executor`.

    gpus   of each run; with 1, process number k sees GPU number k alone
    """

    words = ""

    def __init__(self, count: int, gpus: int = 0) -> None:
        self._gpus = gpus
        self._waiting: deque[Task] = deque()
        self._workers: list[_Worker | None] = [None] * count
        _start_tracker()
        self._context = multiprocessing.get_context("spawn")
        self._leave = self._context.Event()

    def submit(self, task: Task) -> None:
        """Train `task` as soon as one of the processes is free."""
        self._waiting.append(task)

    def poll(self) -> Ended:
        """Return the tasks that have ended; a process that died is replaced when the next task needs it."""
        if self._leave.is_set():
            stopped: Ended = [(task, Outcome("stopped")) for task in self._waiting]
            self._waiting.clear()
        else:
            stopped = []
            for number, worker in enumerate(self._workers):
                if self._waiting and (worker is None or worker.task is None):
                    self._give(number, self._waiting.popleft())
        busy = {worker.pipe: number for number, worker in enumerate(self._workers) if worker and worker.task}
        ready = connection.wait(list(busy), timeout=PAUSE)
        return stopped + [self._ended(busy[pipe]) for pipe in ready if isinstance(pipe, connection.Connection)]

    def _give(self, number: int, task: Task) -> None:
        """Hand `task` to worker `number`, which is started if it is not there."""
        worker = self._workers[number]
        if worker is None or not worker.process.is_alive():
            if worker is not None:  # it ended after its last answer
                worker.pipe.close()
            here, there = self._context.Pipe()
            gpu = number if self._gpus else None
            process = self._context.Process(target=_work, args=(there, self._leave, gpu))
            process.start()
            there.close()
            worker = self._workers[number] = _Worker(process, here)
        worker.task = task
        with suppress(OSError):  # if it has just died, `poll` reports the task as dead
            worker.pipe.send(task)

    def _ended(self, number: int) -> tuple[Task, Outcome]:
        """Return what worker `number` says of its task, or that it is dead."""
        worker = self._workers[number]
        assert worker is not None
        assert worker.task is not None
        task, worker.task = worker.task, None
        try:
            return task, worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.pipe.close()
            self._workers[number] = None
            code = worker.process.exitcode or 0
            if self._leave.is_set() or code == -signal.SIGINT:
                return task, Outcome("stopped")
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            return task, Outcome("dead", f"{task.job.out}: its process {how}", process=worker.process.pid)

    def abandon(self, task: Task) -> None:
        """Forget `task`, or kill its process."""
        with suppress(ValueError):
            self._waiting.remove(task)
        for worker in self._workers:
            if worker is not None and worker.task is task:
                worker.process.kill()

    def cancel(self) -> None:
        """Let every run save and end. An event, not a signal: a signal to the process group has reached them."""
        self._leave.set()

    def close(self) -> None:
        """End the processes; on any error, too, every run saves first."""
        self._leave.set()
        for worker in self._workers:
            if worker is not None:
                worker.pipe.close()
                worker.process.join()


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


def _work(pipe: connection.Connection, leave: Any, gpu: int | None) -> None:
    """Train task after task from `pipe` until it is closed, `leave` is set, or the parent is gone.

    gpu   the only one that this process sees; None: all
    """
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(gpu)
    parent = multiprocessing.parent_process()

    def should_stop() -> bool:
        return leave.is_set() or (parent is not None and not parent.is_alive())

    try:
        while not should_stop():
            pipe.poll(None)
            pipe.send(_outcome(pipe, should_stop))
    except (EOFError, OSError, KeyboardInterrupt):  # the parent is gone, or wants no more
        return


def _outcome(pipe: connection.Connection, should_stop: Any) -> Outcome:
    """Return how the next task in `pipe` ended. Reading it imports torch: an error of that is one of the task."""
    try:
        from reslab.campaign.attempt import attempt

        task: Task = pipe.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:
        return Outcome("failed", str(unexpected(error)), trace=traceback.format_exc())
    return attempt(task, should_stop)


def _visible(gpu: int) -> str:
    """Return the name of GPU number `gpu` among those that this process may use."""
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return given[gpu] if gpu < len(given) else str(gpu)
