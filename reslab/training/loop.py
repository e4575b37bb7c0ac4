"""The training loop: SGD as in §4.2 of the paper, one function, in the order in which things happen.

    batch     a random crop and flip of `batch` images, centred
    update    forward, cross-entropy, backward, SGD with momentum and weight decay
    rate      divided by 10 at each drop; deep nets begin at a small rate until the training error is below 80 %
    measure   every so many iterations: test error, training error in a clean pass, and the probe

Each iteration first saves and measures if that is due, and leaves if a signal has come. So the state in a checkpoint is
always that between two updates, and a measurement that fails loses none of them.

Everything that decides a number is a pure function of (recipe, seed, iteration) or is saved in the checkpoint. A run
that was killed and resumed therefore ends with the same bits as an uninterrupted one, on the same machine with equal
versions and thread count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from reslab.data.batches.loader import Statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.splits import Data, Files
from reslab.engines.machine import Settings, prepare
from reslab.errors import Interrupted
from reslab.measure.evaluate import precise_statistics
from reslab.models.checkpoints import kept_best
from reslab.nets.model import build, layer_seed
from reslab.nets.names import name_of
from reslab.nets.plan import is_random
from reslab.runs import runlog
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Record, Tell, steady
from reslab.runs.schedule import is_moment, rate
from reslab.store.files import sweep, writable_folder
from reslab.store.lock import locked
from reslab.training import endings, moments
from reslab.training.checks import class_weights
from reslab.training.extension import begin, legs
from reslab.training.job import Job, enter, keep_settings
from reslab.training.progress import Clock
from reslab.training.state import State, have_equal_weights, restored, save_best, save_state, spread
from reslab.training.step import Step
from reslab.training.stop import Stop


def train(job: Job, data: Data, tell: Tell, should_stop: Callable[[], bool] = lambda: False) -> Record:
    """Train `job` on `data`, resuming from the newest checkpoint in its folder, and return the folder's record.

    tell   called with each event, a dictionary with a "kind"
    Raises UserError before the first update (another run in the folder, data that do not fit), RunError if the loss is
    not finite, and Interrupted after a signal or when `should_stop()` is true. An interrupted run is saved; the same
    job resumes it.
    """
    if not job.ranks.is_first:  # touches no file of the run, and says nothing
        with Stop(should_stop) as stop:
            return _train(job, data, lambda event: None, stop)
    writable_folder(job.out)
    with locked(job.out), Stop(should_stop) as stop:
        return _train(job, data, steady(tell), stop)


def _train(job: Job, data: Data, tell: Tell, stop: Stop) -> Record:
    # -- the folder, and the settings of the run that it may hold
    ranks = job.ranks
    settings, changes, record = ranks.of_first(lambda: _entered(job, data))
    if record.finished and job.extend in (None, record.ends[-1]):
        tell({"kind": "end", "text": f"finished already at iteration {record.ended:,}: {job.out}"})
        return record
    prepare(settings)
    for leg in ranks.of_first(lambda: [*legs(job, record)]):  # one, unless the run is extended
        _leg(replace(leg, ranks=ranks), data, settings, changes, tell, stop)
        changes = []
    return ranks.of_first(lambda: runlog.read(job.out))


def _entered(job: Job, data: Data) -> tuple[Settings, list[str], Record]:
    """Return what `enter` does and the record of the run, which may just have begun."""
    sweep(job.out)
    sweep(job.out / runlog.CHECKPOINTS)
    return *enter(job, data), runlog.read(job.out)


def _leg(job: Job, data: Data, settings: Settings, changes: list[str], tell: Tell, stop: Stop) -> None:
    """Train from where the run in the job's folder is to the end of the job's recipe."""
    recipe, out, ranks = job.recipe, job.out, job.ranks
    # -- network, optimizer, and the state of the run: fresh, or from the newest checkpoint
    net = build(job.spec, seed=job.seed)
    net.freeze(job.frozen)
    step = Step(net, recipe, settings, class_weights(data) if recipe.balance == "loss" else None, ranks, stop)
    state = ranks.of_first(lambda: restored(job, data, step, settings, runlog.read(out), tell))
    spread(step, ranks)
    if ranks.is_first:
        keep_settings(job, settings)  # after `restored`: a sealed run.json requires that every line has its check
    begin(job, tell)
    start = state.iteration
    for change in changes:
        moments.warn(job, start, change, tell)
    # -- data
    loader = loader_of(data, state.statistics, job, settings.device)
    batches = loader.stream(start, recipe.iterations)
    train = data.split("train")
    is_counted = ranks.is_alone or (isinstance(train, Files) and train.skip)  # or the sizes of shares are known before
    draws_random_numbers = is_random(job.spec)
    clock = Clock(start)
    tell(
        {"kind": "start", "name": out.name, "model": name_of(job.spec), "iterations": recipe.iterations, "from": start,
         "settings": settings.why, "out": str(out), "resumed": start > 0}
    )  # fmt: skip
    saved = start
    told_bad = set[str]()

    def checkpoint() -> None:
        """Save the state, unless it is the one that the run began with or has just saved."""
        nonlocal saved
        if state.iteration != saved:
            if not have_equal_weights(step, ranks):
                text = "the ranks' weights differ, as their machines round differently; all go on with those of rank 0"
                moments.warn(job, state.iteration, text, tell)
                spread(step, ranks)
            ranks.of_first(lambda: save_state(job, data, step, state))
            saved = state.iteration
            tell({"kind": "checkpoint", "iteration": state.iteration})
            clock.pause()

    if start and state.best.iteration == start and ranks.is_first and kept_best(out) != start:
        save_best(job, data, step, state)  # killed between the scores and this
    while True:
        end = state.iteration if _has_stalled(recipe, state) else recipe.iterations
        is_last = state.iteration == end
        due = moments.due(job, data, state.iteration, end) - state.measured
        # -- BN statistics: a pass with these weights, if the recipe asks for it
        if due - {moments.PROBE} and recipe.bn_statistics == "precise":
            first = recipe.small_until  # earlier batches are of small images, and the scores are of full ones
            last = first + moments.precise_batches(recipe, data)
            some = loader.whole().stream(first + ranks.rank, last, ranks.count)
            with step.averaged():
                precise_statistics(net, (b.images.to(settings.device) for b in some), stop, ranks)
            saved = -1  # a run that was stopped in this pass saved the averages of before
        # -- checkpoint, before the measurement, which may fail
        is_stopping = step.is_stopping()  # read once: a signal between two reads would leave without saving
        if is_stopping or is_moment(state.iteration, recipe.save_every, end):
            checkpoint()
        # -- measure: test error, training error in a clean pass, probe
        if due and not is_stopping:
            try:
                with step.averaged():
                    lines = moments.measure(job, data, state.statistics, step, state.iteration, due, tell, stop)
            except Interrupted:
                is_stopping = True
                checkpoint()
            else:
                state.measured |= due
                moments.compare_losses(job, lines, state.running, state.iteration, tell)
                for line in lines:
                    state.best = state.best.after(line)
                if state.best.iteration == state.iteration:  # kept beside the last
                    ranks.of_first(lambda: save_best(job, data, step, state))
            clock.pause()
        # -- leave
        if is_stopping:
            raise Interrupted(endings.stopped(state.iteration, start))
        if _has_stalled(recipe, state) and not is_last:
            text = f"val has not improved in {recipe.patience} scores: stops at iteration {state.iteration:,}"
            tell({"kind": "note", "text": text})
            continue
        if is_last:
            break
        # -- batch
        batch = next(batches)
        images = batch.images.to(settings.device, non_blocking=True)
        labels = batch.labels.to(settings.device, non_blocking=True)
        clock.waited()
        for name in sorted({*batch.left_out} - told_bad):
            moments.warn(job, state.iteration, f"{name}: cannot be read any more; left out from here on", tell)
        told_bad |= {*batch.left_out}
        # -- update
        if draws_random_numbers:  # dropout uses torch's generator; seeded by the iteration, it needs no saved state
            torch.manual_seed(layer_seed(job.seed, f"iteration {state.iteration}"))
        if not net.training:  # after a measurement; net.train() visits every module, a third of a millisecond
            net.train()
        lr = rate(recipe, state.iteration, state.warming)
        if is_counted:
            sizes = ranks.gathered(len(labels))
        else:
            sizes = ranks.sizes(loader.samples(state.iteration), recipe.bn_batch)
        loss, wrong = step(images, labels, lr, sizes)
        count = sum(sizes)
        state.logs.add(loss, wrong, count)
        state.iteration += 1
        state.measured = set()
        if step.average is not None:
            step.average.update(state.iteration)
        clock.stepped(count)
        if step.fallback:
            moments.warn(job, state.iteration, step.fallback, tell)
            step.fallback = None
        # -- first phase (§4.2, 110 layers and more): ends when the training error is low enough
        if state.warming:
            state.window.add(loss, wrong, count)
            state.warming = moments.still_warming(job, state.iteration, state.window, tell)
        # -- log
        if is_moment(state.iteration, recipe.log_every, recipe.iterations):
            state.running = moments.log(job, data, state.logs, state.iteration, lr, clock, tell)
    job.append({"kind": "end", "iteration": state.iteration, "clock": {"seconds": clock.total()}})
    tell({"kind": "end", "text": f"finished {state.iteration:,} iterations: {out}"})
    if state.best.iteration is not None:
        tell({"kind": "note", "text": endings.two_checkpoints(out, state.best, state.iteration)})


def _has_stalled(recipe: Recipe, state: State) -> bool:
    """Return whether val has just been scored for the `patience`th time without a new best."""
    return 0 < recipe.patience <= state.best.since and "val" in state.measured


def loader_of(data: Data, stats: Statistics, job: Job, device: str) -> TrainLoader:
    """Return the loader of a run's batches, in the order and with the augmentation of its recipe.

    A data set in memory is copied to `device`.
    """
    r = job.recipe
    return TrainLoader(
        data.split("train"), stats, seed=job.seed, batch=r.batch, augment=r.augment, pad=r.pad,
        last_batch=r.last_batch, workers=job.workers, flip=r.flip, small=(r.small_size, r.small_until),
        mix=(r.mixup, r.cutmix), balanced=r.balance == "sampling", classes=len(data.classes), device=device,
        share=None if job.ranks.is_alone else partial(job.ranks.share, part=r.bn_batch),
    )  # fmt: skip
