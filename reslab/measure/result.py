"""The results of an evaluation (one checkpoint, one split, exact scores) and of a prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.measure.evaluate import Scores
from reslab.notebook import percent, table


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint's exact scores on a split. `scores`: n, errors in percent, loss, Wilson interval, per class.

    iteration   None for imported weights
    note        number of images without finite scores, the reason for a slower engine, an extended training; or ""
    data_notes  remarks on the data, one line each
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`; per class: name, samples, wrong, error in percent (None without samples)."""
        per_class = [
            {"class": name, "n": n, "wrong": wrong, "error": 100.0 * wrong / n if n else None}
            for name, (n, wrong) in zip(self.classes, self.scores.per_class, strict=True)
        ]
        return {
            "checkpoint": str(self.checkpoint),
            "model": self.model,
            "iteration": self.iteration,
            "data": self.data,
            "split": self.split,
            "precision": self.precision,
            "note": self.note or None,
            "data_notes": list(self.data_notes),
            **self.scores.to_dict(),
            "per_class": per_class,
        }

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
        return table("; ".join(filter(None, (about, self.note, *self.data_notes))), head, [row])


@dataclass(frozen=True)
class Prediction:
    """A file and its most probable classes, each with its probability (softmax of the logits), highest first.

    map   file of the class activation map, if one was asked for
    """

    file: str
    classes: tuple[tuple[str, float], ...]
    map: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`."""
        return {
            "file": self.file,
            "classes": [name for name, _ in self.classes],
            "probabilities": [share if math.isfinite(share) else None for _, share in self.classes],
            **({} if self.map is None else {"map": str(self.map)}),
        }

    def _repr_html_(self) -> str:
        return table(
            self.file, ("class", "probability"), [(name, percent(100 * share)) for name, share in self.classes]
        )
