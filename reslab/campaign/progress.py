"""How far the runs of a campaign are, read from their folders, and the time that is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.campaign import layout
from reslab.campaign.plan import iterations_in
from reslab.nets.names import name_of

if TYPE_CHECKING:
    from reslab.training.job import Job

EVERY = 1.0  # seconds between two looks, at least
SHARE = 20  # looks take a twentieth of the time at most


class Progress:
    """The share of the work done and the seconds left, of all runs and of each that is at work.

    Work is iterations times depth, since an update of a deeper net takes longer.

    clock   returns seconds, monotonic
    """

    def __init__(
        self, jobs: Sequence[Job], is_leased: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.jobs, self.is_leased, self.clock = jobs, is_leased, clock
        self._labels = _labels(jobs)
        self._finished: set[Path] = set()  # their records are not read again
        self._begin = clock()
        self._due = self._begin
        self._first = {job.out: (self._begin, self.iteration(job)) for job in jobs}
        self._before = sum(self._first[job.out][1] * job.spec.depth for job in jobs)

    def iteration(self, job: Job) -> int:
        """Return the last iteration in the run's record."""
        return iterations_in((layout.attempt_of(job.out) if self.is_leased else None) or job.out)

    def finish(self, job: Job) -> None:
        """Count a run as finished: one that was ended early has fewer iterations than its recipe."""
        self._finished.add(job.out)

    def is_due(self) -> bool:
        """Return whether it is time for the next event."""
        return self.clock() >= self._due

    def event(self) -> dict[str, Any]:
        """Return how far all runs are, as an event for tellers; `running` has those at work."""
        now = self.clock()
        done, running = 0, []
        for job in self.jobs:
            if job.out in self._finished:
                done += job.recipe.iterations * job.spec.depth
                continue
            at = self.iteration(job)
            done += at * job.spec.depth
            if at >= job.recipe.iterations:
                self.finish(job)
            elif (row := self._row(job, at, now)) is not None:
                running.append(row)
        total = sum(job.recipe.iterations * job.spec.depth for job in self.jobs)
        self._due = now + max(EVERY, SHARE * (self.clock() - now))
        return {
            "kind": "campaign",
            "done": done / total,
            "runs_done": len(self._finished),
            "runs": len(self.jobs),
            "left": _left(done - self._before, total - done, now - self._begin),
            "running": running,
        }

    def _row(self, job: Job, at: int, now: float) -> dict[str, Any] | None:
        """Return where a run is trained, how far it is and its seconds left; None if it has not begun to move."""
        since, first = self._first[job.out]
        if at <= first:  # waits, or was resumed from an earlier checkpoint: its rate is counted from here
            self._first[job.out] = (now, at)
            return None
        held = layout.look(job.out) if self.is_leased else None
        if self.is_leased and held is None:
            return None
        return {
            "name": job.out.name,
            "label": self._labels[job.out],
            "where": held.host if held else "",
            "iteration": at,
            "iterations": job.recipe.iterations,
            "left": _left(at - first, job.recipe.iterations - at, now - since),
        }


def _labels(jobs: Sequence[Job]) -> dict[Path, str]:
    """Return a short name of each run: its net and seed, or its folder's name if several have these."""
    short = {job.out: f"{name_of(job.spec)} s{job.seed}" for job in jobs}
    often = Counter(short.values())
    return {out: label if often[label] == 1 else out.name for out, label in short.items()}


def _left(gained: int, missing: int, seconds: float) -> float | None:
    return seconds * missing / gained if gained > 0 else None
