"""Where a run is: restored from its newest checkpoint, or fresh, and saved as a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from reslab.data.batches.loader import Statistics, statistics
from reslab.data.splits import Data
from reslab.engines.machine import Settings
from reslab.errors import RunError, UserError
from reslab.models import checkpoints
from reslab.runs.rewind import rewind
from reslab.runs.runlog import METRICS, Record, Tell
from reslab.runs.schedule import warms_up
from reslab.store import jsonl
from reslab.store.files import sync
from reslab.training import moments
from reslab.training.job import Job
from reslab.training.progress import Sums
from reslab.training.saving import save
from reslab.training.step import Step


@dataclass
class State:
    """Where a run is: what a checkpoint holds besides weights and momentum.

    statistics  mean and scale of the inputs
    iteration   updates done
    warming     in the first phase of §4.2, which lasts until the training error is low enough
    measured    what is due at this iteration has been measured
    logs        running loss and error since the last line of the log
    window      running loss and error since the last check of the first phase
    """

    statistics: Statistics
    iteration: int
    warming: bool
    measured: bool
    logs: Sums
    window: Sums


def restored(job: Job, data: Data, step: Step, settings: Settings, record: Record, tell: Tell) -> State:
    """Return the state of the run: of its newest whole checkpoint, which `step` is filled from, or a fresh one."""
    damaged: list[str] = []
    checkpoint = checkpoints.newest(job.out, damaged)
    for text in damaged:
        tell({"kind": "warning", "text": f"passed over: {text}"})
    if checkpoint is None:
        jsonl.keep(job.out / METRICS, lambda record: False)
        if job.init is not None:
            job.init.fill(step.net)
            tell({"kind": "note", "text": job.init.words})
        return State(
            statistics_of(job, data),
            iteration=0,
            warming=warms_up(job.recipe, job.spec.depth),
            measured=not moments.is_due(job.recipe, 0),
            logs=Sums.fresh(settings.device),
            window=Sums.fresh(settings.device),
        )
    iteration, facts, tensors = checkpoint.iteration, checkpoint.facts, checkpoint.state
    checkpoints.fill(step.net, checkpoint.weights, str(checkpoint.folder))
    try:
        step.descent.restore({k[9:]: v for k, v in tensors.items() if k.startswith("momentum.")}, facts["rate"])
    except ValueError as error:
        raise UserError(f"{checkpoint.folder}: {error}; put a whole copy of the checkpoint back") from None
    measured, warnings = rewind(record, facts)
    tell({"kind": "note", "text": f"resumes at iteration {iteration:,} from {checkpoint.folder}"})
    for text in warnings:
        moments.warn(job, iteration, text, tell)
    return State(
        checkpoint.statistics,
        iteration=iteration,
        warming=bool(facts["warming"]),
        measured=measured or not moments.is_due(job.recipe, iteration),
        logs=Sums(tensors["logs"].to(settings.device)),
        window=Sums(tensors["window"].to(settings.device)),
    )


def statistics_of(job: Job, data: Data) -> Statistics:
    """Return mean and scale of the inputs: of the training split, or those that come with a trained model."""
    if job.init is not None:
        return job.init.statistics
    return statistics(data.split("train"), job.recipe.centre, job.recipe.scale)


def save_state(job: Job, data: Data, step: Step, state: State) -> None:
    """Write a checkpoint. Raises RunError if the running loss is not finite: such weights are not worth keeping."""
    if not state.logs.finite:
        raise RunError(f"{job.out}: the loss is not finite before iteration {state.iteration:,}; {moments.remedy(job)}")
    stats = state.statistics
    tensors = {f"momentum.{k}": v for k, v in step.descent.momentum().items()}
    tensors |= {"mean": torch.from_numpy(stats.mean), "scale": torch.from_numpy(stats.scale)}
    tensors |= {"logs": state.logs.values, "window": state.window.values}
    recorded = job.recorded
    facts = {
        "iteration": state.iteration,
        "spec": recorded["spec"],
        "classes": list(data.classes),
        "data": {"source": job.source, **data.origin(), **({"place": data.place} if data.place else {})},
        "recipe": recorded["recipe"],
        "seed": recorded["seed"],
        "rate": step.descent.rate,
        "warming": state.warming,
        "measured": state.measured,
        "metrics": asdict(jsonl.tail(job.out / METRICS)),
        **recorded,  # init and extended, if the run has them
    }
    if (job.out / METRICS).exists():
        sync(job.out / METRICS)  # first, so that no checkpoint is newer than the lines of the log before it
    save(job.out, step.net, tensors, facts)
