"""How a network is trained: one frozen, torch-free `Recipe`, each choice a named field.

Values that the paper states have its section. Choices that it leaves open are fields too (`OPEN_CHOICES`), so that
every run records its choice.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reslab.errors import UserError, suggest
from reslab.nets.spec import LARGEST_SIDE

# The choices that the paper leaves open, by field: shown by `reslab recipe show`, recorded in every run.
OPEN_CHOICES: dict[str, str] = {
    "holdout": "the text trains the final nets 'on the training set'; whether on 50,000 or 45,000 images is not stated",
    "bn_batch": "two GPUs with 64 images each and no synchronised BN make the BN batch 64; 0 is the whole batch",
    "bn_momentum": "not stated; the weight of the newest batch in the moving BN statistics",
    "bn_statistics": "not stated: 'moving' averages, or 'precise' ones from a pass with the final weights",
    "decay_on": "not stated whether weight decay acts on BN's γ, β and on biases ('all') or not ('weights')",
    "momentum_form": "not stated; 'caffe' keeps the old rate in the velocity after a drop, 'torch' does not",
    "last_batch": "not stated: 'fill' from the next epoch, 'keep' it short, or 'drop' it",
    "scale": "the paper subtracts a mean and states no division; 'std' divides by the training split's one std",
    "warmup_window": "not stated over which window 'training error below 80 %' is measured; here iterations",
    "clean_every": "not stated when and how training error is measured; here a clean pass in evaluation mode",
}


# Also open, but not fields of the recipe: name to (the choice here, the reason).
OPEN_BEYOND: dict[str, tuple[str, str]] = {
    "head weights": (
        "N(0, 1/fan_in)",
        "not stated; the 2 of He initialisation [13] is for a ReLU, and none follows",
    ),
    "fan": ("in", "not stated; [13] allows fan-in and fan-out; 'in' keeps the forward variance; --fan"),
    "pad_at": ("end", "not stated on which side option A adds zeros; 'end' keeps each channel's index; --pad-at"),
    "ensemble": ("softmax", "not stated what an ensemble averages; the paper's release: softmax; evaluate --ensemble"),
}

NOT_NEGATIVE = (
    "pad", "holdout", "bn_batch", "weight_decay", "warmup_alarm", "warmup_from_depth", "probe_every", "rise",
    "small_size", "small_until",
)  # fmt: skip

# A run counts its samples in 64 bits: the last number is iterations x batch, at most 2^62.
LONGEST, LARGEST_BATCH = 10**12, 2**22
LARGEST: dict[str, int] = {
    **dict.fromkeys(
        ("iterations", "warmup_window", "warmup_alarm", "warmup_from_depth", "holdout", "eval_every", "clean_every",
         "probe_every", "log_every", "save_every", "rise", "small_until"),
        LONGEST,
    ),
    "batch": LARGEST_BATCH,
    "bn_batch": LARGEST_BATCH,
    "pad": LARGEST_SIDE,
    "small_size": LARGEST_SIDE,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A complete recipe. Lengths are in iterations (an iteration is one update with `batch` images), errors in percent.

    iterations, drops     stop after `iterations`; the rate is multiplied by `drop_factor` at each of `drops` (§4.2)
    lr, momentum, weight_decay    SGD (§4.2)
    warmup_lr             the rate of the error-conditioned phase for nets of `warmup_from_depth` layers or more (§4.2)
    warmup_error          the phase ends when the running training error over `warmup_window` iterations is below this
    warmup_alarm          warn if the phase has not ended after this many iterations; training continues
    augment               "crop-flip" (pad, random crop, flip: §4.2), "crop" (no flip: digits, letters) or "none"
    centre                "pixel": the training split's per-pixel mean is subtracted (§4.2), before padding; "channel"
    holdout               training images held out as the val split (5,000 for the paper's 45k/5k split)
    eval_every            iterations between measurements of the test (or val) error
    clean_every           iterations between clean passes over the training split in evaluation mode
    probe_every           iterations between probes of the first 128 training samples, from the initial weights on; 0:
                          no probes
    log_every, save_every iterations between lines of running loss, and between checkpoints

    Beyond the paper, for fast recipes (the defaults are the paper's):

    schedule, rise        the rate rises over `rise` iterations, then falls in "steps" (`drops`), or to 0 at the end
                          along a line ("linear") or half a cosine ("cosine")
    optimizer, muon_lr    "muon": convolutions are turned by orthogonalised momentum, `muon_lr` radians an update when
                          the schedule is at `lr`; batch norm and fully connected layers use SGD
    label_smoothing       the share of a label that is spread evenly over all classes; the training loss includes it
    flip                  "alternating": each sample is mirrored in every second epoch, beginning at random
    small_size, small_until    images are shrunk to `small_size` pixels a side before iteration `small_until`
    """

    name: str = "paper-cifar"
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
    augment: Literal["crop-flip", "crop", "none"] = "crop-flip"
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

    def __post_init__(self) -> None:
        for key, hint in _hints().items():
            _check_type(key, getattr(self, key), hint)
        for key in ("batch", "iterations", "warmup_window", "eval_every", "clean_every", "log_every", "save_every"):
            if getattr(self, key) < 1:
                raise UserError(f"recipe: {key} = {getattr(self, key)} must be at least 1")
        for key, limit in LARGEST.items():
            _check_limit(key, getattr(self, key), limit)
        for drop in self.drops:
            _check_limit("drops", drop, LONGEST)
        for key in NOT_NEGATIVE:
            if getattr(self, key) < 0:
                raise UserError(f"recipe: {key} = {getattr(self, key)} must not be negative")
        for key in ("lr", "warmup_lr", "drop_factor", "bn_momentum", "muon_lr"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"recipe: {key} = {value} must be a positive number")
        for key in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, key) < 1:
                raise UserError(f"recipe: {key} = {getattr(self, key)} must be in [0, 1)")
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


