"""What `auto` chooses on this machine for typical jobs, with the reasons that `train --dry-run` gives."""

from __future__ import annotations

from typing import NamedTuple

from reslab.checkup.result import Choice
from reslab.errors import UserError


class TypicalJob(NamedTuple):
    """A net, its data in words, and whether the data are files, which worker processes decode."""

    model: str
    data: str
    in_files: bool


RECIPE = "paper-cifar"
JOBS = (
    TypicalJob("cifar_resnet20", "CIFAR-10", False),
    TypicalJob("resnet18", "a folder, 224 pixels", True),
    TypicalJob("resnet50", "a folder, 224 pixels", True),
)


def choices() -> tuple[Choice, ...]:
    """Return the choice for each typical job. Imports torch."""
    return tuple(_choice(job) for job in JOBS)


def _choice(job: TypicalJob) -> Choice:
    from reslab.engines.machine import UNDECIDED, settle
    from reslab.models.inputs import default_workers
    from reslab.nets.names import spec_of
    from reslab.runs.recipes import recipe
    from reslab.training.room import check_update

    spec, plan = spec_of(job.model), recipe(RECIPE)
    settings = settle(spec, plan, UNDECIDED)
    obstacle = ""
    try:
        check_update(spec, plan, settings)
    except UserError as error:
        obstacle = str(error)
    return Choice(
        f"{job.model} on {job.data} with {RECIPE}", settings.device, settings.precision, settings.engine,
        settings.threads, default_workers(job.in_files), settings.recompute, settings.why, obstacle,
    )  # fmt: skip
