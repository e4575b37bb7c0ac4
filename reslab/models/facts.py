"""Check a checkpoint's facts (`state.json`) and the shapes of its state before anything uses them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from reslab.data.images.levels import Levels
from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.runs.extension import ends_of
from reslab.runs.init import Init
from reslab.runs.recipe import Recipe

LARGEST = 2**63 - 1  # of an iteration and a seed
SUMS = ("logs", "window")


def _is_whole(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value <= LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_rate(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(value) and value > 0)


def _is_range(value: Any) -> bool:
    try:
        return isinstance(value, list) and bool(Levels(*value))
    except (TypeError, ValueError):
        return False


def _is_share(value: Any) -> bool:
    return value is None or (type(value) is float and 0 < value < 1)


REQUIRED: dict[str, Callable[[Any], bool]] = {
    "iteration": _is_whole,
    "spec": _is_table,
    "classes": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "data": _is_table,
    "recipe": _is_table,
    "seed": lambda value: _is_whole(value, -LARGEST),
    "rate": _is_rate,
    "warming": _is_flag,
    "measured": _is_flag,
}
DATA: dict[str, Callable[[Any], bool]] = {
    "source": _is_text,
    "name": _is_text,
    "kind": _is_text,
    "fingerprint": _is_text,
    "place": _is_text,
    "val_share": _is_share,
    "bad_images": lambda value: value in ("error", "skip"),
    "group": _is_text,
    "range": _is_range,
}


def problem_of(facts: Any, state: Mapping[str, Tensor]) -> str:
    """Return the first problem of a checkpoint's facts or of its state's shapes, in a few words, or "".

    Facts that older versions did not write may be missing; every fact must have the type that the loop writes.
    """
    if not isinstance(facts, dict):
        return "not a table"
    for key, is_sound in REQUIRED.items():
        if key not in facts:
            return f"{key} is missing"
        if not is_sound(facts[key]):
            return f"{key} is {_short(facts[key])}"
    data = facts["data"]
    if "source" not in data:
        return "data.source is missing"
    for key, is_sound in DATA.items():
        if key in data and not is_sound(data[key]):
            return f"data.{key} is {_short(data[key])}"
    try:
        spec = Spec.from_dict(facts["spec"])
        Recipe.from_dict(facts["recipe"])
        Init.of(facts)
        ends_of(facts)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        return f"{type(error).__name__}: {_short(str(error))}"
    if len(facts["classes"]) != spec.classes:
        return f"{len(facts['classes'])} classes are named, the net has {spec.classes}"
    return _state_problem(spec, state)


def _state_problem(spec: Spec, state: Mapping[str, Tensor]) -> str:
    channels = spec.in_channels
    shapes: dict[str, list[tuple[int, ...]]] = {
        "mean": [(spec.image_size, spec.image_size, channels), (1, 1, channels)],
        "scale": [(channels,), (1,)],
        **{key: [(3,)] for key in SUMS},
    }
    for key, allowed in shapes.items():
        value = state.get(key)
        if value is None:
            return f"{key} is missing"
        if tuple(value.shape) not in allowed or value.dtype != (torch.float64 if key in SUMS else torch.float32):
            return f"{key} is {value.dtype} {tuple(value.shape)}"
        if not bool(torch.isfinite(value).all()) or (key == "scale" and bool((value <= 0).any())):
            return f"{key} has values that are not finite{' or not positive' if key == 'scale' else ''}"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
