"""Train many runs: skip the finished ones, resume the others, repeat what failed, on one machine or many.

Progress is read from the run folders; the records on disk are the only state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.campaign import layout, lease
from reslab.campaign.choose import opened
from reslab.campaign.executor import Executor, Outcome, Task, Where
from reslab.campaign.plan import is_done
from reslab.campaign.progress import Progress
from reslab.errors import Interrupted, RunError, UserError
from reslab.runs import runlog
from reslab.runs.runlog import Record, Tell, steady
from reslab.training.stop import Stop

if TYPE_CHECKING:
    from reslab.training.job import Job

# Attempts in a row that get no further than the one before, after which a run has failed: those that ended with an
# error, and those that ended with their process or node, which is seldom the run's own doing.
TRIES = {"failed": 3, "dead": 10}
HERE = Where()


@dataclass(frozen=True)
class Failure:
    """Why a run is not finished: in one line, and the traceback of an unexpected error."""

    message: str
    trace: str = ""


def run_all(jobs: Sequence[Job], tell: Tell, where: Where = HERE) -> list[Record]:
    """Train the jobs that are not finished and return the records of all, in order.

    Raises Interrupted after a signal (every run is saved), RunError if a run failed (the others go on to their end).
    """
    failures = train_all(jobs, tell, where)
    if failures:
        first = next(iter(failures.values()))
        error = RunError(f"{len(failures)} of {len(jobs)} runs failed; the first: {first.message}")
        if first.trace:
            error.add_note(first.trace)  # printed by --debug
        raise error
    return [runlog.read(job.out) for job in jobs]


def train_all(jobs: Sequence[Job], tell: Tell, where: Where = HERE) -> dict[Path, Failure]:
    """Train the jobs that are not finished, and return why some have failed, by their `out`.

    A run that fails or is lost with its process is tried again from its newest checkpoint, until `TRIES` attempts in a
    row got no further. Raises UserError before the first update, and Interrupted after a signal (every run is saved).
    """
    tell = steady(tell)
    asked = [job.out for job in jobs]
    jobs = [_placed(job, where) for job in jobs]
    missing = [job for job in jobs if not is_done(job)]
    finished = len(jobs) - len(missing)
    facts = {"message": "runs", "runs": len(jobs), "finished": finished, "missing": len(missing)}
    tell({"kind": "note", **facts, "text": f"{len(jobs)} runs: {finished} finished already, {len(missing)} to do"})
    if not missing:
        return {}
    if not where.is_leased:
        _check_no_leases(missing)
    with opened(where, jobs, len(missing)) as (executor, template):
        if executor.words:
            tell({"kind": "note", "text": executor.words})
        bases = set() if where.is_here else {job.out.parent for job in missing}
        with layout.marked(bases) as mark:
            task = template if where.is_here else replace(template, mark=mark)
            failures = _Campaign(missing, task, executor, where, tell).run()
    if where.is_leased:
        _tidy(jobs)
    return {out: failures[job.out] for out, job in zip(asked, jobs, strict=True) if job.out in failures}


def _placed(job: Job, where: Where) -> Job:
    """Return the job as any machine of `where` trains it."""
    job = replace(job, options=replace(job.options, device=where.device(job.options.device)))
    return replace(job, out=job.out.absolute()) if where.is_leased else job


def _tidy(jobs: Sequence[Job]) -> None:
    """Remove what holders that were killed have left of runs that are finished."""
    for job in jobs:
        if (held := layout.look(job.out)) is not None and is_done(job):
            layout.remove(job.out, held.token)
    for base in {job.out.parent for job in jobs}:
        layout.tidy(base)


def _check_no_leases(jobs: Sequence[Job]) -> None:
    """Raise UserError if one of the runs is being trained, or was left, by processes of several machines."""
    for job in jobs:
        if (held := layout.look(job.out)) is not None:
            raise UserError(
                f"{job.out}: is trained on {held.host}, or was left there; go on with --on folder, or move "
                f"{layout.place_of(job.out)} away"
            )


@dataclass
class _Campaign:
    """The runs of `jobs` from their submission to their end."""

    jobs: Sequence[Job]
    template: Task
    executor: Executor
    where: Where
    tell: Tell
    failures: dict[Path, Failure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.active = {job.out: job for job in self.jobs}  # not ended yet
        self.tasks = dict[Path, Task]()  # the last one of each
        self.held = set[Path]()  # trained by a process of another command
        self.progress = Progress(self.jobs, self.where.is_leased)
        self.watch = lease.Watch(self.where.lease)
        self.reached = {job.out: self.progress.iteration(job) for job in self.jobs}  # by the last attempt
        self.misses = dict.fromkeys(self.active, 0)  # attempts in a row that got no further

    def run(self) -> dict[Path, Failure]:
        """Return the failures. Raises Interrupted after a signal."""
        with Stop() as stop:
            for job in self.jobs:
                self._submit(job)
            is_cancelled = False
            while self.active:
                for task, outcome in self.executor.poll():
                    self._take(task, outcome, stop())
                if stop():
                    if not is_cancelled:
                        is_cancelled = True
                        text = "stopping: every run finishes its update and saves"
                        self.tell({"kind": "note", "message": "stopping", "text": text})
                        self.executor.cancel()
                    self.active = {out: job for out, job in self.active.items() if out not in self.held}
                if self.where.is_leased and not is_cancelled and self.watch.is_due():
                    self._look_at_leases()
                if self.progress.is_due():
                    self.tell(self.progress.event())
            if stop():
                raise Interrupted("stopped; the same command goes on from there")
        return self.failures

    def _submit(self, job: Job, expired: str = "") -> None:
        self.held.discard(job.out)
        task = replace(self.template, job=job, expired=expired)
        self.tasks[job.out] = task
        self.executor.submit(task)

    def _take(self, task: Task, outcome: Outcome, stops: bool) -> None:
        """Act on how a task ended."""
        job = self.active.get(task.job.out)
        if job is None:
            return
        if outcome.ending == "done":
            self._finish(job, outcome.host if outcome.trained else "")
        elif task is not self.tasks[job.out]:  # was given up, and came back
            return
        elif stops:
            del self.active[job.out]
        elif outcome.ending == "held":
            self.held.add(job.out)
        elif outcome.ending == "failed" and outcome.is_final:
            self._fail(job, outcome)
        else:
            self._repeat(job, outcome)

    def _repeat(self, job: Job, outcome: Outcome) -> None:
        """Train a run again from its newest checkpoint, unless too many attempts got no further."""
        at, before = self.progress.iteration(job), self.reached[job.out]
        self.reached[job.out] = max(at, before)
        self.misses[job.out] = 0 if at > before else self.misses[job.out] + 1
        if outcome.ending == "stopped":  # preempted: it has saved
            self._note(job, f"saved at iteration {at:,} on {outcome.host}, and queued again")
        elif self.misses[job.out] >= TRIES[outcome.ending]:
            self._fail(job, outcome)
            return
        else:
            text = f"{outcome.message}; tried again from its newest checkpoint"
            self.tell({"kind": "warning", "name": job.out.name, "text": text})
        held = layout.look(job.out) if self.where.is_leased else None
        if held is None:
            self._submit(job)
        elif outcome.ending == "dead" and outcome.process in (0, held.process):
            self._submit(job, held.token)  # safe even if the executor is wrong: that holder can publish no more
        else:
            self.held.add(job.out)

    def _look_at_leases(self) -> None:
        """Take over the runs that another command has left, or whose holder has shown no sign of life."""
        for out, job in list(self.active.items()):
            held = layout.look(out)
            if out in self.held and is_done(job):
                self._finish(job, "")
            elif out in self.held and held is None:
                self._submit(job)
            elif held is None or not self.watch.has_expired(out, held):
                continue
            elif out in self.held or self.tasks[out].expired != held.token:  # else a task waits to take it over
                text = f"no sign of life from {held.host} for {self.where.lease:g} s; taken over from its checkpoint"
                self.tell({"kind": "warning", "name": out.name, "text": text})
                self.executor.abandon(self.tasks[out])
                self._submit(job, held.token)

    def _finish(self, job: Job, host: str) -> None:
        """Count a run that is done; `host` trained it, "" for one of another command."""
        if self.where.is_leased:
            self._note(job, f"finished on {host}" if host else "finished by another command")
        self.progress.finish(job)
        del self.active[job.out]

    def _fail(self, job: Job, outcome: Outcome) -> None:
        self.failures[job.out] = Failure(outcome.message, outcome.trace)
        self.tell({"kind": "warning", "name": job.out.name, "text": f"failed: {outcome.message}"})
        del self.active[job.out]

    def _note(self, job: Job, text: str) -> None:
        self.tell({"kind": "note", "text": f"{job.out.name}: {text}"})
