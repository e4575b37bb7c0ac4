"""The training loop: one function of named blocks in fixed order.

Around every update stand, in this order: precise statistics (at the end, if asked), evaluation, checkpoint, leave;
then batch, update, log. Evaluation, checkpoint and update stand once each: the last iteration is no second copy.
Everything that decides a number is a pure function of (recipe, seed, iteration) or is saved in the checkpoint, so a
run that was killed ends bit for bit where an uninterrupted one ends (CPU, same machine, threads and versions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from reslab.data.loader import Batch, Statistics, TrainLoader, evaluation_batches, statistics
from reslab.data.splits import Data
from reslab.errors import Interrupted, RunError
from reslab.measure.evaluate import Scores, evaluate, precise_statistics
from reslab.nets.model import build, layer_seed
from reslab.nets.names import name_of
from reslab.store import jsonl
from reslab.store.files import sweep, sync, writable_folder
from reslab.store.lock import held
from reslab.training import checkpoint as checkpoints
from reslab.training import runlog
from reslab.training.inputs import iterations_per_epoch
from reslab.training.job import Job, enter
from reslab.training.machine import Settings, prepare
from reslab.training.progress import Clock, Sums
from reslab.training.recipe import Recipe
from reslab.training.runlog import METRICS, Record, Tell
from reslab.training.schedule import is_moment, rate, warms_up
from reslab.training.step import Step
from reslab.training.stop import Stop

EVALUATION_BATCH = 500
PRECISE_BATCHES = 200


def train(job: Job, data: Data, tell: Tell, also: Callable[[], bool] = lambda: False) -> Record:
    """Train `job` on `data`, resuming where its folder has a checkpoint; returns the folder's record.

    Raises UserError before the first step (another run in the folder, data that do not fit), RunError where the loss
    is not finite, Interrupted after a signal or once `also()` is true (saved; the same job goes on from there).
    """
    writable_folder(job.out)
    with held(job.out), Stop(also) as stop:
        return _train(job, data, tell, stop)


def _train(job: Job, data: Data, tell: Tell, stop: Stop) -> Record:
    recipe, out = job.recipe, job.out
    # -- who this run is, and whether the folder is its own
    sweep(out)
    sweep(out / runlog.CHECKPOINTS)
    settings = enter(job, data, tell)
    record = runlog.read(out)
    if record.finished:
        tell({"kind": "end", "text": f"finished already at iteration {recipe.iterations:,}: {out}"})
        return record
    prepare(settings)
    # -- network, optimizer, data
    net = build(job.spec, seed=job.seed)
    step = Step(net, recipe, settings)
    stats, start, warming, measured, logs, window = _state(job, data, step, settings, tell)
    loader = _loader(data, stats, job)
    stream = loader.stream(start, recipe.iterations)
    has_dropout = any(row.kind == "dropout" for row in net.rows)
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
            precise_statistics(net, _moved(loader.stream(0, count), settings))
        # -- evaluation
        if not measured:
            try:
                _evaluate(job, data, stats, step, iteration, tell, stop)
                measured = True
            except Interrupted:
                pass  # the checkpoint below says that this moment is still to be measured
            clock.pause()
        # -- checkpoint
        leaving = stop()  # asked once: a signal between two questions would leave without saving
        if iteration > start and (is_moment(iteration, recipe.save_every, recipe.iterations) or leaving):
            _save(job, data, step, stats, iteration, warming, measured, logs, window)
            tell({"kind": "checkpoint", "iteration": iteration})
            clock.pause()
        # -- leave
        if leaving:
            raise Interrupted(f"stopped at iteration {iteration:,} and saved; the same command goes on from there")
        if last:
            break
        # -- batch
        batch = next(stream)
        images = batch.images.to(settings.device, non_blocking=True)
        labels = batch.labels.to(settings.device, non_blocking=True)
        clock.waited()
        # -- update
        if has_dropout:  # the one draw of torch's own generator, as a pure function too
            torch.manual_seed(layer_seed(job.seed, f"iteration {iteration}"))
        net.train()
        lr = rate(recipe, iteration, warming)
        loss, wrong = step(images, labels, lr)
        logs.add(loss, wrong, len(labels))
        iteration += 1
        measured = not (
            is_moment(iteration, recipe.eval_every, recipe.iterations)
            or is_moment(iteration, recipe.clean_every, recipe.iterations)
        )
        clock.stepped(len(labels))
        if step.fallback:
            tell({"kind": "warning", "text": step.fallback})
            step.fallback = None
        # -- the error-conditioned phase
        if warming:
            window.add(loss, wrong, len(labels))
            warming = _still_warming(recipe, iteration, window, out, tell)
        # -- log
        if is_moment(iteration, recipe.log_every, recipe.iterations):
            _log(job, data, logs, iteration, lr, clock, tell)
    jsonl.append(out / METRICS, {"kind": "end", "iteration": iteration, "clock": {"seconds": clock.total()}})
    tell({"kind": "end", "text": f"finished {recipe.iterations:,} iterations: {out}"})
    return runlog.read(out)


def _loader(data: Data, stats: Statistics, job: Job) -> TrainLoader:
    r = job.recipe
    return TrainLoader(
        data.split("train"), stats, seed=job.seed, batch=r.batch, augment=r.augment, pad=r.pad,
        last_batch=r.last_batch, workers=job.workers,
    )  # fmt: skip


def _state(
    job: Job, data: Data, step: Step, settings: Settings, tell: Tell
) -> tuple[Statistics, int, bool, bool, Sums, Sums]:
    """Statistics, iteration, phase, whether this moment is measured, and sums: fresh, or from the newest checkpoint."""
    damaged: list[str] = []
    found = checkpoints.newest(job.out, damaged)
    for text in damaged:
        tell({"kind": "warning", "text": f"passed over: {text}"})
    if found is None:
        jsonl.keep(job.out / METRICS, lambda r: False)
        stats = statistics(data.split("train"), job.recipe.centre, job.recipe.scale)
        logs, window = Sums.fresh(settings.device), Sums.fresh(settings.device)
        return stats, 0, warms_up(job.recipe, job.spec.depth), True, logs, window
    at, facts, state = found.iteration, found.facts, found.state
    checkpoints.fill(step.net, found.weights, str(found.folder))
    step.restore_momentum({k[9:]: v for k, v in state.items() if k.startswith("momentum.")}, facts["rate"])
    stats = Statistics(state["mean"].numpy(), state["scale"].numpy())
    measured = bool(facts["measured"])
    jsonl.keep(
        job.out / METRICS,
        lambda r: r["iteration"] <= at and (measured or r["kind"] != "eval" or r["iteration"] < at),
    )
    jsonl.append(job.out / METRICS, {"kind": "resume", "iteration": at})
    tell({"kind": "note", "text": f"resumes at iteration {at:,} from {found.folder}"})
    sums = [Sums(state[k].to(settings.device)) for k in ("logs", "window")]
    return stats, at, bool(facts["warming"]), measured, sums[0], sums[1]


def _save(
    job: Job, data: Data, step: Step, stats: Statistics, iteration: int, warming: bool, measured: bool,
    logs: Sums, window: Sums,
) -> None:  # fmt: skip
    if not logs.finite:
        raise RunError(f"{job.out}: the loss is not finite before iteration {iteration:,}; {_remedy(job)}")
    state = {f"momentum.{k}": v for k, v in step.momentum().items()}
    state |= {"mean": torch.from_numpy(stats.mean), "scale": torch.from_numpy(stats.scale)}
    state |= {"logs": logs.values, "window": window.values}
    facts = {
        "iteration": iteration,
        "spec": job.spec.to_dict(),
        "classes": list(data.classes),
        "data": {"name": data.name, "source": job.source, "fingerprint": data.fingerprint},
        "recipe": job.recipe.to_dict(),
        "seed": job.seed,
        "rate": step.rate,
        "warming": warming,
        "measured": measured,
    }
    if (job.out / METRICS).exists():
        sync(job.out / METRICS)  # a checkpoint is never newer than the lines that lead to it
    checkpoints.save(job.out, step.net, state, facts)


def _remedy(job: Job) -> str:
    return f"the last good checkpoint is kept; try --set lr={job.recipe.lr / 10:g} in another --out"


def _evaluate(
    job: Job, data: Data, stats: Statistics, step: Step, iteration: int, tell: Tell, stop: Callable[[], bool]
) -> None:
    """Measure what is due: the test (and val) error, and the clean pass over the training split."""
    recipe = job.recipe
    due = []
    if is_moment(iteration, recipe.eval_every, recipe.iterations):
        due += [name for name in ("val", "test") if getattr(data, name) is not None]
    if is_moment(iteration, recipe.clean_every, recipe.iterations):
        due.append("train")
    step.net.eval()
    made: list[dict[str, Any]] = []
    for name in due:
        split = data.split(name)
        batches = evaluation_batches(split, stats, EVALUATION_BATCH, job.workers)
        scores: Scores = evaluate(step.logits, batches, len(split), len(data.classes), stop)
        made.append({"kind": "eval", "iteration": iteration, "split": name, **scores.to_dict()})
    for line in made:
        if line["loss"] is None:
            tell({"kind": "warning", "text": f"iteration {iteration:,}: scores on {line['split']} are not finite"})
        jsonl.append(job.out / METRICS, line)
        tell(line)


def _still_warming(recipe: Recipe, iteration: int, window: Sums, out: Path, tell: Tell) -> bool:
    """§4.2: 0.01 until the training error is below 80 %, here measured over windows of `warmup_window` iterations."""
    if iteration % recipe.warmup_window:
        return True
    _, error, _ = window.take()
    if error < recipe.warmup_error:
        line = {"kind": "warmup_end", "iteration": iteration, "error": error}
        jsonl.append(out / METRICS, line)
        tell(
            {
                "kind": "note",
                "text": f"training error {error:.1f} % at iteration {iteration:,}: the rate is {recipe.lr:g} now",
            }
        )
        return False
    before = iteration - recipe.warmup_window
    if recipe.warmup_alarm and iteration // recipe.warmup_alarm > before // recipe.warmup_alarm:
        text = (
            f"the first phase has not ended after {iteration:,} iterations: training error {error:.1f} % is not below "
            f"{recipe.warmup_error:g} %, so the rate is still {recipe.warmup_lr:g}"
        )
        jsonl.append(out / METRICS, {"kind": "warning", "iteration": iteration, "text": text})
        tell({"kind": "warning", "text": text})
    return True


def _log(job: Job, data: Data, logs: Sums, iteration: int, lr: float, clock: Clock, tell: Tell) -> None:
    loss, error, _ = logs.take()
    if not math.isfinite(loss):
        raise RunError(f"{job.out}: the loss is not finite at iteration {iteration:,}; {_remedy(job)}")
    epoch = iteration / iterations_per_epoch(job.recipe, len(data.split("train")))
    line: dict[str, Any] = {"kind": "train", "iteration": iteration, "epoch": round(epoch, 4)}
    line |= {"loss": loss, "error": error, "lr": lr}
    took = clock.read(iteration, job.recipe.iterations)
    jsonl.append(job.out / METRICS, {**line, "clock": took})
    tell({**line, "iterations": job.recipe.iterations, **took})


def _moved(batches: Iterator[Batch], settings: Settings) -> Iterator[Batch]:
    for batch in batches:
        yield Batch(batch.images.to(settings.device), batch.labels.to(settings.device), batch.indices)
