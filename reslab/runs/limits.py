"""What the values of a recipe's fields may be, each by itself: types, smallest and largest values. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from reslab.errors import UserError, suggest
from reslab.nets.spec import LARGEST_SIDE

NOT_NEGATIVE = (
    "pad", "holdout", "bn_batch", "weight_decay", "warmup_alarm", "warmup_from_depth", "probe_every", "rise",
    "small_size", "small_until", "mixup", "cutmix", "patience", "images",
)  # fmt: skip

# A run counts its samples in 64 bits: the last number is iterations x batch, at most 2^62.
LONGEST, LARGEST_BATCH = 10**12, 2**22
LARGEST: dict[str, int] = {
    **dict.fromkeys(
        ("iterations", "warmup_window", "warmup_alarm", "warmup_from_depth", "holdout", "eval_every", "clean_every",
         "probe_every", "log_every", "save_every", "rise", "small_until",
         "patience", "images"),
        LONGEST,
    ),
    "batch": LARGEST_BATCH,
    "bn_batch": LARGEST_BATCH,
    "pad": LARGEST_SIDE,
    "small_size": LARGEST_SIDE,
}  # fmt: skip
MOST_MIXED = 1_000  # of mixup and cutmix: beyond it the shares are a half anyway
POSITIVE = ("lr", "warmup_lr", "drop_factor", "bn_momentum", "muon_lr")
AT_LEAST_ONE = ("batch", "iterations", "warmup_window", "eval_every", "clean_every", "log_every", "save_every")
BELOW_ONE = ("momentum", "label_smoothing", "average")


def check(values: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Raise UserError for the first value that is not of its type in `hints`, or too small or too large."""
    for key, hint in hints.items():
        _check_type(key, values[key], hint)
    for key in AT_LEAST_ONE:
        if values[key] < 1:
            raise UserError(f"recipe: {key} = {values[key]} must be at least 1")
    for key, limit in LARGEST.items():
        _check_limit(key, values[key], limit)
    for key in ("mixup", "cutmix"):
        if values[key] > MOST_MIXED:
            raise UserError(f"recipe: {key} = {values[key]:g} is too large; the largest value is {MOST_MIXED:,}")
    for drop in values["drops"]:
        _check_limit("drops", drop, LONGEST)
    for key in NOT_NEGATIVE:
        if values[key] < 0:
            raise UserError(f"recipe: {key} = {values[key]} must not be negative")
    for key in POSITIVE:
        if not (math.isfinite(values[key]) and values[key] > 0):
            raise UserError(f"recipe: {key} = {values[key]} must be a positive number")
    for key in BELOW_ONE:
        if not 0 <= values[key] < 1:
            raise UserError(f"recipe: {key} = {values[key]} must be in [0, 1)")


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
