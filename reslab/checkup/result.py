"""The result of a checkup: findings by section, and what `auto` chooses for typical jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reslab.notebook import table

OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True)
class Finding:
    """One fact about the machine or the installation.

    status    ok, note (something is missing or slower, and training works) or fault (something is broken)
    text      the fact; of a fault the reason too
    remedy    what to do, or ""
    prevents  a fault without whose remedy nothing can be trained
    values    the fact in plain types, for `--json`
    """

    subject: str
    status: str
    text: str
    remedy: str = ""
    prevents: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Return text and remedy."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True)
class Choice:
    """What `auto` chooses for a job.

    job       net, data and recipe in words
    why       the settings and their reasons, as in `train --dry-run`
    workers   processes that decode images
    obstacle  the reason an update does not fit into memory, or ""
    """

    job: str
    device: str
    precision: str
    engine: str
    threads: int
    workers: int
    recompute: bool
    why: str
    obstacle: str = ""


@dataclass(frozen=True)
class Checkup:
    """What a machine and an installation have; `sections` by name, `choices` of `auto` for typical jobs."""

    answer: str
    sections: Mapping[str, tuple[Finding, ...]]
    choices: tuple[Choice, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        return self._of(FAULT)

    @property
    def notes(self) -> tuple[Finding, ...]:
        return self._of(NOTE)

    @property
    def can_train(self) -> bool:
        return not any(finding.prevents for finding in self.faults)

    def _of(self, status: str) -> tuple[Finding, ...]:
        return tuple(f for findings in self.sections.values() for f in findings if f.status == status)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`."""
        sections = {name: [asdict(finding) for finding in findings] for name, findings in self.sections.items()}
        return {
            "answer": self.answer,
            "can_train": self.can_train,
            "faults": len(self.faults),
            "notes": len(self.notes),
            "sections": sections,
            "choices": [asdict(choice) for choice in self.choices],
        }

    def __repr__(self) -> str:
        return f"Checkup({self.answer} {counts(self.to_dict())})"

    def _repr_html_(self) -> str:
        rows = [(f.status, name, f.subject, f.line) for name, findings in self.sections.items() for f in findings]
        rows += [(NOTE if c.obstacle else OK, "auto", c.job, c.obstacle or c.why) for c in self.choices]
        return table(f"{self.answer} {counts(self.to_dict())}", ("", "section", "subject", "finding"), rows)


def counts(result: Mapping[str, Any]) -> str:
    """Return "1 fault, 2 notes" of `Checkup.to_dict()`."""
    return ", ".join(f"{result[key]} {key[: None if result[key] != 1 else -1]}" for key in ("faults", "notes"))
