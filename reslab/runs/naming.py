"""Derive a run's recipe, folder name and command from its options; equal options give the same run. Torch-free."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from reslab.data.source import DataLike, DataSource, source_of
from reslab.errors import UserError
from reslab.nets.names import SWITCHES, name_of, switches_of
from reslab.nets.spec import Spec
from reslab.runs import recipes
from reslab.runs.recipe import Recipe, changed, parsed, scaled

FROM_DATA = ("classes", "in_channels", "image_size")  # the switches that follow from the data


def _explicit_switches(model: Spec, kind: str) -> dict[str, Any]:
    """Return the switches that a command needs: all but those that follow from data of this `kind`.

    The image size of a folder does not follow from its data.
    """
    implied = FROM_DATA[:2] if kind == "folder" else FROM_DATA
    return {k: v for k, v in switches_of(model).items() if k not in implied}


def resolve_recipe(
    data: DataLike,
    recipe: str | Recipe | None = None,
    *,
    images: int | None = None,
    init: bool = False,
    iterations: int | None = None,
    scale: float | None = None,
    set: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of a training command: the named one, scaled, then with fields set. Raises UserError.

    images   in the training split, for a recipe that is sized by them (`recipes.recipe`)
    init     the run begins from trained weights: decides about the default of own images
    """
    base = recipe if isinstance(recipe, Recipe) else recipes.recipe(recipe or recipes.default_for(data, init), images)
    if scale is not None:
        base = scaled(base, scale)
    values = {k: parsed(k, v) if isinstance(v, str) else v for k, v in (set or {}).items()}
    if "name" in values:
        raise UserError("--set: name is the recipe's own; choose a recipe with --recipe")
    if iterations is not None:
        if base.images:  # with its rise and intervals
            base = scaled(base, iterations / base.iterations)
        values["iterations"] = iterations
    return changed(base, values)


def run_name(
    model: Spec, data: str, recipe: Recipe, seed: int, kind: str | None = None, init: Sequence[str] = ()
) -> str:
    """Return the folder's name: model, data, recipe, seed, and six digits of a hash if recipe or switches differ from
    the named ones; of a run from a trained model also "from" and six digits.

    data, kind   name and kind of the data (default kind: that of the name after --data)
    init         hash of the trained model's weights, then the frozen parts
    """
    switches = _explicit_switches(model, kind or source_of(data).kind)
    is_named = recipe.name in recipes.RECIPES and recipes.recipe(recipe.name, recipe.images) == recipe
    parts = [name_of(model), "".join(c if c.isalnum() or c in "-_" else "-" for c in data), recipe.name, f"s{seed}"]
    if switches or not is_named:
        parts.append(_digits(_changes_from_defaults(model, recipe)))
    if init:
        parts.append(f"from{_digits(' '.join(init))}")
    return "-".join(parts)


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _changes_from_defaults(model: Spec, recipe: Recipe) -> str:
    """Return the text that a folder's name hashes; without defaults, so that a field added later renames no folder."""
    spec_defaults = {f.name: f.default for f in fields(Spec)}
    spec_changes = {k: v for k, v in model.to_dict().items() if k not in SWITCHES and v != spec_defaults[k]}
    recipe_defaults = Recipe().to_dict()
    recipe_changes = {k: v for k, v in recipe.to_dict().items() if v != recipe_defaults[k]}
    return json.dumps([switches_of(model), spec_changes, recipe_changes], sort_keys=True)


def command_of(
    model: Spec,
    data: DataLike,
    recipe: Recipe,
    seed: int,
    *,
    val_share: float | None = None,
    bad_images: str = "error",
    batch: str | None = None,
    group: str | None = None,
    range: str = "auto",
    precision: str = "auto",
    download: bool = False,
    init_from: Any = None,
    freeze: str | None = None,
) -> str:
    """Return the command line that trains this run; fields that differ from the named recipe become --set.

    val_share … freeze   as the user gave them; defaults are left out
    For data or a trained model given in Python it is a call of `reslab.train`, in which `data` and `model` are those.
    """
    source = source_of(data)
    options = {
        "val_share": val_share, "bad_images": bad_images, "group": group, "range": range, "precision": precision,
        "download": download, "batch": batch, "init_from": init_from, "freeze": freeze,
    }  # fmt: skip
    defaults = {
        "val_share": None, "bad_images": "error", "range": "auto", "precision": "auto", "download": False,
    }  # fmt: skip
    options = {key: value for key, value in options.items() if value != defaults.get(key)}
    if source.given is not None:  # the others are for files
        options = {key: value for key, value in options.items() if key in ("precision", "batch", "init_from", "freeze")}
    if source.given is not None or not isinstance(init_from, str | os.PathLike | None):
        return _call(model, source, recipe, seed, options)
    words = ["reslab", "train", name_of(model), "--data", source.text, "--seed", str(seed)]
    words += recipe_words(recipe, source)
    for key, value in options.items():
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
    for key, value in _explicit_switches(model, source.kind).items():
        flag = f"--{key.replace('_', '-')}"
        words += [flag] if value is True else [f"--no-{flag[2:]}"] if value is False else [flag, _flag(value)]
    return shlex.join(words)


def _call(model: Spec, data: DataSource, recipe: Recipe, seed: int, options: Mapping[str, Any]) -> str:
    """Return the Python call that trains a run on data, or from a model, given in Python."""
    name, fields_set = _recipe_changes(recipe, recipes.default_for(data))
    words = [repr(name_of(model)), "data" if data.given is not None else repr(data.text)]
    arguments = {"recipe": name, "seed": seed, **({"set": fields_set} if fields_set else {})}
    for key, value in {**arguments, **options, **_explicit_switches(model, data.kind)}.items():
        is_object = key == "init_from" and not isinstance(value, str | os.PathLike)
        words.append(f"{key}={'model' if is_object else repr(os.fspath(value) if key == 'init_from' else value)}")
    return f"reslab.train({', '.join(words)})"


def seed_words(seeds: Sequence[int]) -> list[str]:
    """Return the options of `reproduce` for `seeds`, which must be consecutive."""
    first = ["--first-seed", str(seeds[0])] if seeds and seeds[0] else []
    return ["--seeds", str(len(seeds)), *first]


def recipe_words(recipe: Recipe, data: DataLike) -> list[str]:
    """Return the options for `recipe`: the named one, and --set for each field that differs from it."""
    name, fields_set = _recipe_changes(recipe, recipes.default_for(data))
    words = ["--recipe", name]
    for key, value in fields_set.items():
        words += ["--set", f"{key}={_flag(value)}"]
    return words


def _recipe_changes(recipe: Recipe, default: str) -> tuple[str, dict[str, Any]]:
    """Return the recipe that `recipe` is named after (`default` if its name is unknown), and the fields that differ."""
    name = recipe.name if recipe.name in recipes.RECIPES else default
    named = recipes.recipe(name, recipe.images).to_dict()
    return name, {
        key: value for key, value in recipe.to_dict().items() if key not in ("name", "images") and value != named[key]
    }


def _flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
