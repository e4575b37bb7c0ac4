"""What a process does with a task: take the run's lease, read the data, train, publish, and say how it ended."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from reslab.campaign import layout, lease
from reslab.campaign.executor import Outcome, Task
from reslab.campaign.plan import is_done
from reslab.data.splits import Data
from reslab.errors import Interrupted, ReslabError, UserError, unexpected
from reslab.models.inputs import load_data, workers_for
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.training.stop import Stop
from reslab.version import VERSION

_data: dict[tuple[Any, ...], Data] = {}  # a process trains many runs, and reads their data once


def attempt(task: Task, should_stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Train the run of `task`, resuming it, and return how that ended; every error becomes an outcome.

    should_stop   asked before each update; when true the run is saved and the outcome is "stopped"
    """
    out = task.job.out
    try:
        with Stop(should_stop) as stop:
            return _trained(task, task.job, stop) if task.lease is None else _under_lease(task, task.lease, stop)
    except (Interrupted, KeyboardInterrupt):
        return Outcome("stopped")
    except ReslabError as error:
        return Outcome("failed", _on_host(task, str(error)), is_final=isinstance(error, UserError))
    except Exception as error:
        text = f"{out}: {unexpected(error)}"
        return Outcome("failed", _on_host(task, text), trace=traceback.format_exc())


def _on_host(task: Task, text: str) -> str:
    return text if task.lease is None else f"{text} (on {socket.gethostname()})"


def _trained(task: Task, job: Job, stop: Callable[[], bool]) -> Outcome:
    """Train `job`, which is that of `task` but for its folder."""
    if stop():
        raise Interrupted("stopped before the first update")
    data = _read(job)
    decoders = min(workers_for(data, None), task.decoders)
    train(replace(job, options=replace(job.options, threads=task.threads), workers=decoders), data, _silent, stop)
    return Outcome("done", trained=True)


def _silent(event: dict[str, Any]) -> None:
    """Say nothing: the campaign reads the records."""


def _under_lease(task: Task, seconds: float, stop: Stop) -> Outcome:
    """Train the run if no other process does, in a folder that only the holder of the lease can publish."""
    job = task.job
    _check(task)
    if is_done(job):
        return Outcome("done")
    taken = lease.claim(job.out, seconds, task.expired)
    if taken is None:
        return Outcome("held")
    with taken:
        if is_done(job):  # published by a holder between the two lines above
            return Outcome("done")
        try:
            folder = taken.adopt()
            outcome = _trained(task, replace(job, out=folder), lambda: stop() or taken.should_stop)
            taken.publish()
        except BaseException as error:
            if taken.is_lost:
                return Outcome("held")
            if isinstance(error, ReslabError):  # the user knows the run's own folder
                error.args = (str(error).replace(str(taken.attempt), str(job.out)),)
            raise
        return outcome


def _check(task: Task) -> None:
    """Raise UserError if this process is no match for the command that made the task."""
    if task.version != VERSION:
        raise UserError(
            f"reslab {VERSION} is installed here, and the command was given to {task.version}; install one version on "
            "all machines"
        )
    if task.mark:
        layout.check_shared(task.job.out, task.mark)


def _read(job: Job) -> Data:
    """Return the data of `job`. Raises UserError if they are not those that its command saw."""
    key = (job.source, job.recipe.holdout, job.spec.image_size, job.spec.in_channels, job.recipe.resize, job.reading)
    if key not in _data:
        _data[key] = load_data(
            job.source, job.spec, job.recipe.holdout, resize=job.recipe.resize, **job.reading.arguments()
        )
    if job.fingerprint and _data[key].fingerprint != job.fingerprint:
        raise UserError(f"--data {job.source}: holds other images here than where the command was given")
    return _data[key]
