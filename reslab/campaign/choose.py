"""The executor of --on, with room for as many runs as the machine or the cluster has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reslab.campaign.executor import RAY, Executor, Task, Where
from reslab.campaign.local import LocalExecutor
from reslab.campaign.plan import need_of, parallelism
from reslab.engines import host
from reslab.errors import UserError

if TYPE_CHECKING:
    from reslab.training.job import Job


def room(where: Where, jobs: Sequence[Job]) -> tuple[int | None, int]:
    """Return (runs at a time, None if only the cluster knows; threads of each, 0: all)."""
    cores = where.cores or (1 if where.is_leased else None)
    return parallelism(jobs, where.processes, cores) if where.is_here else (where.processes, cores or 1)


@contextmanager
def opened(where: Where, jobs: Sequence[Job], missing: int) -> Iterator[tuple[Executor, Task]]:
    """Yield the executor of `where`, and a task with all that the tasks of these jobs have in common.

    Threads follow from all jobs: a run must not depend on which others are missing.
    """
    seconds = where.lease if where.is_leased else None
    first = jobs[0]
    parallel, threads = room(where, jobs)
    if where.is_here:
        if where.gpus:
            _check_gpus(where)
        assert parallel is not None  # of this machine it is known
        count = min(parallel, missing)
        decoders = max(1, host.cores() // count)
        executor: Executor = LocalExecutor(count, where.gpus)
        template = Task(first, threads, decoders, seconds)
    else:
        for base in {job.out.parent for job in jobs}:
            base.mkdir(parents=True, exist_ok=True)
        if where.name == RAY:
            from reslab.campaign.on_ray import RayExecutor

            executor = RayExecutor(where.detail, threads, where.gpus, where.processes)
        else:
            from reslab.campaign.on_slurm import SlurmExecutor

            folder = first.out.parent / ".slurm"
            executor = SlurmExecutor(where.detail, folder, threads, where.gpus, need_of(jobs), where.processes)
        template = Task(first, threads, threads, seconds)
    try:
        yield executor, template
    finally:
        executor.close()


def _check_gpus(where: Where) -> None:
    """Raise UserError if this machine has no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise UserError(f"--gpus-per-run {where.gpus}: torch sees no GPU on this machine; give 0")
