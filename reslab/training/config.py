"""`run.toml`: what the command line takes, in a file. Defaults < recipe < file < flag. Torch-free.

model = "cifar_resnet20"
data = "cifar10:PATH"
recipe = "paper-cifar"
seed = 1
[net]            # the switches of `reslab describe`
shortcut = "B"
[set]            # fields of the recipe
lr = 0.05
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from reslab.errors import UserError, suggest
from reslab.nets.names import SWITCHES
from reslab.training.recipe import Recipe, changed

# Top-level keys and the type each takes.
KEYS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "data": (str,),
    "recipe": (str,),
    "out": (str,),
    "seed": (int,),
    "iterations": (int,),
    "epochs": (int, float),
    "scale": (int, float),
    "device": (str,),
    "precision": (str,),
    "compile": (str,),
    "threads": (int,),
    "workers": (int,),
    "net": (dict,),
    "set": (dict,),
}


def read(path: Path) -> dict[str, Any]:
    """The file's values, checked. Raises UserError that names file and key (or line)."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror})") from None
    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"--config {path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"--config {path}: not valid TOML: {error}") from None
    for key, value in values.items():
        if key not in KEYS:
            known = [*KEYS, *(f"set.{k}" for k in Recipe().to_dict()), *(f"net.{k}" for k in SWITCHES)]
            raise UserError(f"--config {path}: unknown key {key!r}{suggest(key, known) or _inside(key)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            wanted = " or ".join({"dict": "table", "str": "text"}.get(t.__name__, t.__name__) for t in KEYS[key])
            raise UserError(f"--config {path}: {key} = {value!r} is not of type {wanted}")
    try:
        changed(Recipe(), values.get("set", {}))
    except UserError as error:
        raise UserError(f"--config {path}: [set] {error}") from None
    for key in values.get("net", {}):
        if key not in SWITCHES:
            raise UserError(f"--config {path}: [net] unknown key {key!r}{suggest(key, SWITCHES)}")
    return values


def _inside(key: str) -> str:
    if key in Recipe().to_dict():
        return f"; {key} is a field of the recipe and belongs under [set]"
    return f"; {key} is a switch and belongs under [net]" if key in SWITCHES else f"; keys are {', '.join(KEYS)}"
