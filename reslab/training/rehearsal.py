"""What a run will take, before it starts: its settings, one batch through an update and an evaluation, memory, time.

Nothing is written. A machine's pace a moment ago says little of its pace beside other work: an estimate, told as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from reslab.data.batches.loader import evaluation_batches, statistics
from reslab.data.splits import Data
from reslab.engines import host, memory
from reslab.engines.machine import Settings, prepared, settle
from reslab.nets.model import build
from reslab.runs.runlog import RUN
from reslab.training.checks import full_size_updates, iterations_per_epoch
from reslab.training.job import Job, enter
from reslab.training.loop import loader_of
from reslab.training.moments import evaluation_batch, sizes_due
from reslab.training.step import Step

TIMED = 3  # updates; one goes before them, untimed


@dataclass(frozen=True)
class Rehearsal:
    """What was found. Times in seconds, memory in bytes.

    update, batch, image    an update, the making of its batch, the evaluation of one image
    iterations, start       of the run; where it would begin
    updates                 what is left to do, in updates as timed: those on smaller images count by their MACs
    memory, free            at the peak of the run, as predicted, of its process (on a GPU: of the GPU's memory that the
                            process holds); what the machine or the GPU can give beyond (None: unknown)
    warning                 why the run's engine was left for a slower one, or None
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
    memory: int
    free: int | None
    warning: str | None

    @property
    def seconds(self) -> float:
        """The whole rest of the run: updates with their batches, and the evaluations on the way."""
        return self.updates * (self.update + self.batch) + self.evaluated * self.image

    def to_dict(self) -> dict[str, Any]:
        kept = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "settings"}
        return {**kept, "settings": self.settings.to_dict(), "seconds": self.seconds}


def rehearse(job: Job, data: Data) -> Rehearsal:
    """Try `job` on `data` without a trace. Raises UserError as `train` would, RunError for a damaged file."""
    from reslab.models import checkpoints

    there = (job.out / RUN).exists()
    settings = enter(job, data)[0] if there else settle(job.spec, job.recipe, job.wish)
    found = checkpoints.newest(job.out) if there else None
    start = found.iteration if found else 0
    train, recipe = data.split("train"), job.recipe
    stats = statistics(train, recipe.centre, recipe.scale)
    loader = loader_of(data, stats, job, settings.device)
    timed = min(max(start, recipe.small_until), recipe.iterations - 1)  # on full images, unless all are small
    batch_seconds, batch = _timed(lambda: loader.at(timed), settings)
    full = timed >= recipe.small_until
    updates = full_size_updates(job.spec, recipe, start) if full else float(recipe.iterations - start)
    for part in data.there().values():  # the first images of each split can be read
        next(iter(evaluation_batches(part, stats, min(evaluation_batch(job.spec), len(part)))))
    with prepared(settings):  # before memory is read: it brings in modules of torch, as it does in a run
        held, most, free = _memory(settings)
        step = Step(build(job.spec), recipe, settings)
        update, image = pace(step, batch.images, batch.labels)
    wanted = memory.need(job.spec, recipe, settings.precision, settings.recompute)
    scored = memory.evaluation(job.spec, evaluation_batch(job.spec))
    return Rehearsal(
        name=job.out.name, out=str(job.out), settings=settings, iterations=recipe.iterations, start=start,
        updates=updates, epochs=recipe.iterations / iterations_per_epoch(recipe, len(train)),
        sizes={name: len(part) for name, part in data.there().items()},
        update=update, batch=batch_seconds, image=image, evaluated=sizes_due(recipe, data, start),
        memory=max(most, held + max(wanted.total, scored)), free=free, warning=step.fallback,
    )  # fmt: skip


def pace(step: Step, images: torch.Tensor | None = None, labels: torch.Tensor | None = None) -> tuple[float, float]:
    """(seconds of an update, seconds of the evaluation of one image) of a fresh net, on `images` or on zeros."""
    spec, settings = step.net.spec, step.settings
    shape = (step.recipe.batch, spec.in_channels, spec.image_size, spec.image_size)
    images = (torch.zeros(shape) if images is None else images).to(settings.device)
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    labels = labels.to(settings.device)

    step.net.train()
    _timed(lambda: [step(images, labels, 1e-9) for _ in range(step.warm_up)], settings)
    update, _ = _timed(lambda: [step(images, labels, 1e-9) for _ in range(TIMED)], settings)
    step.net.eval()
    _timed(lambda: step.logits(images), settings)
    evaluation, _ = _timed(lambda: step.logits(images), settings)
    return update / TIMED, evaluation / len(images)


def _memory(settings: Settings) -> tuple[int, int, int | None]:
    """Bytes that this process holds on the run's device now and at most so far; what is free there (None: unknown)."""
    if settings.device.startswith("cuda"):
        held = torch.cuda.memory_reserved(settings.device)
        return held, held, torch.cuda.mem_get_info(settings.device)[0]
    return *host.resident(), host.available()


def _timed(work: Callable[[], Any], settings: Settings) -> tuple[float, Any]:
    """Seconds until the device has done `work`, and its result."""
    begin = time.perf_counter()
    result = work()
    if settings.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - begin, result
