"""The options of `train`. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from reslab.data.known import grammar
from reslab.options.option import Options, option
from reslab.options.texts import pairs

LONGEST = 1e9  # epochs, or the factor of a schedule: far beyond any run, and every count of it is still a number
OWN_RECIPE = "digits for digits, else paper-cifar"


@dataclass(frozen=True)
class TrainOptions(Options):
    """The data, the recipe and its length, where the run is written, and how it is computed."""

    verb: ClassVar[str] = "train"

    data: Any = option("digits", grammar(), "Data", common=True)
    recipe: Any = option(None, "see `reslab recipe list`", "Training", text=OWN_RECIPE, common=True)
    out: Path | None = option(None, "run folder", "Training", text="runs/MODEL-DATA-RECIPE-sSEED", common=True)
    seed: int = option(0, "of initial weights, order and augmentation", "Training", common=True)
    iterations: int | None = option(
        None, "stop after so many updates; the learning rate drops where it did", "Training", text="the recipe's",
    )  # fmt: skip
    epochs: float | None = option(
        None, "stop after so many passes over the training split", "Training", text="the recipe's", most=LONGEST,
        common=True,
    )  # fmt: skip
    scale: float | None = option(
        None, "the schedule's length: 0.25 is a quarter of it", "Training", text="1", most=LONGEST,
    )  # fmt: skip
    set: Mapping[str, Any] | None = option(
        None, "change a field of the recipe, as in --set lr=0.05", "Training", text="none",
        read=pairs, metavar="KEY=VALUE", common=True,
    )  # fmt: skip
    download: bool = option(False, "let --data cifar10 download the archive", "Data")
    val_share: float | None = option(
        None, "share held out from a folder that has no val/", "Data", text="none held out",
    )  # fmt: skip
    bad_images: Literal["error", "skip"] = option(
        "error", "error: refuse damaged files; skip: leave them out and count them", "Data",
    )  # fmt: skip
    workers: int | None = option(None, "processes that decode image files", "Data", text="one a core")
    device: str = option("auto", "auto, cpu, cuda, cuda:1", "Machine", common=True)
    precision: Literal["auto", "fp32", "bf16"] = option("auto", "of the arithmetic", "Machine")
    engine: Literal["auto", "winograd", "fused", "compiled", "eager"] = option(
        "auto",
        "winograd: fused, with our own 3x3 convolutions (CPU with AVX512-BF16); fused: BN, addition and ReLU in one "
        "pass (CPU); compiled: torch.compile",
        "Machine",
    )
    threads: int = option(0, "CPU threads; 0 is all", "Machine")
    recompute: Literal["auto", "on", "off"] = option(
        "auto", "keep fewer activations and compute them again in the backward pass: less memory, a third more time",
        "Machine",
    )  # fmt: skip
