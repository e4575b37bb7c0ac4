"""`Check`: what `check` found about data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reslab.data.check.finding import Finding, faults, merged, told


@dataclass(frozen=True)
class Check:
    """What was found about data.

    name       of the data
    splits     split → class → number of images that can be read
    findings   what was found, see `Finding`
    examined   files or images that were looked at
    """

    name: str
    splits: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]
    examined: int

    @property
    def faults(self) -> int:
        """Number of kinds of faults."""
        return len(faults(merged(self.findings)))

    @property
    def is_fine(self) -> bool:
        """Return whether nothing was found for which training or its score would go wrong."""
        return not self.faults

    def to_dict(self, examples: int | None = None) -> dict[str, Any]:
        """Return everything in plain types; at most so many names for a finding."""
        return {
            "name": self.name,
            "fine": self.is_fine,
            "splits": {split: dict(classes) for split, classes in self.splits.items()},
            "examined": self.examined,
            "findings": [finding.to_dict(examples) for finding in self.findings],
        }

    def lines(self, examples: int = 3) -> list[str]:
        """Return a head and a line for each kind of finding, faults first, with at most so many names."""
        sizes = ", ".join(f"{split} {sum(classes.values()):,}" for split, classes in self.splits.items())
        classes = max((len(classes) for classes in self.splits.values()), default=0)
        verdict = f"{self.faults} fault{'s' if self.faults > 1 else ''}" if self.faults else "no fault"
        head = f"{self.name}: {verdict}; {sizes}; {classes:,} classes"
        return [head, *(f"{level}  {line}" for level, line in told(self.findings, examples))]

    def __str__(self) -> str:
        return "\n".join(self.lines())
