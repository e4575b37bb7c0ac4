"""The options of the verbs that read a trained network: `evaluate`, `predict`, `probe`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from reslab.options import shared
from reslab.options.option import Options, option
from reslab.options.texts import words

Split = Literal["train", "val", "test"]
PARTS = ("responses", "gradients", "residuals", "jacobians")


@dataclass(frozen=True)
class Machine(Options):
    """What the computation runs on."""

    device: str = shared.device()
    threads: int = shared.threads()


@dataclass(frozen=True)
class Reading(Machine):
    """The data that a trained network meets."""

    data: Any = option(
        None, "as in `reslab train`, or a folder of class folders", "Data", text="the training's own", common=True,
    )  # fmt: skip
    workers: int | None = shared.workers()
    download: bool = shared.download()
    val_share: float | None = shared.val_share("the training's own")
    bad_images: Literal["error", "skip"] = shared.bad_images()


@dataclass(frozen=True)
class EvaluateOptions(Reading):
    """How `evaluate` scores."""

    verb: ClassVar[str] = "evaluate"

    split: Split | None = option(None, "the split that is scored", "Data", text="test, or val without one", common=True)
    ensemble: Literal["softmax", "logits"] | None = option(
        None, "score all of them as one too: average softmax probabilities (as the paper's release) or logits", "Data",
        text="none", common=True,
    )  # fmt: skip
    precision: Literal["fp32", "bf16"] = option(
        "fp32", "bf16: quicker on CPUs with bf16 units; close calls are computed again in fp32", "Machine", common=True,
    )  # fmt: skip
    batch: int = option(250, "images at a time", "Machine", least=1)


@dataclass(frozen=True)
class ClassifierOptions(Machine):
    """How images are classified."""

    verb: ClassVar[str] = "classifier"

    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "auto: bf16 on CPUs with units for it (close calls again in fp32), else fp32", "Machine", common=True,
    )  # fmt: skip
    batch: int = option(32, "images at a time", "Machine", least=1, common=True)


@dataclass(frozen=True)
class PredictOptions(ClassifierOptions):
    """How `predict` answers."""

    verb: ClassVar[str] = "predict"

    top: int = option(5, "classes of each image, most probable first", "Output", least=1, common=True)
    bad_images: Literal["error", "skip"] = option(
        "error", "error: stop at a file that is no image; skip: leave it out, named on stderr", "Data",
        common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class ProbeOptions(Reading):
    """What `probe` looks at."""

    verb: ClassVar[str] = "probe"

    only: tuple[str, ...] = option(
        PARTS, "some of them; gradients include activations", "Output", text=",".join(PARTS), read=words,
        metavar="PART,…", common=True,
    )  # fmt: skip
    at: str | None = option(
        None, "the block whose Jacobian is computed, such as conv3_2", "Output", text="first and last identity block",
        common=True,
    )  # fmt: skip
    samples: int = option(500, "images, the first of the split", "Data", common=True)
    split: Split = option("train", "the split they are from", "Data", common=True)
    seed: int = option(0, "of the initial weights, if a model's name is given", "Training")
