"""A run's recipe, folder name and command, derived: the same words find the same run again. Torch-free."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from reslab.data.known import DEFAULT_RECIPE
from reslab.data.source import DataLike, source_of
from reslab.errors import UserError
from reslab.nets.names import SWITCHES, name_of, switches_of
from reslab.nets.spec import Spec
from reslab.runs import recipes
from reslab.runs.recipe import Recipe, changed, parsed, scaled

FROM_DATA = ("classes", "in_channels", "image_size")  # the switches that follow from the data


def _said(model: Spec, kind: str) -> dict[str, Any]:
    """The switches that a command must say: not what follows from such data (a folder's image size does not)."""
    follows = FROM_DATA[:2] if kind == "folder" else FROM_DATA
    return {k: v for k, v in switches_of(model).items() if k not in follows}


def resolve_recipe(
    data: DataLike,
    recipe: str | Recipe | None = None,
    *,
    iterations: int | None = None,
    scale: float | None = None,
    set: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe that a training command means: the named one, scaled, then with fields set. Raises UserError."""
    base = recipe if isinstance(recipe, Recipe) else recipes.recipe(recipe or recipes.default_for(data))
    if scale is not None:
        base = scaled(base, scale)
    values = {k: parsed(k, v) if isinstance(v, str) else v for k, v in (set or {}).items()}
    if "name" in values:
        raise UserError("--set: name is the recipe's own; choose a recipe with --recipe")
    if iterations is not None:
        values["iterations"] = iterations
    return changed(base, values)


def run_name(model: Spec, data: str, recipe: Recipe, seed: int, kind: str | None = None) -> str:
    """The folder's name: model, data, recipe, seed, and six digits of a hash where recipe or switches are not plain.

    data, kind   the data's name and their kind (default: what the name means after --data)
    """
    switches = _said(model, kind or source_of(data).kind)
    named = recipe.name in recipes.RECIPES and recipes.recipe(recipe.name) == recipe
    parts = [name_of(model), "".join(c if c.isalnum() or c in "-_" else "-" for c in data), recipe.name, f"s{seed}"]
    if switches or not named:
        parts.append(hashlib.sha256(_unlike_defaults(model, recipe).encode()).hexdigest()[:6])
    return "-".join(parts)


def _unlike_defaults(model: Spec, recipe: Recipe) -> str:
    """What a name's hash is of: no value that is the default, so that a field added later renames no folder."""
    own = {f.name: f.default for f in fields(Spec)}
    built = {key: value for key, value in model.to_dict().items() if key not in SWITCHES and value != own[key]}
    plain = Recipe().to_dict()
    trained = {key: value for key, value in recipe.to_dict().items() if value != plain[key]}
    return json.dumps([switches_of(model), built, trained], sort_keys=True)


def command_of(
    model: Spec,
    data: DataLike,
    recipe: Recipe,
    seed: int,
    *,
    val_share: float | None = None,
    bad_images: str = "error",
    precision: str = "auto",
    download: bool = False,
) -> str:
    """The command line that trains this run: recipe fields that differ from the named recipe's stand as --set.

    val_share, bad_images, precision, download    as they were asked for; what decides nothing is not said
    Of data given in Python it is a call, in which `data` are those data.
    """
    source = source_of(data)
    if source.given is not None:
        return _call(model, recipe, seed, precision)
    words = ["reslab", "train", name_of(model), "--data", source.text, "--seed", str(seed)]
    words += recipe_words(recipe, source)
    words += ["--val-share", str(val_share)] if val_share is not None else []
    words += ["--bad-images", bad_images] if bad_images != "error" else []
    words += ["--precision", precision] if precision != "auto" else []
    words += ["--download"] if download else []
    for key, value in _said(model, source.kind).items():
        flag = f"--{key.replace('_', '-')}"
        words += [flag] if value is True else [f"--no-{flag[2:]}"] if value is False else [flag, _flag(value)]
    return shlex.join(words)


def _call(model: Spec, recipe: Recipe, seed: int, precision: str) -> str:
    """The call in Python that trains a run on data that only Python has."""
    name, fields_set = _unlike_named(recipe, DEFAULT_RECIPE)
    said: dict[str, Any] = {"recipe": name, "seed": seed, "set": fields_set, "precision": precision}
    plain = {"set": {}, "precision": "auto"}
    words = {**{k: v for k, v in said.items() if k not in plain or v != plain[k]}, **_said(model, "given")}
    return f"reslab.train({', '.join([repr(name_of(model)), 'data', *(f'{k}={v!r}' for k, v in words.items())])})"


def seed_words(seeds: Sequence[int]) -> list[str]:
    """The options of `reproduce` that give `seeds`, which follow one another."""
    first = ["--first-seed", str(seeds[0])] if seeds and seeds[0] else []
    return ["--seeds", str(len(seeds)), *first]


def recipe_words(recipe: Recipe, data: DataLike) -> list[str]:
    """The options that give `recipe`: the named one, and --set for each field that differs from it."""
    name, fields_set = _unlike_named(recipe, recipes.default_for(data))
    words = ["--recipe", name]
    for key, value in fields_set.items():
        words += ["--set", f"{key}={_flag(value)}"]
    return words


def _unlike_named(recipe: Recipe, default: str) -> tuple[str, dict[str, Any]]:
    """Return the named recipe that `recipe` goes by (`default` if its name is none), and the fields that differ."""
    name = recipe.name if recipe.name in recipes.RECIPES else default
    named = recipes.recipe(name).to_dict()
    return name, {key: value for key, value in recipe.to_dict().items() if key != "name" and value != named[key]}


def _flag(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
