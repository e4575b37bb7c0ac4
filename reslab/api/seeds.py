"""`train_seeds`: the same training with several seeds, and the interval of its error over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.runs import check_log, run
from reslab.api.seed_jobs import jobs_of, where_of
from reslab.campaign.executor import Where
from reslab.claims.rules import Figure, figure
from reslab.errors import Interrupted, ReslabError
from reslab.nets.spec import Spec
from reslab.notebook import percent, table
from reslab.options.training import SeedsOptions
from reslab.runs import runlog
from reslab.runs.runlog import RUN, Record, Tell, steady
from reslab.show.format import duration

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.training.job import Job
    from reslab.training.rehearsal import Rehearsal

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
    where = where_of(options)
    jobs, data, finished = jobs_of(model, options, switches, tell)
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


@dataclass(frozen=True)
class SeedsRehearsal:
    """The prediction for runs that differ in their seed alone.

    one        what one of the runs that are not finished needs, a new one if there is any
    runs       their number; left: of those that are not finished
    parallel   runs at a time, None if only the cluster knows
    seconds    of all that are left, of one machine of the cluster if `parallel` is None
    """

    one: Rehearsal
    runs: int
    left: int
    parallel: int | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "one": self.one.to_dict()}


@takes(SeedsOptions, "data")
def rehearse_seeds(model: str | Spec | None = None, *, options: SeedsOptions, **switches: Any) -> SeedsRehearsal:
    """Return what `train_seeds` with the same arguments would need. Writes nothing; raises the same errors."""
    from reslab.campaign.budget import SLACK
    from reslab.campaign.choose import room
    from reslab.training import rehearsal

    check_log(options)
    where = where_of(options)
    jobs, data, finished = jobs_of(model, options, switches)
    to_do = [job for job in jobs if job.out not in finished]
    first = min(to_do or jobs, key=lambda job: (job.out / RUN).is_file())
    parallel: int | None = 1
    if where is not None:
        parallel, threads = room(where, jobs)
        device = where.device(first.options.device)
        first = replace(first, options=replace(first.options, device=device, threads=threads))
    one = rehearsal.rehearse(first, data)
    rounds = -(-len(to_do) // min(parallel or 1, len(to_do) or 1))
    seconds = one.seconds * rounds * (SLACK if parallel not in (None, 1) else 1)
    return SeedsRehearsal(one, len(jobs), len(to_do), parallel, seconds)
