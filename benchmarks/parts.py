"""Which studies stand behind the published numbers: each a part that `benchmarks.evidence` trains and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """A study: which claims' runs, on what, how long, how many seeds. `weights`: runs whose final weights are kept.
    `gpu`: passed over where there is none.

    what                        the claims; or, without claims, nets by themselves:
    nets, recipe, precisions    each net by this recipe and in each precision
    variants                    and with each of these changes of the recipe, by name
    first                       of the seeds, so that what a recipe is chosen by is not what it is judged on
    """

    what: tuple[str, ...] = ()
    nets: tuple[str, ...] = ()
    recipe: str = "paper-cifar"
    precisions: tuple[str, ...] = ("auto",)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    first: int = 0
    data: str = "cifar10"
    scale: float | None = None
    seeds: int = 1
    depths: tuple[int, ...] | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    gpu: bool = False


SELDOM: Mapping[str, Any] = {"eval_every": 4_000, "clean_every": 16_000}
HELD_OUT: Mapping[str, Any] = {"holdout": 5_000, "eval_every": 3_097}
UNDONE: Mapping[str, Mapping[str, Any]] = {
    "whole": {},
    "sgd": {"optimizer": "sgd", "weight_decay": 5e-4},
    "full-size": {"small_until": 0, "small_size": 0, "iterations": 5_329, "rise": 533},  # as many passes
    "unsmoothed": {"label_smoothing": 0.0},
    "random-flips": {"flip": "random"},
    "border-4": {"pad": 4},
    "angle-0.014": {"muon_lr": 0.014},
    "sgd-0.3": {"optimizer": "sgd", "weight_decay": 5e-4, "lr": 0.3},
}

PARTS = {
    "digits": Part(("all",), data="digits", seeds=5),
    # rules that were changed after the runs of "digits", on other seeds
    "digits-again": Part(("C2", "C8", "C14", "C15"), data="digits", seeds=5, first=20),
    # C25, on seeds that nobody had looked at when its rule was committed
    "digits-removal": Part(("C25",), data="digits", seeds=5, first=10),
    # rules that were changed or new after a review of the claims, on seeds that nobody had looked at
    "digits-review": Part(("C3", "C17", "C18", "C22", "C23", "C26", "C27"), data="digits", seeds=5, first=30),
    # rules that were changed after the runs of "digits" and have none of their own yet, on seeds nobody had looked at
    "digits-unseen": Part(("C11", "C13"), data="digits", seeds=5, first=40),
    # what needs no training: the initial weights on 32x32 images
    "cifar10-initial": Part(("C7", "C22", "C27"), scale=0.05, seeds=5, first=30, depths=(20, 56)),
    # 1: the paper's recipe, unshortened, beside 8.75 %
    "cifar10-whole": Part(("C21",), scale=1.0, depths=(20,), set={"probe_every": 0}, weights=("s0",)),
    # how short a run to the paper's error can be
    "fast-cifar": Part(nets=("cifar_resnet20",), recipe="fast-cifar", seeds=3, weights=("s0",)),
    # what each of its parts brings, told by held-out images and other seeds: one part undone at a time
    "fast-parts": Part(nets=("cifar_resnet20",), recipe="fast-cifar", first=1_000, set=HELD_OUT, variants=UNDONE),
    "fast-parts-again": Part(
        nets=("cifar_resnet20",),
        recipe="fast-cifar",
        first=1_001,
        set=HELD_OUT,
        variants={name: UNDONE[name] for name in ("whole", "sgd")},
    ),
    # the same on a GPU, several seeds; and the fast recipe often enough to tell how its error spreads
    "gpu-whole": Part(nets=("cifar_resnet20",), seeds=5, set=SELDOM, weights=("s0",), gpu=True),
    "gpu-whole-plain": Part(nets=("cifar_plain20",), seeds=3, set=SELDOM, gpu=True),
    "gpu-fast": Part(nets=("cifar_resnet20",), recipe="fast-cifar", seeds=20, gpu=True),
    # 3 and 4: options A, B, C, three seeds; the three as ensembles
    "cifar10-eighth": Part(("C11", "C16"), scale=0.125, seeds=3, depths=(20,), set={"probe_every": 0}, weights=("s0",)),
    # the paper's recipe shortened, in both precisions; and where deep plain nets stand in them, on digits
    "cifar10-precision": Part(
        nets=("cifar_resnet20", "cifar_plain20"), precisions=("bf16", "fp32"), scale=1 / 32, seeds=2
    ),
    "digits-precision": Part(
        nets=("cifar_resnet56", "cifar_plain56"),
        precisions=("bf16", "fp32"),
        recipe="digits-study",
        data="digits",
        seeds=5,
    ),
    # the twins with three seeds, under the rules of 2026-11-27
    "cifar10-twentieth": Part(
        ("C1", "C2", "C3", "C8", "C15", "C25", "C26"),
        scale=0.05,
        seeds=3,
        first=10,
        depths=(20, 56),
        set={"probe_every": 400},
        weights=("s10",),
    ),
    # C26, and C3 on CIFAR-10: their rules are younger than the runs of the twins, so on seeds nobody had looked at
    "cifar10-unseen": Part(("C3", "C26"), scale=0.05, seeds=3, first=20, depths=(20, 56), set={"probe_every": 400}),
    # 2: the twins, probed on the way: responses, residual ratios, gradients
    "cifar10-quarter": Part(
        ("C1", "C2", "C7", "C8", "C15", "C22"), scale=0.25, depths=(20, 56), set={"probe_every": 1_000}, weights=("s0",)
    ),
}
