"""The options of the verbs that read a trained network: `evaluate`, `predict`, `probe`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from reslab.options import shared
from reslab.options.option import Options, option
from reslab.options.texts import words

Split = Literal["train", "val", "test"]
PARTS = ("responses", "gradients", "residuals", "jacobians")
EXTRAS = ("lesions", "similarity", "surface")  # measured only on request, because each takes many passes


@dataclass(frozen=True)
class Machine(Options):
    """Where the computation runs."""

    device: str = shared.device()
    threads: int = shared.threads()


@dataclass(frozen=True)
class Reading(Machine):
    """The data that a trained network is applied to."""

    data: Any = option(
        None, "as in `reslab train`; a folder or list may lack train", "Data", text="the run's", common=True,
    )  # fmt: skip
    workers: int | None = shared.workers()
    download: bool = shared.download()
    val_share: float | None = shared.val_share("the run's")
    bad_images: Literal["error", "skip"] = shared.bad_images()


@dataclass(frozen=True)
class EvaluateOptions(Reading):
    """How `evaluate` scores."""

    verb: ClassVar[str] = "evaluate"

    split: Split | None = option(None, "the split to score", "Data", text="test, or val without one", common=True)
    ensemble: Literal["softmax", "logits"] | None = option(
        None, "also score all of them as one: average their softmax (as the paper's release) or their logits", "Data",
        text="none", common=True,
    )  # fmt: skip
    precision: Literal["fp32", "bf16", "int8"] = option(
        "fp32", "bf16, int8: faster on CPUs with such units; close calls are computed again", "Machine",
        common=True,
    )  # fmt: skip
    calibration: Any = shared.calibration()
    batch: int = option(250, "images per batch", "Machine", least=1)
    temperature: bool = option(
        False, "fit a temperature on the val split, and show the calibration error after it", "Output"
    )
    pictures: Path | None = option(
        None, "folder for confusion matrix, reliability, worst images", "Output", text="none", common=True,
    )  # fmt: skip
    worst: int = option(20, "--pictures: images with the highest loss on the sheet, at most 200", "Output", least=1)


@dataclass(frozen=True)
class ClassifierOptions(Machine):
    """How images are classified."""

    verb: ClassVar[str] = "classifier"

    precision: Literal["auto", "fp32", "bf16", "int8"] = option(
        "auto", "auto: bf16 on CPUs with bf16 units, else fp32; int8 needs training images. Close calls of bf16 and "
        "int8 are computed again", "Machine", common=True,
    )  # fmt: skip
    calibration: Any = shared.calibration()
    batch: int = option(32, "images per batch", "Machine", least=1, common=True)


@dataclass(frozen=True)
class PredictOptions(ClassifierOptions):
    """What `predict` prints, and what a bad image means."""

    verb: ClassVar[str] = "predict"

    top: int = option(5, "classes per image, most probable first", "Output", least=1, common=True)
    explain: Path | None = option(
        None, "folder for the class activation map over each picture, as PNG", "Output", text="none", common=True,
    )  # fmt: skip
    bad_images: Literal["report", "skip", "error"] = option(
        "report", "a bad one is named; report: go on, exit 1; skip: go on, exit 0; error: stop", "Data",
        common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class ExplainOptions(Machine):
    """Which class activation maps are computed."""

    verb: ClassVar[str] = "explain"

    target: str | None = option(None, "the class that the maps are of, by name", "Output", text="the most probable one")
    batch: int = option(32, "images per batch", "Machine", least=1)


@dataclass(frozen=True)
class ProbeOptions(Reading):
    """What `probe` measures, and on which images."""

    verb: ClassVar[str] = "probe"

    only: tuple[str, ...] | None = option(
        None, "tables", "Output", text=f"{','.join(PARTS)}; none with the next three", read=words, metavar="PART,…",
        common=True,
    )  # fmt: skip
    lesions: bool = option(False, "errors without blocks, and with two swapped", "Output", common=True)
    similarity: bool = option(False, "CKA of each pair of blocks", "Output", common=True)
    surface: int | None = option(
        None, "loss along 1 or 2 random directions", "Output", text="none", metavar="N", common=True,
    )  # fmt: skip
    pictures: Path | None = option(None, "new folder for pictures of these three", "Output", text="none", common=True)
    at: str | None = option(
        None, "block to compute the Jacobian of, such as conv3_2", "Output", text="first and last identity block",
    )  # fmt: skip
    samples: int = option(500, "images, from the start of the split", "Data", common=True)
    split: Split = option("train", "their split", "Data", common=True)
    seed: int = option(
        0, "seed of random blocks and directions, and of the initial weights if SOURCE is a model's name", "Training",
    )  # fmt: skip
