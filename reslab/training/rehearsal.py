"""Predict a run before it starts: its settings, memory and time, from a few timed updates and one evaluation.

Nothing is written. The time is an estimate: a machine with other work is slower than when the updates were timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from reslab.data.batches.loader import evaluation_batches
from reslab.data.check.finding import told
from reslab.data.splits import Data, Files
from reslab.engines import host, memory
from reslab.engines.machine import Settings, prepared, settle
from reslab.engines.ranks import ALONE, Ranks
from reslab.nets.model import build
from reslab.runs.runlog import RUN
from reslab.training.checks import full_size_updates, iterations_per_epoch
from reslab.training.job import Job, enter
from reslab.training.loop import loader_of
from reslab.training.moments import evaluation_batch, images_for_statistics, images_to_evaluate
from reslab.training.state import statistics_of
from reslab.training.step import Step

TIMED = 3  # updates timed, after untimed ones in which the engine warms up


@dataclass(frozen=True)
class Rehearsal:
    """The prediction for a run. Times in seconds, memory in bytes.

    iterations, start       length of the run; iteration at which it would begin
    updates                 updates left, in units of the timed one: those on small images count by their MACs
    update, batch, image    time of an update, of preparing its batch, of evaluating one image
    evaluated               images that are evaluated until the end
    averaged                images that pass for precise BN statistics until then
    reading                 time of reading an image of a split that is evaluated; 0 for a set in memory
    memory                  predicted peak of the process (on a GPU: of its memory there)
    free                    memory that the machine or GPU can give beyond that of the process now (None: unknown)
    ranks                   processes that make an update together; times are of the slowest, and of the whole batch;
                            `memory` is of each
    findings                what was found in the data, a line for each kind
    warning                 why a slower engine replaces the chosen one, or None
    init                    what a new run takes over from a trained model, or None
    """

    name: str
    out: str
    settings: Settings
    iterations: int
    start: int
    updates: float
    epochs: float
    sizes: dict[str, int]
    update: float
    batch: float
    image: float
    evaluated: int
    averaged: int
    reading: float
    workers: int
    memory: int
    free: int | None
    warning: str | None
    findings: list[str]
    init: str | None = None
    ranks: int = 1

    @property
    def seconds(self) -> float:
        """Return the seconds that the rest of the run will take: updates with their batches, and evaluations."""
        scored = (self.evaluated + self.averaged) * self._joint(self.image, self.reading)
        return self.updates * self._joint(self.update, self.batch) + scored

    def _joint(self, work: float, reading: float) -> float:
        """Return the seconds of both, which worker processes do at the same time."""
        return max(work, reading / self.workers) if self.workers else work + reading

    def to_dict(self) -> dict[str, Any]:
        values = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "settings"}
        return {**values, "settings": self.settings.to_dict(), "seconds": self.seconds}


def rehearse(job: Job, data: Data, timed_updates: int = TIMED) -> Rehearsal:
    """Return the prediction for `job` on `data`. Raises UserError as `train` would, RunError for a damaged file.

    timed_updates   after those in which the engine warms up
    With several ranks each of them calls this, and gets the same prediction.
    """
    from reslab.models import checkpoints

    ranks = job.ranks

    is_resumed = (job.out / RUN).exists()
    settings = (
        enter(job, data)[0] if is_resumed or job.extend else settle(job.spec, job.recipe, job.options, job.frozen)
    )
    checkpoint = checkpoints.newest(job.out) if is_resumed else None
    start = checkpoint.iteration if checkpoint else 0
    train, recipe = data.split("train"), replace(job.recipe, iterations=job.extend or job.recipe.iterations)
    stats = statistics_of(job, data)
    loader = loader_of(data, stats, job, settings.device)
    timed = min(max(start, recipe.small_until), recipe.iterations - 1)  # on full images, unless all are small
    batch_seconds, batch = _timed(lambda: loader.at(timed), settings)
    is_full_size = timed >= recipe.small_until
    updates = full_size_updates(job.spec, recipe, start) if is_full_size else float(recipe.iterations - start)
    for part in data.splits().values():  # raises if the first images of a split cannot be read
        next(iter(evaluation_batches(part, stats, min(evaluation_batch(job.spec), len(part)))))
    with prepared(settings):  # before memory is read: it imports modules of torch, as in a run
        resident, peak, free = _memory(settings)
        net = build(job.spec)
        net.freeze(job.frozen)
        step = Step(net, recipe, settings, ranks=ranks)
        update, image = pace(step, batch.images, batch.labels, timed_updates, ranks)
    share = memory.share_of(recipe, ranks.count)
    needed = memory.need(job.spec, share, settings.precision, settings.recompute, job.frozen)
    scoring = memory.evaluation(job.spec, evaluation_batch(job.spec))
    update, image, batch_seconds, peak = (
        max(values) for values in zip(*ranks.gathered((update, image, batch_seconds, peak)), strict=True)
    )
    return Rehearsal(
        name=job.out.name, out=str(job.out), settings=settings, iterations=recipe.iterations, start=start,
        updates=updates, epochs=recipe.iterations / iterations_per_epoch(recipe, len(train)),
        sizes={name: len(part) for name, part in data.splits().items()},
        update=update, batch=batch_seconds, image=image / ranks.count,
        evaluated=images_to_evaluate(recipe, data, start),
        averaged=images_for_statistics(recipe, data, start) if job.spec.batch_norm else 0,
        reading=batch_seconds / recipe.batch if isinstance(train, Files) else 0.0, workers=job.workers,
        memory=max(peak, resident + max(needed.total, scoring)), free=free, warning=step.fallback,
        findings=[f"{level}: {line}" for level, line in told(data.findings, skipped=data.bad_images == "skip")],
        init=job.init.words if job.init and not start else None, ranks=ranks.count,
    )  # fmt: skip


def pace(
    step: Step, images: torch.Tensor | None = None, labels: torch.Tensor | None = None, timed: int = TIMED,
    ranks: Ranks = ALONE,
) -> tuple[float, float]:  # fmt: skip
    """Return (seconds of an update, seconds of evaluating one image) of a new net, on `images` or on zeros.

    timed   updates that are timed after those in which the engine warms up
    ranks   that make the updates of `step`, each with images of its own
    """
    spec, settings = step.net.spec, step.settings
    shape = (step.recipe.batch, spec.in_channels, spec.image_size, spec.image_size)
    images = (torch.zeros(shape) if images is None else images).to(settings.device)
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    labels = labels.to(settings.device)

    sizes = ranks.gathered(len(images))
    step.net.train()
    _timed(lambda: [step(images, labels, 1e-9, sizes) for _ in range(step.warm_up)], settings)
    update, _ = _timed(lambda: [step(images, labels, 1e-9, sizes) for _ in range(timed)], settings)
    step.net.eval()
    _timed(lambda: step.logits(images), settings)
    evaluation, _ = _timed(lambda: step.logits(images), settings)
    return update / timed, evaluation / len(images)


def _memory(settings: Settings) -> tuple[int, int, int | None]:
    """Return the bytes that this process holds on the run's device now and at its peak, and what is free there."""
    if settings.device.startswith("cuda"):
        reserved = torch.cuda.memory_reserved(settings.device)
        return reserved, reserved, torch.cuda.mem_get_info(settings.device)[0]
    return *host.resident(), host.available()


def _timed(work: Callable[[], Any], settings: Settings) -> tuple[float, Any]:
    """Return the seconds until the device has finished `work`, and its result."""
    begin = time.perf_counter()
    result = work()
    if settings.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result
