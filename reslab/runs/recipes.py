"""The named recipes. Each is a function that returns a complete frozen object; its docstring gives the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reslab.data.source import DataLike, source_of
from reslab.errors import UserError, suggest
from reslab.runs.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {}  # in the order of this file, as `reslab recipe list` shows them


def named(make: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Register a recipe under its name."""
    RECIPES[make().name] = make
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


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`. Raises UserError with similar names."""
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}{suggest(str(name), RECIPES)}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


def default_for(source: DataLike) -> str:
    """Return the name of the recipe that a data source is trained with if none is named."""
    return source_of(source).recipe
