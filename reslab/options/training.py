"""The options of `train` and `train_seeds`. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from reslab.data.known import grammar
from reslab.options import shared
from reslab.options.option import Options, option

OWN_RECIPE = "digits; CIFAR: paper-cifar; own images: photos, with --init-from finetune"


@dataclass(frozen=True)
class TrainOptions(Options):
    """The data, the recipe and its length, where the run is written, and how it is computed."""

    verb: ClassVar[str] = "train"

    data: Any = option("digits", grammar(), "Data", common=True)
    recipe: Any = shared.recipe(OWN_RECIPE, common=True)
    out: Path | None = option(None, "run folder", "Training", text="runs/MODEL-DATA-RECIPE-sSEED", common=True)
    seed: int = option(0, "seed of weights, order and augmentation", "Training", common=True)
    iterations: int | None = option(
        None, "stop after so many updates; the learning rate drops when the recipe says", "Training",
        text="the recipe's",
    )  # fmt: skip
    epochs: float | None = option(
        None, "stop after so many epochs", "Training", text="the recipe's", most=shared.LONGEST, common=True,
    )  # fmt: skip
    batch: Any = option(
        None, "images per update; auto: the recipe's, in parts (bn_batch) that fit into the free memory", "Training",
        text="the recipe's",
    )  # fmt: skip
    extend: int | None = option(
        None,
        "continue a finished run to so many iterations in all; recorded, as one longer run would differ",
        "Training", text="off", least=1,
    )  # fmt: skip
    init_from: Any = option(
        None,
        "begin from a trained model; MODEL may be left out then; the head is kept if the classes are the same",
        "Training", text="random weights", metavar="RUN",
    )  # fmt: skip
    freeze: str | None = option(
        None,
        "with --init-from: parts that do not learn, nor their BN statistics: stem..conv4_x or stem,conv3_x",
        "Training", text="none", metavar="PARTS",
    )  # fmt: skip
    log: Literal["tensorboard"] | None = option(
        None, "tensorboard: also write the scalars of metrics.jsonl for TensorBoard, in the run's folder", "Output",
        text="metrics.jsonl alone",
    )  # fmt: skip
    scale: float | None = shared.scale()
    set: Mapping[str, Any] | None = shared.changes(common=True)
    download: bool = shared.download()
    val_share: float | None = shared.val_share("none held out")
    group: str | None = shared.group()
    range: str = option(
        "auto",
        "levels of 16-bit files that become black and white: LOW,HIGH; full: 0,65535; auto: those of the training "
        "files if they use less than an eighth of that",
        "Data", metavar="LOW,HIGH",
    )  # fmt: skip
    bad_images: Literal["error", "skip"] = shared.bad_images()
    workers: int | None = shared.workers()
    device: str = shared.device()
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "auto: bf16 if the device has units for it, but fp32 for small nets on a CPU", "Machine",
    )  # fmt: skip
    engine: Literal["auto", "winograd", "fused", "compiled-graph", "graph", "compiled", "eager"] = option(
        "auto",
        "how updates are computed. eager: plain PyTorch; fused: BN, addition and ReLU in one pass (CPU); winograd: "
        "fused, with reslab's own 3x3 convolutions (CPU with AVX512-BF16); compiled: torch.compile; graph: a CUDA "
        "graph (GPU); compiled-graph: both",
        "Machine",
    )
    threads: int = shared.threads()
    processes: int = option(
        1,
        "train one run in so many processes of this machine, each with its share of every batch and its own BN "
        "statistics; under torchrun the ranks are those that it starts",
        "Machine", text="one", least=1,
    )  # fmt: skip
    sync_bn: bool = option(
        False, "with several processes: BN statistics of the whole batch, by plain PyTorch operators", "Machine",
    )  # fmt: skip
    timeout: float = option(
        600.0, "with several processes: seconds to wait for one that does not answer", "Machine", least=1,
    )  # fmt: skip
    max_restarts: int = option(
        0, "with --processes: start all again from the newest checkpoint so often after one has failed", "Machine",
        least=0,
    )  # fmt: skip
    recompute: Literal["auto", "on", "off"] = option(
        "auto", "compute activations again in the backward pass: less memory, a third more time",
        "Machine",
    )  # fmt: skip


@dataclass(frozen=True)
class SeedsOptions(TrainOptions):
    """The same, and how many runs there are."""

    seeds: int = option(
        1,
        "train so many runs, with the seeds SEED, SEED+1 …, and show the 95 % interval of the error over them; "
        "--out DIR: in DIR/sSEED",
        "Training", text="one run", least=1,
    )  # fmt: skip
    on: str | None = shared.on("here, one after another")
    cores_per_run: int | None = shared.cores_per_run()
    gpus_per_run: int = shared.gpus_per_run()
    lease: float = shared.lease()


OF_MANY_RUNS = tuple(name for name in SeedsOptions.described() if name not in TrainOptions.described())
