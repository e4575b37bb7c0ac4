"""How a network is trained: one frozen, torch-free `Recipe`, each choice a named field.

Values that the paper states have its section. Choices that it leaves open are fields too (`openchoices`), so that every
run records its choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints

from reslab.errors import UserError, suggest
from reslab.runs.limits import LONGEST, check

# What other libraries call a field → the field.
OTHER_NAMES = {"accumulate": "bn_batch", "accumulation": "bn_batch", "grad_accum": "bn_batch",
    "gradient_accumulation": "bn_batch", "ema": "average", "early_stop": "patience", "class_weights": "balance",
    "epochs": "iterations", "learning_rate": "lr", "batch_size": "batch"}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A complete recipe. Lengths are in iterations (an iteration is one update with `batch` images), errors in percent.

    images                training images that a recipe of this name was sized by (`recipes`); 0: of fixed length
    iterations, drops     stop after `iterations`; the rate is multiplied by `drop_factor` at each of `drops` (§4.2)
    lr, momentum, weight_decay    SGD (§4.2)
    warmup_lr             the rate of the error-conditioned phase for nets of `warmup_from_depth` layers or more (§4.2)
    warmup_error          the phase ends when the running training error over `warmup_window` iterations is below this
    warmup_alarm          warn if the phase has not ended after this many iterations; training continues
    augment               "crop-flip" (pad, random crop, flip: §4.2), "crop" (no flip: digits, letters) or "none";
                          beyond the paper "trivial": crop and flip, then TrivialAugment (Müller, Hutter 2021)
    resize                image files: "crop" cuts out the centre (§3.4), "squash" changes the proportions, "letterbox"
                          adds a border; no effect on sets in memory, which have squares of the net's size
    centre                "pixel": the training split's per-pixel mean is subtracted (§4.2), before padding; "channel"
    bn_batch              images that BN sees at once, 0: the batch. An update accumulates the gradients of these parts,
                          in the memory of one; without BN that equals the whole batch
    bn_statistics         "moving" averages, or "precise": those of a pass with the weights, before they are scored
    holdout               training images held out as the val split (5,000 for the paper's 45k/5k split)
    eval_every            iterations between measurements of the test (or val) error
    clean_every           iterations between clean passes over the training split in evaluation mode
    probe_every           iterations between probes of the first 128 training samples, from the initial weights on; 0:
                          no probes
    log_every, save_every iterations between lines of running loss, and between checkpoints

    Beyond the paper (the defaults are the paper's):

    schedule, rise        the rate rises over `rise` iterations, then falls in "steps" (`drops`), or to 0 at the end
                          along a line ("linear") or half a cosine ("cosine")
    optimizer, muon_lr    "muon": convolutions are turned by orthogonalised momentum, `muon_lr` radians an update when
                          the schedule is at `lr`; batch norm and fully connected layers use SGD
    label_smoothing       the share of a label that is spread evenly over all classes; the training loss includes it
    flip                  "alternating": each sample is mirrored in every second epoch, beginning at random
    small_size, small_until    images are shrunk to `small_size` pixels a side before iteration `small_until`
    mixup, cutmix         parameter of the Beta distribution of the share by which a batch is mixed with itself, pixel
                          by pixel (Zhang et al. 2018) or by a rectangle (Yun et al. 2019); with both, either at even
                          odds; 0: not mixed. The running error then counts the larger label
    average               the exponential average of the weights that is scored and saved keeps this share at each
                          update, less in the first ones: min(average, (1 + t) / (10 + t)); 0: the weights themselves
    balance               unequal classes: "loss" weighs an image by the inverse frequency of its class, 1 on average;
                          "sampling" draws all classes equally often
    patience              stop after so many scores of val in a row without a new best; 0: never
    """

    name: str = "paper-cifar"
    images: int = 0
    batch: int = 128
    iterations: int = 64_000
    lr: float = 0.1
    drops: tuple[int, ...] = (32_000, 48_000)
    drop_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_from_depth: int = 110
    warmup_lr: float = 0.01
    warmup_error: float = 80.0
    warmup_window: int = 100
    warmup_alarm: int = 4_000
    augment: Literal["crop-flip", "crop", "none", "trivial"] = "crop-flip"
    pad: int = 4
    centre: Literal["pixel", "channel"] = "pixel"
    scale: Literal["std", "channel-std", "255", "none"] = "std"
    holdout: int = 0
    bn_batch: int = 0
    bn_momentum: float = 0.1
    bn_statistics: Literal["moving", "precise"] = "moving"
    decay_on: Literal["all", "weights"] = "all"
    momentum_form: Literal["torch", "caffe", "nesterov"] = "torch"
    last_batch: Literal["fill", "keep", "drop"] = "fill"
    eval_every: int = 1_000
    clean_every: int = 4_000
    probe_every: int = 0
    log_every: int = 100
    save_every: int = 1_000
    schedule: Literal["steps", "linear", "cosine"] = "steps"
    rise: int = 0
    optimizer: Literal["sgd", "muon"] = "sgd"
    muon_lr: float = 0.1
    label_smoothing: float = 0.0
    flip: Literal["random", "alternating"] = "random"
    small_size: int = 0
    small_until: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    average: float = 0.0
    balance: Literal["none", "loss", "sampling"] = "none"
    patience: int = 0
    resize: Literal["crop", "squash", "letterbox"] = "crop"

    def __post_init__(self) -> None:
        check({key: getattr(self, key) for key in _hints()}, _hints())
        if self.momentum_form == "nesterov" and not self.momentum:
            raise UserError("recipe: momentum_form = 'nesterov' needs a momentum above 0")
        if list(self.drops) != sorted(set(self.drops)) or any(d < 1 for d in self.drops):
            raise UserError(f"recipe: drops = {list(self.drops)} must be rising iteration numbers")
        if self.bn_batch and self.batch % self.bn_batch:
            raise UserError(f"recipe: bn_batch = {self.bn_batch} must divide batch = {self.batch}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in plain types, as recorded in `run.json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Recipe:
        """Return the recipe that `to_dict` wrote. Raises UserError for an unknown key or a wrong value."""
        return changed(Recipe(), values)


def changed(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return `recipe` with some fields replaced; lists become tuples.

    Raises UserError for an unknown key or a wrong value.
    """
    names = [f.name for f in fields(Recipe)]
    for key in values:
        if key not in names:
            raise UserError(f"recipe: unknown key {key!r}{_hint(key, names)}; `reslab recipe show` lists them")
    floats = {k for k, hint in _hints().items() if hint is float}
    try:
        converted: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else float(v) if k in floats and type(v) is int else v
            for k, v in values.items()
        }
    except OverflowError:
        raise UserError("recipe: a number has too many digits") from None
    return replace(recipe, **converted)


def parsed(key: str, text: str) -> Any:
    """Return the value of `--set key=text` in the field's type. Raises UserError with the type that the field needs."""
    hints = _hints()
    if key not in hints:
        raise UserError(f"--set: unknown key {key!r}{_hint(key, hints)}; `reslab recipe show` lists them")
    hint = hints[key]
    try:
        if hint is int:
            return int(text.replace("_", ""))
        if hint is float:
            return float(text)
        if get_origin(hint) is tuple:
            return tuple(int(part.replace("_", "")) for part in text.strip("[]()").split(",") if part.strip())
    except ValueError:
        form = {int: "a whole number", float: "a number"}.get(hint, "whole numbers separated by commas")
        raise UserError(f"--set: {key}={text!r} must be {form}") from None
    return text


def _hint(key: str, names: Iterable[str]) -> str:
    """Return the field that `key` may mean, as the end of a message."""
    other = OTHER_NAMES.get(key.replace("-", "_").lower())
    return f"; here it is {other}" if other else suggest(key, names)


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """Return `recipe` with its whole schedule scaled: its length and the iterations at which the rate changes.

    Measuring and saving keep their intervals, and so their share of the time; those of a recipe that is sized by the
    images are a part of its length. Raises UserError for a wrong factor.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"--scale: {factor} must be a positive number")

    def times(count: int) -> int:
        return max(1, round(min(count * factor, 2.0 * LONGEST)))  # a value above LONGEST is refused as a field

    if recipe.images:
        recipe = replace(
            recipe,
            eval_every=times(recipe.eval_every),
            clean_every=times(recipe.clean_every),
            save_every=times(recipe.save_every),
            log_every=times(recipe.log_every),
        )
    return replace(
        recipe,
        iterations=times(recipe.iterations),
        drops=tuple(sorted({times(d) for d in recipe.drops})),
        rise=recipe.rise and times(recipe.rise),
        small_until=recipe.small_until and times(recipe.small_until),
    )


@cache
def _hints() -> dict[str, Any]:
    """Return the types of the fields; cached, as it compiles each annotation and a page reads hundreds of recipes."""
    return get_type_hints(Recipe)
