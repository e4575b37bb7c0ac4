"""What a campaign has to do: which runs are finished, how far the others are, how many fit beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.engines import host, memory
from reslab.errors import UserError
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.runlog import METRICS
from reslab.store import jsonl

if TYPE_CHECKING:
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


def iterations_in(folder: Path) -> int:
    """Return the last iteration in the record of the run in `folder`, 0 without one."""
    lines = jsonl.read(folder / METRICS).records
    return max((int(m["iteration"]) for m in lines if "iteration" in m), default=0)


def need_of(jobs: Sequence[Job]) -> int:
    """Return the bytes of memory that the largest of the runs takes with its process."""
    return PROCESS + max(memory.need(job.spec, job.recipe, "fp32").total for job in jobs)


def parallelism(jobs: Sequence[Job], processes: int | None = None, cores: int | None = None) -> tuple[int, int]:
    """Return (runs at a time, threads of each; 0: all); `processes` fixes the first, `cores` the second.

    On a CPU as many runs as cores and memory allow, because threads wait for each other at every layer: two runs of
    cifar_resnet56 with one thread each made 442 img/s together, one run with two threads 358 (docs/log.md). A small net
    never gains from a second thread. On a GPU one run at a time.
    """
    from reslab.engines.choose import update_macs
    from reslab.engines.machine import SMALL_STEP, resolve_device

    if not jobs or resolve_device(jobs[0].options.device) != "cpu":
        return (processes, cores or 1) if processes and processes > 1 else (1, cores or 0)
    here = host.cores()
    are_small = all(update_macs(job.spec, job.recipe) < SMALL_STEP for job in jobs)
    free = host.available()
    fitting = here if free is None else max(1, free // need_of(jobs))
    if cores is not None:
        return processes or max(1, min(here // cores, fitting)), cores
    count = processes or min(here, fitting, here if are_small else len(jobs))
    if count == 1:
        return 1, 0
    return count, 1 if are_small else max(1, here // count)
