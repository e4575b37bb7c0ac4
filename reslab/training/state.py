"""Where a run is: restored from its newest checkpoint, or fresh, and saved as a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from reslab.data.batches.loader import Statistics, statistics
from reslab.data.splits import Data
from reslab.engines.machine import Settings
from reslab.engines.ranks import Ranks, checksum
from reslab.errors import RunError, UserError
from reslab.models import checkpoints
from reslab.models.checkpoints import MOMENTUM, OWN
from reslab.runs.best import Best
from reslab.runs.rewind import rewind
from reslab.runs.runlog import METRICS, Record, Tell
from reslab.runs.schedule import warms_up
from reslab.store import jsonl
from reslab.store.files import sync
from reslab.training import moments
from reslab.training.endings import remedy
from reslab.training.job import Job
from reslab.training.progress import Sums
from reslab.training.saving import save, save_as_best
from reslab.training.step import Step


@dataclass
class State:
    """Where a run is: what a checkpoint holds besides weights and momentum.

    statistics  mean and scale of the inputs
    iteration   updates done
    warming     in the first phase of §4.2, which lasts until the training error is low enough
    measured    what has been measured at this iteration: names of splits, "probe"
    best        the best scores of val so far, and the number of scores since
    running     the last logged running loss
    logs        running loss and error since the last line of the log
    window      running loss and error since the last check of the first phase
    """

    statistics: Statistics
    iteration: int
    warming: bool
    measured: set[str]
    best: Best
    running: float | None
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
            if step.average is not None:
                step.average.begin()
            tell({"kind": "note", "text": job.init.words})
        return State(
            statistics_of(job, data),
            iteration=0,
            warming=warms_up(job.recipe, job.spec.depth),
            measured=set(),
            best=Best(),
            running=None,
            logs=Sums.fresh(settings.device),
            window=Sums.fresh(settings.device),
        )
    iteration, facts, tensors = checkpoint.iteration, checkpoint.facts, checkpoint.state
    checkpoints.fill(step.net, checkpoint.weights, str(checkpoint.folder))
    if step.average is not None:  # the checkpoint's weights are the averages
        step.average.begin()
        own = {k.removeprefix(OWN): v for k, v in tensors.items() if k.startswith(OWN)}
        checkpoints.fill(step.net, own, str(checkpoint.folder))
    try:
        step.descent.restore(
            {k.removeprefix(MOMENTUM): v for k, v in tensors.items() if k.startswith(MOMENTUM)}, facts["rate"]
        )
    except ValueError as error:
        raise UserError(f"{checkpoint.folder}: {error}; put a whole copy of the checkpoint back") from None
    lines, measured, warnings = rewind(record, facts, moments.due(job, data, iteration, job.recipe.iterations))
    tell({"kind": "note", "text": f"resumes at iteration {iteration:,} from {checkpoint.folder}"})
    for text in warnings:
        moments.warn(job, iteration, text, tell)
    return State(
        checkpoint.statistics,
        iteration=iteration,
        warming=bool(facts["warming"]),
        measured=measured,
        best=Best.of(lines),
        running=next((line["loss"] for line in reversed(lines) if line["kind"] == "train"), None),
        logs=Sums(tensors["logs"].to(settings.device)),
        window=Sums(tensors["window"].to(settings.device)),
    )


def have_equal_weights(step: Step, ranks: Ranks) -> bool:
    """Return whether the weights of all ranks have equal bits; they stay equal if all machines round alike."""
    return ranks.is_alone or len({*ranks.gathered(checksum(step.net.parameters()))}) == 1


def spread(step: Step, ranks: Ranks) -> None:
    """Give all ranks the weights, velocities and averages of rank 0."""
    if ranks.is_alone:
        return
    average = step.average
    weights, momentum, rate, averages = ranks.of_first(
        lambda: (step.net.state_dict(), step.descent.momentum(), step.descent.rate, average.values if average else {})
    )
    if ranks.is_first:
        return
    step.net.load_state_dict(weights)
    step.descent.restore(momentum, rate)
    for name, value in averages.items():
        assert average is not None
        average.values[name].copy_(value)


def statistics_of(job: Job, data: Data) -> Statistics:
    """Return mean and scale of the inputs: of the training split, or those that come with a trained model."""
    if job.init is not None:
        return job.init.statistics
    return statistics(data.split("train"), job.recipe.centre, job.recipe.scale)


def save_state(job: Job, data: Data, step: Step, state: State) -> None:
    """Write a checkpoint. Raises RunError if the running loss is not finite: such weights are not worth keeping."""
    if not state.logs.finite:
        raise RunError(f"{job.out}: the loss is not finite before iteration {state.iteration:,}; {remedy(job)}")
    tensors = {f"{MOMENTUM}{k}": v for k, v in step.descent.momentum().items()} | _others(state)
    if step.average is not None:  # copied: the averages take the place of these values below
        tensors |= {f"{OWN}{k}": v.clone() for k, v in step.net.state_dict().items()}
    if (job.out / METRICS).exists():
        sync(job.out / METRICS)  # first, so that no checkpoint is newer than the lines of the log before it
    with step.averaged():
        save(job.out, step.net, tensors, _facts(job, data, step, state))


def save_best(job: Job, data: Data, step: Step, state: State) -> None:
    """Write the weights as the best on val, without what only a resumed run needs."""
    with step.averaged():
        save_as_best(job.out, step.net, _others(state), _facts(job, data, step, state))


def _others(state: State) -> dict[str, Tensor]:
    """Return what every checkpoint has besides weights: mean and scale of the inputs, running sums."""
    return {
        "mean": torch.from_numpy(state.statistics.mean),
        "scale": torch.from_numpy(state.statistics.scale),
        "logs": state.logs.values,
        "window": state.window.values,
    }


def _facts(job: Job, data: Data, step: Step, state: State) -> dict[str, Any]:
    recorded = job.recorded
    return {
        "iteration": state.iteration,
        "spec": recorded["spec"],
        "classes": list(data.classes),
        "data": {"source": job.source, **data.origin(), **({"place": data.place} if data.place else {})},
        "recipe": recorded["recipe"],
        "seed": recorded["seed"],
        "rate": step.descent.rate,
        "warming": state.warming,
        "measured": not moments.due(job, data, state.iteration, job.recipe.iterations) - state.measured,
        "metrics": asdict(jsonl.tail(job.out / METRICS)),
        **recorded,  # init and extended, if the run has them
    }
