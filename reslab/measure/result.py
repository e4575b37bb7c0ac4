"""The results of an evaluation (one checkpoint, one split, exact scores) and of a prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.check.finding import EXAMPLES, Finding, told
from reslab.measure.answers import confusion, largest_confusions
from reslab.measure.confidence import Bin, Temperature, bins, calibration_error
from reslab.measure.evaluate import Scores
from reslab.measure.mcnemar import Comparison
from reslab.notebook import percent, table

MOST_CLASSES = 200  # with more, `to_dict` has no confusion matrix, which would have millions of numbers
MOST_CONFUSIONS = 20


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint's exact scores on a split. `scores`: n, errors in percent, loss, Wilson interval, per class.

    iteration   None for imported weights
    note        number of images without finite scores, the reason for a slower engine, an extended training; or ""
    data_notes  remarks on the data, one line each
    findings    what the examination of a folder found: faults, and notes that concern the scored split
    temperature fitted on the val split, if it was asked for
    comparison  with the first network of the call, on the same images
    pictures    files that were written
    """

    checkpoint: Path
    model: str
    iteration: int | None
    data: str
    split: str
    precision: str
    classes: tuple[str, ...]
    scores: Scores
    note: str = ""
    data_notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    temperature: Temperature | None = None
    comparison: Comparison | None = None
    pictures: tuple[Path, ...] = ()

    @property
    def confusion(self) -> np.ndarray | None:
        """Numbers of images by true and predicted class, int64 [classes, classes]; None if no answers were kept.

        Images whose scores are not finite are in no column, so a row adds up to its class's images without these.
        """
        answers = self.scores.answers
        return None if answers is None else confusion(answers, len(self.classes))

    @property
    def reliability(self) -> list[Bin] | None:
        """The 15 equal-width bins of the top-1 confidence; None if no answers were kept."""
        answers = self.scores.answers
        return None if answers is None else bins(answers.confidence, answers.right)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over these bins, in percent."""
        return None if self.reliability is None else calibration_error(self.reliability)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`; errors, precision, recall and calibration are in percent.

        per_class   name, samples, those without finite scores, wrong, error, precision (None if the class was never
                    predicted), recall (None without samples)
        confusion   as `Evaluation.confusion`; None for more than 200 classes
        """
        return {
            "checkpoint": str(self.checkpoint),
            "model": self.model,
            "iteration": self.iteration,
            "data": self.data,
            "split": self.split,
            "precision": self.precision,
            "note": self.note or None,
            "data_notes": list(self.data_notes),
            "findings": [finding.to_dict(EXAMPLES) for finding in self.findings],
            **self.scores.to_dict(),
            "unfit": self.scores.unfit,
            "balanced_error": self.scores.balanced_error,
            "calibration": self._calibration(),
            **self._confusions(),
            "per_class": self._per_class(),
            "compared_with_first": None if self.comparison is None else self.comparison.to_dict(),
            "pictures": [str(path) for path in self.pictures],
        }

    def _calibration(self) -> dict[str, Any] | None:
        answers, fitted = self.scores.answers, self.temperature
        if answers is None:
            return None
        temperature = None
        if fitted is not None:
            after = None if answers.tempered is None else calibration_error(bins(answers.tempered, answers.right))
            temperature = {
                "value": fitted.value, "fitted_on": "val", "n": fitted.n, "error": after,
                "reason": fitted.reason or None,
            }  # fmt: skip
        parts = bins(answers.confidence, answers.right)
        return {
            "error": calibration_error(parts), "bins": [part.to_dict() for part in parts], "temperature": temperature,
        }  # fmt: skip

    def _confusions(self) -> dict[str, Any]:
        answers, names = self.scores.answers, self.classes
        if answers is None:
            return {"confusion": None, "largest_confusions": []}
        largest = [
            {"true": names[true], "predicted": names[predicted], "n": n}
            for true, predicted, n in largest_confusions(answers, len(names), MOST_CONFUSIONS)
        ]
        matrix = confusion(answers, len(names)).tolist() if len(names) <= MOST_CLASSES else None
        return {"confusion": matrix, "largest_confusions": largest}

    def _per_class(self) -> list[dict[str, Any]]:
        answers, count = self.scores.answers, len(self.classes)
        rows = []
        predicted = unfit = None
        if answers is not None:
            predicted = np.bincount(answers.predicted[answers.fit], minlength=count).tolist()
            unfit = np.bincount(answers.labels[~answers.fit], minlength=count).tolist()
        for place, (name, (n, wrong)) in enumerate(zip(self.classes, self.scores.per_class, strict=True)):
            right = n - wrong
            rows.append(
                {
                    "class": name, "n": n, "unfit": None if unfit is None else unfit[place], "wrong": wrong,
                    "error": 100.0 * wrong / n if n else None,
                    "precision": 100.0 * right / predicted[place] if predicted and predicted[place] else None,
                    "recall": 100.0 * right / n if n else None,
                }
            )  # fmt: skip
        return rows

    def __repr__(self) -> str:
        low, high = self.scores.interval
        return (
            f"Evaluation({self.model}, {self.split}: top-1 error {self.scores.top1_error:.2f} % "
            f"[{low:.2f}, {high:.2f}], n = {self.scores.n:,})"
        )

    def _repr_html_(self) -> str:
        scores, (low, high) = self.scores, self.scores.interval
        row = (self.data, self.split, scores.n, f"{scores.top1_error:.2f} %", f"{low:.2f} to {high:.2f} %",
               f"{scores.top5_error:.2f} %", f"{scores.loss:.4f}")  # fmt: skip
        head = ("data", "split", "n", "top-1 error", "95 % interval", "top-5 error", "loss")
        state = "imported" if self.iteration is None else f"iteration {self.iteration:,}"
        about = f"{self.model}, {state}, {self.precision}, {self.checkpoint}"
        lines = (f"{level}: {line}" for level, line in told(self.findings, skipped=True))
        return table("; ".join(filter(None, (about, self.note, *self.data_notes, *lines))), head, [row])


@dataclass(frozen=True)
class Prediction:
    """An image and its most probable classes, each with its probability (softmax of the logits), highest first.

    file    path of the image, or its place, as `images[2]`, if it has none
    map     file of the class activation map, if one was asked for
    error   the reason that a bad image has no classes; None for a good one
    """

    file: str
    classes: tuple[tuple[str, float], ...]
    map: Path | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`."""
        return {
            "file": self.file,
            "classes": [name for name, _ in self.classes],
            "probabilities": [share if math.isfinite(share) else None for _, share in self.classes],
            **({} if self.map is None else {"map": str(self.map)}),
            **({} if self.error is None else {"error": self.error}),
        }

    def _repr_html_(self) -> str:
        rows = [(name, percent(100 * share)) for name, share in self.classes]
        title = self.file if self.error is None else f"{self.file}: {self.error}"
        return table(title, ("class", "probability"), rows)
