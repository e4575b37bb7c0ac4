"""The training loop: one function, in the order in which things happen.

Each iteration measures and saves if that is due, and leaves if a signal has come; then it takes a batch, updates the
weights, and logs. Precise BN statistics, if the recipe has them, are computed before the last measurement.

Everything that decides a number is a pure function of (recipe, seed, iteration) or is saved in the checkpoint. So a run
that was killed and resumed ends with the same bits as an uninterrupted one, on the same machine with equal versions and
thread count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import torch

from reslab.data.batches.loader import Statistics, TrainLoader, statistics
from reslab.data.splits import Data
from reslab.engines.machine import Settings, prepare
from reslab.errors import Interrupted, RunError, UserError
from reslab.measure.evaluate import precise_statistics
from reslab.models import checkpoints
from reslab.nets.kinds import KINDS
from reslab.nets.model import build, layer_seed
from reslab.nets.names import name_of
from reslab.runs import runlog
from reslab.runs.runlog import METRICS, Record, Tell, steady
from reslab.runs.schedule import is_moment, rate, warms_up
from reslab.store import jsonl
from reslab.store.files import sweep, sync, writable_folder
from reslab.store.lock import held
from reslab.training import moments
from reslab.training.job import Job, enter, keep_settings
from reslab.training.progress import Clock, Sums
from reslab.training.saving import save
from reslab.training.step import Step
from reslab.training.stop import Stop

PRECISE_BATCHES = 200


def train(job: Job, data: Data, tell: Tell, also: Callable[[], bool] = lambda: False) -> Record:
    """Train `job` on `data`, resuming from the newest checkpoint in its folder, and return the folder's record.

    Raises UserError before the first step (another run in the folder, data that do not fit), RunError if the loss is
    not finite, and Interrupted after a signal or when `also()` returns true. An interrupted run is saved; the same job
    resumes it.
    """
    writable_folder(job.out)
    with held(job.out), Stop(also) as stop:
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
    # -- network, optimizer, data
    net = build(job.spec, seed=job.seed)
    step = Step(net, recipe, settings)
    stats, start, warming, measured, logs, window = _state(job, data, step, settings, record, tell)
    keep_settings(job, settings)  # after `_state`: a sealed run.json requires that every line has its check
    for text in changes:
        moments.warn(job, start, text, tell)
    loader = loader_of(data, stats, job, settings.device)
    stream = loader.stream(start, recipe.iterations)
    is_random = any(KINDS[row.kind].is_random for row in net.rows)
    clock = Clock(start)
    iteration = start
    tell(
        {"kind": "start", "name": out.name, "model": name_of(job.spec), "iterations": recipe.iterations, "from": start,
         "settings": settings.why, "out": str(out), "resumed": start > 0}
    )  # fmt: skip
    while True:
        last = iteration == recipe.iterations
        # -- precise statistics
        if last and recipe.bn_statistics == "precise" and not measured:
            count = min(PRECISE_BATCHES, max(1, len(data.split("train")) // recipe.batch))
            full = recipe.small_until  # batches before it are of small images, and the scores are of full ones
            precise_statistics(net, (b.images.to(settings.device) for b in loader.stream(full, full + count)))
        # -- measurement: evaluation and probe
        if not measured:
            try:
                moments.measure(job, data, stats, step, iteration, tell, stop)
                measured = True
            except Interrupted:
                pass  # the checkpoint below records that this iteration is still to be measured
            clock.pause()
        # -- checkpoint
        leaving = stop()  # read once: a signal between two reads would leave without saving
        if iteration > start and (is_moment(iteration, recipe.save_every, recipe.iterations) or leaving):
            _save(job, data, step, stats, iteration, warming, measured, logs, window)
            tell({"kind": "checkpoint", "iteration": iteration})
            clock.pause()
        # -- leave
        if leaving:
            raise Interrupted(_stopped(iteration, start))
        if last:
            break
        # -- batch
        batch = next(stream)
        images = batch.images.to(settings.device, non_blocking=True)
        labels = batch.labels.to(settings.device, non_blocking=True)
        clock.waited()
        # -- update
        if is_random:  # dropout draws from torch's generator: seed it by the iteration
            torch.manual_seed(layer_seed(job.seed, f"iteration {iteration}"))
        if not net.training:  # after a measurement; net.train() visits every module, a third of a millisecond
            net.train()
        lr = rate(recipe, iteration, warming)
        loss, wrong = step(images, labels, lr)
        logs.add(loss, wrong, len(labels))
        iteration += 1
        measured = not moments.is_due(recipe, iteration)
        clock.stepped(len(labels))
        if step.fallback:
            moments.warn(job, iteration, step.fallback, tell)
            step.fallback = None
        # -- the error-conditioned phase
        if warming:
            window.add(loss, wrong, len(labels))
            warming = moments.still_warming(job, iteration, window, tell)
        # -- log
        if is_moment(iteration, recipe.log_every, recipe.iterations):
            moments.log(job, data, logs, iteration, lr, clock, tell)
    jsonl.append(out / METRICS, {"kind": "end", "iteration": iteration, "clock": {"seconds": clock.total()}})
    tell({"kind": "end", "text": f"finished {recipe.iterations:,} iterations: {out}"})
    return runlog.read(out)


def loader_of(data: Data, stats: Statistics, job: Job, device: str) -> TrainLoader:
    """Return the loader of a run's batches, in the order and augmentation of its recipe.

    A data set that is in memory is kept on `device`.
    """
    r = job.recipe
    return TrainLoader(
        data.split("train"), stats, seed=job.seed, batch=r.batch, augment=r.augment, pad=r.pad,
        last_batch=r.last_batch, workers=job.workers, flip=r.flip, small=(r.small_size, r.small_until),
        device=device,
    )  # fmt: skip


def _state(
    job: Job, data: Data, step: Step, settings: Settings, record: Record, tell: Tell
) -> tuple[Statistics, int, bool, bool, Sums, Sums]:
    """Return where the run is, fresh or from the newest checkpoint.

    That is: the input statistics, the iteration, whether the warm-up phase goes on, whether this iteration has been
    measured, and the running sums of the log and of the warm-up window.
    """
    damaged: list[str] = []
    found = checkpoints.newest(job.out, damaged)
    for text in damaged:
        tell({"kind": "warning", "text": f"passed over: {text}"})
    if found is None:
        jsonl.keep(job.out / METRICS, lambda r: False)
        stats = statistics(data.split("train"), job.recipe.centre, job.recipe.scale)
        logs, window = Sums.fresh(settings.device), Sums.fresh(settings.device)
        return stats, 0, warms_up(job.recipe, job.spec.depth), not moments.is_due(job.recipe, 0), logs, window
    at, facts, state = found.iteration, found.facts, found.state
    checkpoints.fill(step.net, found.weights, str(found.folder))
    try:
        step.descent.restore({k[9:]: v for k, v in state.items() if k.startswith("momentum.")}, facts["rate"])
    except ValueError as error:
        raise UserError(f"{found.folder}: {error}; put a whole copy of the checkpoint back") from None
    stats = found.statistics
    measured, warnings = runlog.rewind(record, facts)
    measured = measured or not moments.is_due(job.recipe, at)
    tell({"kind": "note", "text": f"resumes at iteration {at:,} from {found.folder}"})
    for text in warnings:
        moments.warn(job, at, text, tell)
    sums = [Sums(state[k].to(settings.device)) for k in ("logs", "window")]
    return stats, at, bool(facts["warming"]), measured, sums[0], sums[1]


def _stopped(iteration: int, start: int) -> str:
    """Return the message of a run that stops at `iteration`, having begun at `start`: what was saved, what to do."""
    if iteration > start:
        return f"stopped at iteration {iteration:,} and saved; the same command goes on from there"
    if start:
        return f"stopped at iteration {start:,}, where it resumed; the same command goes on from there"
    return "stopped at iteration 0, nothing to save; the same command starts again"


def _save(
    job: Job, data: Data, step: Step, stats: Statistics, iteration: int, warming: bool, measured: bool,
    logs: Sums, window: Sums,
) -> None:  # fmt: skip
    if not logs.finite:
        raise RunError(f"{job.out}: the loss is not finite before iteration {iteration:,}; {moments.remedy(job)}")
    state = {f"momentum.{k}": v for k, v in step.descent.momentum().items()}
    state |= {"mean": torch.from_numpy(stats.mean), "scale": torch.from_numpy(stats.scale)}
    state |= {"logs": logs.values, "window": window.values}
    facts = {
        "iteration": iteration,
        "spec": job.spec.to_dict(),
        "classes": list(data.classes),
        "data": {"source": job.source, **data.origin(), **({"place": data.place} if data.place else {})},
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "rate": step.descent.rate,
        "warming": warming,
        "measured": measured,
        "metrics": asdict(jsonl.tail(job.out / METRICS)),
    }
    if (job.out / METRICS).exists():
        sync(job.out / METRICS)  # a checkpoint is never newer than the lines that lead to it
    save(job.out, step.net, state, facts)
