"""The options of `doctor`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from reslab.options.option import Options, option


@dataclass(frozen=True)
class DoctorOptions(Options):
    """Where runs are to be written."""

    verb: ClassVar[str] = "doctor"

    out: Path = option(Path("runs"), "folder of the runs, checked for room and not made", "Output", common=True)
