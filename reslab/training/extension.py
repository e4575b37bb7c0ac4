"""Continue a finished run with more iterations: when that is possible, and the legs in which it is trained.

A leg is the loop from one end of the run to the next. The learning rate goes on as the recipe's steps say; past the
last drop it stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reslab.models import checkpoints
from reslab.runs.extension import ends_of, extension_words, table_of
from reslab.runs.runlog import METRICS, RUN, Record, Tell
from reslab.store import jsonl
from reslab.store.sealed import read_sealed, write_sealed
from reslab.training.job import Job


def legs(job: Job, record: Record) -> Iterator[Job]:
    """Yield the job of each leg that is not done: its recipe ends where the leg ends.

    After damage the newest readable checkpoint may be older than an end; then the leg to that end comes again.
    """
    ends = record.ends if job.extend in (None, record.ends[-1]) else (*record.ends, job.extend)
    if len(ends) == 1:
        yield job
        return
    checkpoint = checkpoints.newest(job.out)
    at = checkpoint.iteration if checkpoint else 0
    ended = [line["iteration"] for line in record.metrics if line["kind"] == "end"]
    for place, end in enumerate(ends, 1):
        if end > at or (end == at and end not in ended):
            yield replace(job, recipe=replace(job.recipe, iterations=end), ends=ends[:place])


def begin(job: Job, tell: Tell) -> None:
    """Record that a leg beyond the recipe's end has begun; its state must have been restored, so that it can go on."""
    if len(job.ends) < 2 or not job.ranks.is_first:
        return
    run = read_sealed(job.out / RUN)
    if len(ends_of(run)) < len(job.ends):
        write_sealed(job.out / RUN, {**run, "extended": table_of(job.ends)})
    line = {"kind": "extend", "iteration": job.ends[-2], "to": job.ends[-1]}
    if line not in jsonl.read(job.out / METRICS).records:  # of a leg that was killed right here
        jsonl.append(job.out / METRICS, line)
        tell({"kind": "note", "text": f"the run is {extension_words(job.ends)}"})