def _check_limit(key: str, value: int, limit: int) -> None:
    if value > limit:  # the value is not shown: it may have thousands of digits
        raise UserError(f"recipe: {key} is too large; the largest value is {limit:,}")


def _check_type(key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        if value not in allowed:
            raise UserError(f"recipe: {key} = {value!r} is none of {', '.join(allowed)}{suggest(str(value), allowed)}")
    elif hint is float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise UserError(f"recipe: {key} = {value!r} is not a number")
    elif hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"recipe: {key} = {value!r} is not a whole number")
    elif hint is str:
        if not isinstance(value, str):
            raise UserError(f"recipe: {key} = {value!r} is not a text")
    elif not (isinstance(value, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)):
        raise UserError(f"recipe: {key} = {value!r} is not a list of whole numbers")


def changed(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Return `recipe` with some fields replaced; lists become tuples.

    Raises UserError for an unknown key or a wrong value.
    """
    names = [f.name for f in fields(Recipe)]
    for key in values:
        if key not in names:
            raise UserError(f"recipe: unknown key {key!r}{suggest(key, names)}; `reslab recipe show` lists them")
    floats = {k for k, hint in _hints().items() if hint is float}
    converted: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else float(v) if k in floats and type(v) is int else v
        for k, v in values.items()
    }
    return replace(recipe, **converted)


def parsed(key: str, text: str) -> Any:
    """Return the value of `--set key=text` in the field's type. Raises UserError with the type that the field needs."""
    hints = _hints()
    if key not in hints:
        raise UserError(f"--set: unknown key {key!r}{suggest(key, hints)}; `reslab recipe show` lists them")
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


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """Return `recipe` with its whole schedule scaled: its length and the iterations at which the rate changes.

    Measuring and saving keep their intervals, and so their share of the time. Raises UserError for a wrong factor.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"--scale: {factor} must be a positive number")

    def times(count: int) -> int:
        return max(1, round(min(count * factor, 2.0 * LONGEST)))  # a value above LONGEST is refused as a field

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
