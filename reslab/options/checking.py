"""The options of `check`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reslab.options import shared
from reslab.options.option import Options, option


@dataclass(frozen=True)
class CheckOptions(Options):
    """How data are examined."""

    verb: ClassVar[str] = "check"

    size: int = option(224, "side of the network's input in pixels", "Data", least=1, common=True)
    grey: bool = option(False, "images are read in grey, as by nets with --in-channels 1", "Data")
    val_share: float | None = shared.val_share("none held out")
    group: str | None = shared.group()
    workers: int | None = shared.workers()
