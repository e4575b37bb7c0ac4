"""How checkpoints are scored: their batches, their logits, and the temperatures fitted on val."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reslab.api.samples import calibration_for
from reslab.options.scoring import EvaluateOptions

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.data.batches.loader import Batch
    from reslab.data.splits import Data, Split
    from reslab.engines.machine import Settings
    from reslab.measure.confidence import Temperature
    from reslab.measure.evaluate import Scores
    from reslab.models.trained import TrainedModel


@dataclass(frozen=True, eq=False)
class Job:
    """A model with the data and the split that it is scored on, and remarks on the data."""

    model: TrainedModel
    data: Data
    split: str
    notes: tuple[str, ...]

    @property
    def part(self) -> Split:
        return self.data.split(self.split)

    def has_images_of(self, other: Job) -> bool:
        """Return whether both jobs score the same images in the same order."""
        return (
            (self.data.files_fingerprint, self.split) == (other.data.files_fingerprint, other.split)
            and self.data.classes == other.data.classes
            and np.array_equal(self.part.labels, other.part.labels)
        )


@dataclass(frozen=True)
class Scorer:
    """What the scoring of each job has in common.

    data   given with --data, also as a source of images for int8; None for the training's own
    """

    options: EvaluateOptions
    settings: Settings
    data: Any

    def logits_of(self, model: TrainedModel) -> Callable[[Tensor], Tensor]:
        """Return the function from images to logits in the options' precision."""
        return model.logits(self.settings, calibration_for(model, self.options, self.data))

    def batches(self, job: Job, split: str) -> Iterable[Batch]:
        """Return the batches of a split, centred and scaled for the job's model."""
        from reslab.data.batches.loader import evaluation_batches
        from reslab.models.inputs import workers_for

        workers, transform = workers_for(job.data, self.options.workers), job.model.transform
        return evaluation_batches(
            job.data.split(split), transform.statistics, self.options.batch, workers, transform.view
        )

    def alone(self, job: Job, logits_of: Callable[[Tensor], Tensor]) -> tuple[Scores, Temperature | None]:
        """Return a model's scores, and its temperature if one is asked for."""
        from reslab.measure.evaluate import evaluate

        (temperature,) = self._temperatures([job], [logits_of])
        value = None if temperature is None else temperature.value
        scores = evaluate(
            logits_of, self.batches(job, job.split), len(job.part), len(job.data.classes), keep=True, temperature=value
        )
        return scores, temperature

    def together(
        self, jobs: Sequence[Job], functions: Sequence[Callable[[Tensor], Tensor]], how: str
    ) -> list[tuple[Scores, Temperature | None]]:
        """Return the scores and temperature of each member and, last, of their average."""
        from reslab.measure.ensemble import evaluate_together

        first, split = jobs[0], jobs[0].split
        temperatures = self._temperatures(jobs, functions, how)
        pairs = [(logits_of, self.batches(job, split)) for logits_of, job in zip(functions, jobs, strict=True)]
        values = [None if temperature is None else temperature.value for temperature in temperatures]
        alone, whole = evaluate_together(
            pairs, len(first.part), len(first.data.classes), how, keep=True, temperatures=values
        )
        return [*zip([*alone, whole], temperatures, strict=True)]

    def _temperatures(
        self, jobs: Sequence[Job], functions: Sequence[Callable[[Tensor], Tensor]], how: str | None = None
    ) -> list[Temperature | None]:
        """Return a temperature for each job and, with `how`, one for the average; None if they are not asked for."""
        from reslab.measure.confidence import Temperature, fitted_temperature
        from reslab.measure.ensemble import all_logits, average

        count = len(jobs) + (how is not None)
        if not self.options.temperature:
            return [None] * count
        val = jobs[0].data.val
        if val is None:
            return [Temperature(None, 0, f"{jobs[0].data.name} has no val split")] * count
        for job in jobs[1:]:
            if job.data.val is None or not np.array_equal(job.data.val.labels, val.labels):
                return [Temperature(None, 0, "the members have different val splits")] * count
        logits, labels = [], None
        for job, function in zip(jobs, functions, strict=True):
            scores, labels = all_logits(function, self.batches(job, "val"), len(val))
            logits.append(scores)
        assert labels is not None
        parts = [*logits] if how is None else [*logits, average(logits, how)]
        return [fitted_temperature(part, labels) for part in parts]
