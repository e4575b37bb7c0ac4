"""The training loop: SGD as in §4.2 of the paper, one function, in the order in which things happen.

    batch     a random crop and flip of `batch` images, centred
    update    forward, cross-entropy, backward, SGD with momentum and weight decay
    rate      divided by 10 at each drop; deep nets begin at a small rate until the training error is below 80 %
    measure   every so many iterations: test error, training error in a clean pass, and the probe

Each iteration first measures and saves if that is due, and leaves if a signal has come. So the state in a checkpoint is
always that between two updates.

Everything that decides a number is a pure function of (recipe, seed, iteration) or is saved in the checkpoint. A run
that was killed and resumed therefore ends with the same bits as an uninterrupted one, on the same machine with equal
versions and thread count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from reslab.data.batches.loader import Statistics, TrainLoader, statistics
from reslab.data.splits import Data
from reslab.engines.machine import Settings, prepare
from reslab.errors import Interrupted, RunError, UserError
from reslab.measure.evaluate import precise_statistics
from reslab.models import checkpoints
from reslab.nets.model import build, layer_seed
from reslab.nets.names import name_of
from reslab.nets.plan import is_random
from reslab.runs import runlog
from reslab.runs.runlog import METRICS, Record, Tell, steady
from reslab.runs.schedule import is_moment, rate, warms_up
from reslab.store import jsonl
from reslab.store.files import sweep, sync, writable_folder
from reslab.store.lock import locked
from reslab.training import moments
from reslab.training.job import Job, enter, keep_settings
from reslab.training.progress import Clock, Sums
from reslab.training.saving import save
from reslab.training.step import Step
from reslab.training.stop import Stop

PRECISE_BATCHES = 200


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


def train(job: Job, data: Data, tell: Tell, should_stop: Callable[[], bool] = lambda: False) -> Record:
    """Train `job` on `data`, resuming from the newest checkpoint in its folder, and return the folder's record.

    tell   called with each event, a dictionary with a "kind"
    Raises UserError before the first update (another run in the folder, data that do not fit), RunError if the loss is
    not finite, and Interrupted after a signal or when `should_stop()` is true. An interrupted run is saved; the same
    job resumes it.
    """
    writable_folder(job.out)
    with locked(job.out), Stop(should_stop) as stop:
        return _train(job, data, steady(tell), stop)


def _train(job: Job, data: Data, tell: Tell, stop: Stop) -> Record:
    recipe, out = job.recipe, job.out
    # -- the folder, and the settings of the run that it may hold
    sweep(out)
    sweep(out / runlog.CHECKPOINTS)
    settings, changes = enter(job, data)
    record = runlog.read(out)
    if record.finished:
        tell({"kind": "end", "text": f"finished already at iteration {recipe.iterations:,}: {out}"})
        return record
    prepare(settings)
    # -- network, optimizer, and the state of the run: fresh, or from the newest checkpoint
    net = build(job.spec, seed=job.seed)
    step = Step(net, recipe, settings)
    state = _state(job, data, step, settings, record, tell)
    keep_settings(job, settings)  # after `_state`: a sealed run.json requires that every line has its check
    start = state.iteration
    for change in changes:
        moments.warn(job, start, change, tell)
    # -- data
    loader = loader_of(data, state.statistics, job, settings.device)
    batches = loader.stream(start, recipe.iterations)
    draws_random_numbers = is_random(job.spec)
    clock = Clock(start)
    tell(
        {"kind": "start", "name": out.name, "model": name_of(job.spec), "iterations": recipe.iterations, "from": start,
         "settings": settings.why, "out": str(out), "resumed": start > 0}
    )  # fmt: skip
    while True:
        is_last = state.iteration == recipe.iterations
        # -- BN statistics: a pass with the final weights, if the recipe asks for it
        if is_last and recipe.bn_statistics == "precise" and not state.measured:
            count = min(PRECISE_BATCHES, max(1, len(data.split("train")) // recipe.batch))
            first = recipe.small_until  # earlier batches are of small images, and the scores are of full ones
            precise_statistics(net, (b.images.to(settings.device) for b in loader.stream(first, first + count)))
        # -- measure: test error, training error in a clean pass, probe
        if not state.measured:
            try:
                moments.measure(job, data, state.statistics, step, state.iteration, tell, stop)
                state.measured = True
            except Interrupted:
                pass  # the checkpoint below records that this iteration is still to be measured
            clock.pause()
        # -- checkpoint
        is_stopping = stop()  # read once: a signal between two reads would leave without saving
        if state.iteration > start and (
            is_moment(state.iteration, recipe.save_every, recipe.iterations) or is_stopping
        ):
            _save(job, data, step, state)
            tell({"kind": "checkpoint", "iteration": state.iteration})
            clock.pause()
        # -- leave
        if is_stopping:
            raise Interrupted(_stopped(state.iteration, start))
        if is_last:
            break
        # -- batch
        batch = next(batches)
        images = batch.images.to(settings.device, non_blocking=True)
        labels = batch.labels.to(settings.device, non_blocking=True)
        clock.waited()
        # -- update
        if draws_random_numbers:  # dropout uses torch's generator; seeded by the iteration, it needs no saved state
            torch.manual_seed(layer_seed(job.seed, f"iteration {state.iteration}"))
        if not net.training:  # after a measurement; net.train() visits every module, a third of a millisecond
            net.train()
        lr = rate(recipe, state.iteration, state.warming)
        loss, wrong = step(images, labels, lr)
        state.logs.add(loss, wrong, len(labels))
        state.iteration += 1
        state.measured = not moments.is_due(recipe, state.iteration)
        clock.stepped(len(labels))
        if step.fallback:
            moments.warn(job, state.iteration, step.fallback, tell)
            step.fallback = None
        # -- first phase (§4.2, 110 layers and more): ends when the training error is low enough
        if state.warming:
            state.window.add(loss, wrong, len(labels))
            state.warming = moments.still_warming(job, state.iteration, state.window, tell)
        # -- log
        if is_moment(state.iteration, recipe.log_every, recipe.iterations):
            moments.log(job, data, state.logs, state.iteration, lr, clock, tell)
    jsonl.append(out / METRICS, {"kind": "end", "iteration": state.iteration, "clock": {"seconds": clock.total()}})
    tell({"kind": "end", "text": f"finished {recipe.iterations:,} iterations: {out}"})
    return runlog.read(out)


def loader_of(data: Data, stats: Statistics, job: Job, device: str) -> TrainLoader:
    """Return the loader of a run's batches, in the order and with the augmentation of its recipe.

    A data set in memory is copied to `device`.
    """
    r = job.recipe
    return TrainLoader(
        data.split("train"), stats, seed=job.seed, batch=r.batch, augment=r.augment, pad=r.pad,
        last_batch=r.last_batch, workers=job.workers, flip=r.flip, small=(r.small_size, r.small_until),
        device=device,
    )  # fmt: skip


def _state(job: Job, data: Data, step: Step, settings: Settings, record: Record, tell: Tell) -> State:
    """Return the state of the run: of its newest whole checkpoint, which `step` is filled from, or a fresh one."""
    damaged: list[str] = []
    checkpoint = checkpoints.newest(job.out, damaged)
    for text in damaged:
        tell({"kind": "warning", "text": f"passed over: {text}"})
    if checkpoint is None:
        jsonl.keep(job.out / METRICS, lambda record: False)
        return State(
            statistics(data.split("train"), job.recipe.centre, job.recipe.scale),
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
    measured, warnings = runlog.rewind(record, facts)
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


def _stopped(iteration: int, start: int) -> str:
    """Return the message of a run that began at `start` and stops at `iteration`: what was saved, what to do."""
    if iteration > start:
        return f"stopped at iteration {iteration:,} and saved; the same command goes on from there"
    if start:
        return f"stopped at iteration {start:,}, where it resumed; the same command goes on from there"
    return "stopped at iteration 0, nothing to save; the same command starts again"


def _save(job: Job, data: Data, step: Step, state: State) -> None:
    """Write a checkpoint. Raises RunError if the running loss is not finite: such weights are not worth keeping."""
    if not state.logs.finite:
        raise RunError(f"{job.out}: the loss is not finite before iteration {state.iteration:,}; {moments.remedy(job)}")
    stats = state.statistics
    tensors = {f"momentum.{k}": v for k, v in step.descent.momentum().items()}
    tensors |= {"mean": torch.from_numpy(stats.mean), "scale": torch.from_numpy(stats.scale)}
    tensors |= {"logs": state.logs.values, "window": state.window.values}
    facts = {
        "iteration": state.iteration,
        "spec": job.spec.to_dict(),
        "classes": list(data.classes),
        "data": {"source": job.source, **data.origin(), **({"place": data.place} if data.place else {})},
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "rate": step.descent.rate,
        "warming": state.warming,
        "measured": state.measured,
        "metrics": asdict(jsonl.tail(job.out / METRICS)),
    }
    if (job.out / METRICS).exists():
        sync(job.out / METRICS)  # first, so that no checkpoint is newer than the lines of the log before it
    save(job.out, step.net, tensors, facts)
