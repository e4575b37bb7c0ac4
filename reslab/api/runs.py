"""`train` and `rehearse`: check all arguments and data before the first step, then start the loop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.jobs import job_of
from reslab.nets.spec import Spec
from reslab.options.training import TrainOptions
from reslab.runs.runlog import RUN, Tell, steady
from reslab.show.format import duration

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.engines.ranks import Ranks
    from reslab.runs.runlog import Record
    from reslab.training.job import Job
    from reslab.training.rehearsal import Rehearsal
    from reslab.training.tensorboard import Events


@takes(TrainOptions, "data")
def train(
    model: str | Spec | None = None,
    *,
    options: TrainOptions,
    tell: Tell | None = None,
    command: str | None = None,
    **switches: Any,
) -> Record:
    """Train a network and return its record; the same call resumes an interrupted run and returns a finished one.

    model     a name or a `Spec`; `switches` as in `build`; classes, channels and size follow from the data. None: the
              net of `init_from`
    {options}
    tell      called with each event (a dict); default: a bar in a notebook, else plain lines on standard error
    command   recorded as the command that started the run
    `data` may also be images in Python: a pair (images, labels), a mapping from "train", "val" and "test" to such pairs
    (and from "classes" to their names), or a map-style torch dataset; see `reslab.data.given`. `init_from` is a path or
    a model from `load`.
    Raises UserError before the first step, RunError if training cannot go on, Interrupted after a signal.
    """
    from reslab.show.terminal.notebook import default_teller

    with _ranks_of(options) as ranks:
        tell = steady(tell or default_teller()) if ranks.is_first else _silent
        job, loaded = _common(job_of(model, options, switches, command, tell, ranks=ranks))
        return run(job, loaded, options, tell)


@contextmanager
def _ranks_of(options: TrainOptions) -> Iterator[Ranks]:
    """Yield the ranks that this process is one of, after the checks that need nothing else."""
    from reslab.engines.ranks import joined
    from reslab.training.launch import present
    from reslab.training.together import check_together

    present()
    check_log(options)
    check_together(options.processes)
    with joined(options.timeout) as ranks:
        yield ranks


def _common(found: tuple[Job, Data]) -> tuple[Job, Data]:
    """Return the job and data after the check that all ranks have the same."""
    from reslab.training.together import check_ranks

    check_ranks(*found)
    return found


def _silent(event: dict[str, Any]) -> None:
    """Tell nothing: rank 0 does."""


def run(job: Job, data: Data, options: TrainOptions, tell: Tell, is_first: bool = True) -> Record:
    """Train a checked job and return its record.

    is_first   no run on these data has told the length and what was found in them
    """
    from reslab.data.check.finding import told
    from reslab.training import loop
    from reslab.training.launch import is_orphan

    events = _events(job, options, tell)

    def telling(event: dict[str, Any]) -> None:
        """Tell what was found in the data after the start, when nothing can be refused any more."""
        tell(event)
        if events is not None:
            events(event)
        if event.get("kind") == "start" and is_first:
            for level, line in told(data.findings, skipped=options.bad_images == "skip"):
                tell({"kind": "warning" if level == "fault" else "note", "text": line})

    if is_first and job.recipe.images and job.ranks.of_first(lambda: not (job.out / RUN).exists()):
        tell({"kind": "note", "text": _announcement(job, data)})
    try:
        return loop.train(job, data, telling, partial(is_orphan, os.getppid()))
    finally:
        if events is not None:
            events.close()


def check_log(options: TrainOptions) -> None:
    """Raise UserError if a package that `--log` needs is missing."""
    if options.log is not None:
        from reslab.training.tensorboard import check_installed

        check_installed()


def _events(job: Job, options: TrainOptions, tell: Tell) -> Events | None:
    """Return the writer of a run's event file, None without `--log`."""
    if options.log is None:
        return None
    from reslab.training.tensorboard import Events

    return Events(job.out, tell)


@takes(TrainOptions, "data")
def rehearse(
    model: str | Spec | None = None, *, options: TrainOptions, command: str | None = None, **switches: Any
) -> Rehearsal:
    """Return what `train` with the same arguments would need: settings, memory, time. Writes nothing.

    Reads the first images, makes four updates of a new net and one evaluation, on all ranks if there are several.
    Raises the same errors as `train`.
    """
    from reslab.training import rehearsal

    with _ranks_of(options) as ranks:
        found = job_of(model, options, switches, command, leave_no_trace=True, ranks=ranks)
        return rehearsal.rehearse(*_common(found))


def _announcement(job: Job, data: Data) -> str:
    """Return the recipe, the length and the expected time of a new run in a line."""
    from reslab.training.checks import iterations_per_epoch
    from reslab.training.rehearsal import rehearse

    recipe, images = job.recipe, len(data.split("train"))
    epochs = recipe.iterations / iterations_per_epoch(recipe, images)
    return (
        f"recipe {recipe.name} for {images:,} images: {recipe.iterations:,} updates of {recipe.batch} images, "
        f"{epochs:.3g} epochs; about {duration(rehearse(job, data, 1).seconds)} on this machine"
    )
