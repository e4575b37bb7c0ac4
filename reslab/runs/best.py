"""The best scores of val in a run, and how many scores ago they were. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

BEST = "best"  # folder of the best checkpoint on val, among the run's others


@dataclass(frozen=True)
class Best:
    """The lowest top-1 error of val (percent), of equal ones the one with the lowest loss, of those the first.

    iteration   None before the first scores
    since       scores of val after it
    """

    iteration: int | None = None
    error: float = float("inf")
    loss: float = float("inf")
    since: int = 0

    @staticmethod
    def of(lines: Iterable[dict[str, Any]]) -> Best:
        """Return the best of the lines of `metrics.jsonl`."""
        best = Best()
        for line in lines:
            best = best.after(line)
        return best

    def after(self, line: dict[str, Any]) -> Best:
        """Return the best once `line` is recorded; lines of other kinds and splits change nothing."""
        if line.get("kind") != "eval" or line.get("split") != "val":
            return self
        loss = float("inf") if line.get("loss") is None else float(line["loss"])
        if (line["top1_error"], loss) < (self.error, self.loss):
            return Best(int(line["iteration"]), line["top1_error"], loss)
        return Best(self.iteration, self.error, self.loss, self.since + 1)
