"""The options of the verbs that judge claims and write pages: `reproduce`, `claims`, `notes`, `report` … Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reslab.options import shared
from reslab.options.option import Options, option
from reslab.options.shared import Language
from reslab.options.texts import numbers, seconds


@dataclass(frozen=True)
class ReproduceOptions(Options):
    """The study that `reproduce` runs."""

    verb: ClassVar[str] = "reproduce"

    data: Any = option("digits", "digits, or cifar10:PATH", "Data", common=True)
    depths: Sequence[int] | None = option(
        None, "depths of the plain and residual nets", "Training", text="8,20,56 on digits, else 20,56", read=numbers,
        metavar="N,N,…", common=True,
    )  # fmt: skip
    seeds: int | None = option(
        None, "runs of each net, with seeds 0, 1, 2 …", "Training", text="5 on digits, else 1", common=True,
    )  # fmt: skip
    first_seed: int = option(
        0, "the first of these seeds; a rule changed after its runs needs seeds that were not used before", "Training",
        least=0, most=10**9,
    )  # fmt: skip
    scale: float | None = shared.scale("1 on digits, else 0.25")
    recipe: Any = shared.recipe("digits-study for digits, else paper-cifar")
    set: Mapping[str, Any] | None = shared.changes()
    out: Path | None = option(
        None, "folder of the runs and the report", "Output", text="runs/study-DATA", common=True,
    )  # fmt: skip
    processes: int | None = option(
        None, "runs at the same time", "Machine", text="as many as cores and memory allow", least=1,
    )  # fmt: skip
    device: str = option("auto", "auto, cpu, cuda", "Machine")
    on: str | None = shared.on("local")
    cores_per_run: int | None = shared.cores_per_run()
    gpus_per_run: int = shared.gpus_per_run()
    lease: float = shared.lease()
    budget: float | None = option(
        None, "time limit, such as 30m: run the claims that fit, cheapest first", "Training",
        text="none", read=seconds, metavar="TIME", common=True,
    )  # fmt: skip
    lang: Language = shared.lang("language of messages and report")
    download: bool = shared.download()


@dataclass(frozen=True)
class ClaimsOptions(Options):
    """The records that `claims` judges."""

    verb: ClassVar[str] = "claims"

    records: Sequence[Path] | None = option(
        None, "folders of studies", "Data", text="runs/* and the committed results", common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class TextOptions(Options):
    """How the text is printed that `describe` and `claims` show."""

    verb: ClassVar[str] = "text"

    lang: Language = shared.lang("language of the text")


@dataclass(frozen=True)
class ReportOptions(Options):
    """The page that `report` writes."""

    verb: ClassVar[str] = "report"

    out: Path | None = option(
        None, "the page's file", "Output", text="report.html in the one folder given, else here", common=True,
    )  # fmt: skip
    lang: Language = shared.lang("language of the page")
    overwrite: bool = option(False, "replace any existing file, not only a report of reslab", "Output", common=True)


@dataclass(frozen=True)
class NotesOptions(Options):
    """The records that `notes` judges claims by, and the page that it writes."""

    verb: ClassVar[str] = "notes"

    records: Sequence[Path] | None = option(
        None, "folders of studies", "Data", text="runs/* and the committed results", common=True,
    )  # fmt: skip
    out: Path | None = option(
        None, "an HTML file, with pictures", "Output", text="print the lines", common=True,
    )  # fmt: skip
    lang: Language = option("en", "language of the words", "Output", common=True)
    overwrite: bool = option(False, "replace a file that is no page of reslab too", "Output", common=True)


@dataclass(frozen=True)
class DrawOptions(Options):
    """The file that `draw` writes."""

    verb: ClassVar[str] = "draw"

    out: Path | None = option(
        None, "a file: .svg, .png or .html", "Output", text="MODEL-MODEL.svg here, or SVG to a pipe", common=True,
    )  # fmt: skip
    blocks: bool = option(False, "draw the basic and the bottleneck block, each with its cost", "Output", common=True)
    overwrite: bool = option(False, "replace the file if it exists", "Output", common=True)


@dataclass(frozen=True)
class RecipeOptions(Options):
    """Changes to the recipe that `recipe show` prints."""

    verb: ClassVar[str] = "recipe show"

    scale: float | None = shared.scale(common=True)
    set: Mapping[str, Any] | None = shared.changes("change a field: --set lr=0.05 --set drops=100,200", common=True)


@dataclass(frozen=True)
class FigureOptions(Options):
    """The file that `figure` writes."""

    verb: ClassVar[str] = "figure"

    out: Path | None = option(
        None, "a file: .svg, .png or .html (with interactive charts; fig3, fig5 and tables are static)",
        "Output", text="NAME.svg", common=True,
    )  # fmt: skip
    lang: Language = shared.lang("language of labels")
    overwrite: bool = option(False, "replace the file if it exists", "Output", common=True)
