"""The named recipes. Each is a function that returns a complete frozen object; its docstring gives the source."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from reslab.data.source import DataLike, source_of
from reslab.errors import UserError, suggest
from reslab.runs.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {}  # in the order of this file, as `reslab recipe list` shows them
SIZED: dict[str, Callable[[int], Recipe]] = {}  # those that depend on the number of training images
EXAMPLE = 1_000  # training images for which a sized recipe is shown


def named(make: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Register a recipe under its name."""
    RECIPES[make().name] = make
    return make


def sized(make: Callable[[int], Recipe]) -> Callable[[int], Recipe]:
    """Register a recipe that is sized by the number of training images."""
    name = make(EXAMPLE).name
    SIZED[name] = make
    RECIPES[name] = wraps(make)(lambda: make(EXAMPLE))
    return make


@named
def paper_cifar() -> Recipe:
    """§4.2: batch 128, 0.1 divided by 10 at 32k and 48k, stop at 64k iterations, weight decay 1e-4, momentum 0.9.

    110 layers and more start at 0.01 until the training error is below 80 %. The paper: 8.75 % for 20 layers.
    `reslab train cifar_resnet20 --data cifar10:PATH --recipe paper-cifar`
    """
    return Recipe()


@named
def fast_cifar() -> Recipe:
    """A twelfth of the paper's full-size passes: Muon, one line up and down, small images first, smoothed labels.

    By pilots on the 45k/5k split (docs/fast.md).
    `reslab train cifar_resnet20 --data cifar10:PATH --recipe fast-cifar`
    """
    return Recipe(
        name="fast-cifar",
        iterations=9_290,
        lr=0.14,
        drops=(),
        momentum_form="nesterov",
        pad=2,
        schedule="linear",
        rise=929,
        optimizer="muon",
        muon_lr=0.02,
        label_smoothing=0.1,
        flip="alternating",
        small_size=20,
        small_until=6_500,
    )


@named
def digits() -> Recipe:
    """Minutes on a laptop: the paper's rule shortened for the 1,297 training images of scikit-learn's digits.

    Crops without flips (a flipped 2 is no 2); the rate drops at one half and three quarters, as in the paper.
    `reslab train cifar_resnet20`
    """
    return Recipe(
        name="digits",
        batch=64,
        iterations=600,
        drops=(300, 450),
        augment="crop",
        pad=1,
        eval_every=50,
        clean_every=50,
        log_every=25,
        save_every=100,
        warmup_window=10,
        warmup_alarm=200,
    )


@named
def digits_study() -> Recipe:
    """The claims on digits: 400 iterations at 0.02, chosen on seeds 100 to 102, shown on 0 to 4; probed on the way.

    At a rate of 0.1 and this length, the residual 56-layer net does not learn either (docs/log.md).
    `reslab reproduce all`
    """
    return replace(
        digits(),
        name="digits-study",
        lr=0.02,
        iterations=400,
        drops=(200, 300),
        eval_every=40,
        clean_every=40,
        save_every=200,
        probe_every=100,
    )


@named
def paper_cifar_smoke() -> Recipe:
    """`paper-cifar` in 40 iterations: does everything once, proves nothing about accuracy."""
    return Recipe(
        name="paper-cifar-smoke",
        iterations=40,
        drops=(20, 30),
        eval_every=40,
        clean_every=40,
        log_every=10,
        save_every=20,
        warmup_window=10,
        warmup_alarm=30,
    )


@named
def digits_smoke() -> Recipe:
    """`digits` in 20 iterations."""
    return Recipe(
        name="digits-smoke",
        batch=64,
        iterations=20,
        drops=(10, 15),
        augment="crop",
        pad=1,
        eval_every=10,
        clean_every=10,
        log_every=5,
        save_every=5,
        warmup_window=5,
        warmup_alarm=15,
    )


def _length(images: int, batch: int, epochs: float, least: int) -> dict[str, Any]:
    """Return the length of a sized recipe and its intervals, in iterations.

    epochs   over the images, but at least `least` iterations
    Val is scored about 25 times, the training images four times; a checkpoint is saved whenever val is scored.
    """
    iterations = max(least, round(epochs * images / batch))
    often = max(1, iterations // 25)
    return {
        "iterations": iterations, "rise": max(1, iterations // 20), "eval_every": often, "save_every": often,
        "clean_every": max(1, iterations // 4), "log_every": max(1, min(100, iterations // 50)), "images": images,
    }  # fmt: skip


def _epochs(images: int) -> float:
    """Return the epochs from random weights: 100 up to 10,000 images, then fewer, and never below 30."""
    return max(30.0, 100 * min(1.0, math.sqrt(10_000 / images)))


def _batch(images: int) -> int:
    """Return the batch for a number of images: a small set would otherwise get few updates."""
    return 32 if images < 5_000 else 64 if images < 50_000 else 256


FOLDERS = Recipe(  # what the recipes for own images have in common; the rate is the paper's (§3.4) for batches of 256
    drops=(), schedule="cosine", centre="channel", scale="channel-std", bn_statistics="precise",
    momentum_form="nesterov", warmup_from_depth=0,
)  # fmt: skip


@sized
def photos(images: int) -> Recipe:
    """Own images, from random weights: 100 epochs (fewer beyond 10,000 images), one rise and a half cosine.

    The rate is 0.1 for batches of 256 (§3.4) and in proportion for smaller ones; BN statistics are precise.
    `reslab train resnet18 --data FOLDER`
    """
    batch = _batch(images)
    return replace(
        FOLDERS, name="photos", batch=batch, lr=0.1 * batch / 256, **_length(images, batch, _epochs(images), 300)
    )


@sized
def finetune(images: int) -> Recipe:
    """Own images, from trained weights (--init-from): 20 epochs at half the rate of `photos`.

    At least 200 updates, for sets of a few hundred images; BN statistics are precise.
    `reslab train --data FOLDER --init-from RUN`
    """
    batch = _batch(images)
    return replace(FOLDERS, name="finetune", batch=batch, lr=0.05 * batch / 256, **_length(images, batch, 20, 200))


@sized
def modern(images: int) -> Recipe:
    """`photos` twice as long with what came after the paper: mixup, CutMix, smoothed labels, averaged weights …

    TrivialAugment, and no decay of biases and BN. Values as others publish them for ImageNet, not chosen by us.
    `reslab train resnet18 --data FOLDER --recipe modern`
    """
    batch = _batch(images)
    return replace(
        FOLDERS, name="modern", batch=batch, lr=0.1 * batch / 256, augment="trivial", label_smoothing=0.1, mixup=0.2,
        cutmix=1.0, average=0.999, decay_on="weights", **_length(images, batch, 2 * _epochs(images), 600),
    )  # fmt: skip


def recipe(name: str, images: int | None = None) -> Recipe:
    """Return the recipe called `name`, sized by `images` training images if it is of that kind (None: EXAMPLE).

    Raises UserError with similar names.
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}{suggest(str(name), RECIPES)}; there are {', '.join(RECIPES)}")
    return SIZED[name](images) if images and name in SIZED else RECIPES[name]()


def default_for(source: DataLike, init: bool = False) -> str:
    """Return the name of the recipe that a data source is trained with if none is named.

    init   the run begins from trained weights
    """
    known = source_of(source).known_set
    return known.recipe if known else "finetune" if init else "photos"
