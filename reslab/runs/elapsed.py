"""The wall-clock time of a run, which may have had breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass
class Elapsed:
    """The wall-clock time of a run, line by line: the sum of the stretches between resumes, each with a clock."""

    before: float = 0.0
    stretch: float = 0.0

    @property
    def seconds(self) -> float:
        return self.before + self.stretch

    def add(self, line: dict[str, Any]) -> float:
        """Add a line of `metrics.jsonl` and return the seconds up to it."""
        if line.get("kind") == "resume":
            self.before, self.stretch = self.seconds, 0.0
        elif isinstance(line.get("clock"), dict):
            seconds = line["clock"].get("seconds")
            if isinstance(seconds, int | float) and math.isfinite(seconds):
                self.stretch = max(self.stretch, seconds)
        return self.seconds
