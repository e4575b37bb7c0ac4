"""The options of `audit`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reslab.options.option import Options, option
from reslab.options.texts import words


@dataclass(frozen=True)
class AuditOptions(Options):
    """What a network is held against, and which departures are known."""

    verb: ClassVar[str] = "audit"

    reference: str | None = option(
        None, "net of the paper to compare with, with switches: resnet50 or resnet34,shortcut=C", "Network",
        text="the nearest", common=True,
    )  # fmt: skip
    expect: tuple[str, ...] = option(
        (), "items that are known to depart: the status is 0 if no other does", "Output", text="none", read=words,
        metavar="ITEM,…", common=True,
    )  # fmt: skip
