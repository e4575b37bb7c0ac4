"""`train_seeds`: the same training with several seeds, and the interval of its error over them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.jobs import check_readable, job_of
from reslab.api.runs import check_log, run
from reslab.campaign.executor import Where
from reslab.claims.rules import Figure, figure
from reslab.errors import Interrupted, ReslabError, UserError
from reslab.nets.spec import Spec
from reslab.notebook import percent, table
from reslab.options.texts import bounded
from reslab.options.training import SeedsOptions
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.runlog import RUN, Record, Tell, steady
from reslab.show.format import duration

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.training.job import Job
    from reslab.training.rehearsal import Rehearsal

MOST = 1_000  # runs: more than an interval needs
SPLITS = ("val", "test")


@dataclass(frozen=True)
class SeedRuns:
    """Runs that differ in their seed alone.

    records    of the runs that have finished, in the order of their seeds
    failures   seed → why its run failed, in one line
    """

    records: tuple[Record, ...]
    failures: dict[int, str] = field(default_factory=dict)

    def final(self, split: str = "test") -> Figure | None:
        """Return the top-1 error of the final weights over the seeds, percent; None if the split was not scored.

        The mean, `low` and `high` of its two-sided 95 % interval (Student's t), the standard deviation and n. One run
        has an infinite interval.
        """
        return figure([scores["top1_error"] for record in self.records if (scores := record.final(split))])

    def to_dict(self) -> dict[str, Any]:
        """Return the runs and, by split, mean, std, interval (None for one run) and n, in plain types; percent."""
        finals = {split: one for split in SPLITS if (one := self.final(split))}
        return {
            "runs": [
                {
                    "seed": record.seed,
                    "folder": str(record.folder),
                    **{f"{s}_error": final["top1_error"] for s in finals if (final := record.final(s))},
                }
                for record in self.records
            ],
            "failures": [{"seed": seed, "reason": reason} for seed, reason in self.failures.items()],
            "errors": {
                split: {
                    "mean": one.mean,
                    "std": one.std if one.n > 1 else None,
                    "interval": [one.low, one.high] if one.n > 1 else None,
                    "n": one.n,
                }
                for split, one in finals.items()
            },
        }

    def _repr_html_(self) -> str:
        result = self.to_dict()
        splits = [*result["errors"]]
        rows = [(str(r["seed"]), *(percent(r.get(f"{s}_error")) for s in splits), r["folder"]) for r in result["runs"]]
        rows += [(str(f["seed"]), *("failed" for _ in splits), f["reason"]) for f in result["failures"]]
        caption = "; ".join(f"{s} error {_words(one)}" for s, one in result["errors"].items())
        return table(caption, ("seed", *(f"{s} error" for s in splits), "folder"), rows)


def _words(one: Mapping[str, Any]) -> str:
    if one["interval"] is None:
        return f"{percent(one['mean'])}, n = 1"
    low, high = one["interval"]
    return f"{percent(one['mean'])}, 95 % interval {max(0.0, low):.2f} to {min(100.0, high):.2f}, n = {one['n']}"


@takes(SeedsOptions, "data")
def train_seeds(
    model: str | Spec | None = None, *, options: SeedsOptions, tell: Tell | None = None, **switches: Any
) -> SeedRuns:
    """Train a network `seeds` times, one run after another, and return the runs with their error over the seeds.

    Every argument is that of `train`. The seeds are `seed`, `seed` + 1 …; each run has the default folder of its seed,
    or `out`/sSEED, and the bits that `train` with this seed gives. The same call takes finished runs as they are and
    resumes interrupted ones; with a larger `seeds` it adds runs. A run that fails is in `failures`; the others go on.

    model     a name or a `Spec`; None: the net of `init_from`
    {options}
    tell      called with each event (a dict); default: a bar in a notebook, else plain lines on standard error
    Raises UserError before the first step of any run, and Interrupted after a signal.
    """
    from reslab.show.terminal.notebook import default_teller

    check_log(options)
    tell = steady(tell or default_teller())
    where = _where(options)
    jobs, data, finished = _jobs(model, options, switches, tell)
    if where is not None:
        return _side_by_side(jobs, data, options, where, tell)
    to_do = [job for job in jobs if job.out not in finished]
    records: list[Record] = []
    failures: dict[int, str] = {}
    for number, job in enumerate(jobs, 1):
        missing = sum(other.out not in finished for other in jobs[number - 1 :])
        left = duration(missing * mean(record.seconds for record in records)) if missing and records else None
        text = f"run {number} of {len(jobs)}: seed {job.seed}{f'; about {left} left' if left else ''}"
        tell({"kind": "note", "name": job.out.name, "text": text})
        try:
            records.append(run(job, data, options, tell, is_first=to_do[:1] == [job]))
        except Interrupted:
            raise
        except ReslabError as error:
            failures[job.seed] = str(error)
            tell({"kind": "warning", "name": job.out.name, "text": f"the run of seed {job.seed} failed: {error}"})
            tell({"kind": "end", "name": job.out.name})  # removes its live line
    return _seed_runs(records, failures, tell)


def _where(options: SeedsOptions) -> Where | None:
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


def _side_by_side(jobs: list[Job], data: Data, options: SeedsOptions, where: Where, tell: Tell) -> SeedRuns:
    """Train the runs as a campaign."""
    from reslab.campaign.runs import train_all
    from reslab.training.job import Reading

    reading = Reading(options.download, options.val_share, options.bad_images, options.group, data.levels)
    planned = [replace(job, reading=reading, fingerprint=data.fingerprint, threads_explicit=False) for job in jobs]
    failed = train_all(planned, tell, where)
    failures = {job.seed: failed[job.out].message for job in jobs if job.out in failed}
    return _seed_runs([runlog.read(job.out) for job in jobs if job.seed not in failures], failures, tell)


def _seed_runs(records: list[Record], failures: dict[int, str], tell: Tell) -> SeedRuns:
    if len(precisions := {str(record.run["settings"].get("precision")) for record in records}) > 1:
        text = f"the runs differ in precision ({', '.join(sorted(precisions))}), and so may their errors"
        tell({"kind": "warning", "text": text})
    return SeedRuns(tuple(records), failures)


@takes(SeedsOptions, "data")
def rehearse_seeds(model: str | Spec | None = None, *, options: SeedsOptions, **switches: Any) -> tuple[Rehearsal, int]:
    """Return what one of the runs that are not finished would need, a new one if there is any, and their number.

    Writes nothing. Raises the same errors as `train_seeds`.
    """
    from reslab.training import rehearsal

    check_log(options)
    jobs, data, finished = _jobs(model, options, switches)
    to_do = [job for job in jobs if job.out not in finished]
    first = min(to_do or jobs, key=lambda job: (job.out / RUN).is_file())
    return rehearsal.rehearse(first, data), len(to_do)


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


def _jobs(
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
