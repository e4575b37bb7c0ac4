"""The runs of `train_seeds`: where they are trained, and a checked job for each seed before the first begins."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.jobs import check_readable, job_of
from reslab.campaign.executor import Where
from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.options.texts import bounded
from reslab.options.training import SeedsOptions
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.runlog import RUN, Tell

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.training.job import Job

MOST = 1_000  # runs: more than an interval needs


def where_of(options: SeedsOptions) -> Where | None:
    """Return where the runs are trained, None for one after another in this process. Raises UserError."""
    if options.on is None:
        for flag, value in (("--cores-per-run", options.cores_per_run), ("--gpus-per-run", options.gpus_per_run)):
            if value:
                raise UserError(f"{flag} {value}: without --on; give --on local for several runs at a time")
        return None
    where = Where(options.on, None, options.cores_per_run, options.gpus_per_run, options.lease)
    if options.threads:
        raise UserError(f"--threads {options.threads}: with --on; give --cores-per-run {options.threads}")
    if options.log is not None:
        raise UserError(f"--log {options.log}: with --on; leave one of them out")
    check_readable(options.data, where.on)
    return where


def jobs_of(
    model: str | Spec | None, options: SeedsOptions, switches: dict[str, Any], tell: Tell | None = None
) -> tuple[list[Job], Data, set[Path]]:
    """Return the job of each seed, the data of all, and the folders of the runs that are finished.

    tell   as in `job_of`; None: nothing is written
    Raises every UserError that can be known before training, of any of the runs.
    """
    from reslab.training.job import check_vacant

    jobs: list[Job] = []
    data: Data | None = None
    finished = set[Path]()
    for seed in range(options.seed, options.seed + _checked(options).seeds):
        one = _of_seed(options, seed)
        job, loaded = job_of(
            model, one, switches, None, None if jobs else tell, leave_no_trace=tell is None or bool(jobs), data=data
        )
        if options.out and job.command.startswith("reslab "):
            job = replace(job, command=f"{job.command} --out {shlex.quote(str(job.out))}")
        data = data or loaded
        first = jobs[0] if jobs else job
        # A folder that was begun with an earlier default or another range keeps it.
        if job.recipe != first.recipe or loaded.origin() != data.origin():
            what = "recipe" if job.recipe != first.recipe else "reading of the data"
            raise UserError(f"--seeds: {job.out} and {first.out} have not the same {what}; give a new --out")
        if (job.out / RUN).is_file():
            record = runlog.read(job.out)
            if different := difference({**job.recorded, "data": loaded.origin()}, record.run, record.folder / RUN):
                raise UserError(f"{job.out}: holds another run ({different}); give another --out")
            finished |= {job.out} if record.finished else set()
        else:
            check_vacant(job.out)
        jobs.append(job)
    assert data is not None
    return jobs, data, finished


def _checked(options: SeedsOptions) -> SeedsOptions:
    """Return `options`. Raises UserError if so many runs are not possible."""
    if options.extend is not None:
        raise UserError(f"--extend {options.extend}: with --seeds; extend each run by itself, with its --seed")
    if options.processes > 1:
        raise UserError(f"--processes {options.processes}: with --seeds; train each seed by itself, with its --seed")
    if options.seeds > MOST:
        raise UserError(f"--seeds: {options.seeds:,} runs are more than {MOST:,}; give fewer")
    bounded("--seeds: the last seed ", options.seed + options.seeds - 1)
    return options


def _of_seed(options: SeedsOptions, seed: int) -> SeedsOptions:
    return replace(options, seed=seed, out=options.out / f"s{seed}" if options.out else None)
