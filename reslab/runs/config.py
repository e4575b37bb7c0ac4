"""`run.toml`: the options of `reslab train` in a file. Priority: defaults < recipe < file < flag. Torch-free.

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from reslab.errors import UserError, suggest
from reslab.nets.names import SWITCHES
from reslab.options.texts import bounded
from reslab.options.training import SeedsOptions
from reslab.runs.recipe import Recipe, changed
from reslab.store.files import read_bounded

TYPES: dict[Any, tuple[type, ...]] = {float: (int, float), int: (int,), bool: (bool,), Mapping: (dict,)}


def _types(kind: Any) -> tuple[type, ...]:
    """Return the TOML types of an option's type; paths and anything else without a TOML type are text."""
    return TYPES.get(get_origin(kind) or kind, (str,))


# Top-level keys and the types each takes.
KEYS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    **{name: _types(option.types[0]) for name, option in SeedsOptions.described().items()},
    "net": (dict,),
}

LARGEST = 1 << 20  # bytes of a configuration file


def read(path: Path) -> dict[str, Any]:
    """Return the file's values, checked. Raises UserError with the file and the key (or line)."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe would wait forever
            raise UserError(f"--config {path}: is no regular file; give a TOML file")
        raw = read_bounded(path, LARGEST)
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"--config {str(path)!r}: a name cannot contain a zero byte") from None
    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"--config {path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"--config {path}: not valid TOML: {error}") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, brackets nested as deep
        raise UserError(f"--config {path}: cannot be read as TOML ({error})") from None
    for key, value in values.items():
        if key not in KEYS:
            allowed = [*KEYS, *(f"set.{k}" for k in Recipe().to_dict()), *(f"net.{k}" for k in SWITCHES)]
            raise UserError(f"--config {path}: unknown key {key!r}{suggest(key, allowed) or _table_hint(key)}")
        if type(value) is int:
            bounded(f"--config {path}: {key} = ", value)
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and bool not in KEYS[key]):
            type_names = " or ".join(
                {"dict": "table", "str": "text", "bool": "true or false"}.get(t.__name__, t.__name__) for t in KEYS[key]
            )
            raise UserError(f"--config {path}: {key} = {value!r} is not of type {type_names}")
    fields = dict(values.get("set", {}))
    for table in ("net", "set"):
        for key, value in values.get(table, {}).items():
            for part in value if isinstance(value, list) else [value]:
                if type(part) is int:
                    bounded(f"--config {path}: [{table}] {key} = ", part)
    part = fields.get("bn_batch")
    if type(part) is int and part > 0:
        fields.setdefault("batch", part)  # whether it divides the real batch is checked with recipe and flags
    try:
        changed(Recipe(), fields)
    except UserError as error:
        raise UserError(f"--config {path}: [set] {error}") from None
    for key, value in values.get("net", {}).items():
        if key not in SWITCHES:
            raise UserError(f"--config {path}: [net] unknown key {key!r}{suggest(key, SWITCHES)}")
        if key == "block" and not isinstance(value, str):
            raise UserError(f"--config {path}: [net] block = {value!r} is not of type text, such as 'basic,bottleneck'")
        if key == "widths" and not (isinstance(value, list) and all(type(v) is int for v in value)):
            raise UserError(
                f"--config {path}: [net] widths = {value!r} is no list of whole numbers, such as [16, 32, 64]"
            )
    return values


def _table_hint(key: str) -> str:
    """Return the table in which an unknown top-level key belongs, as the end of a message."""
    if key in Recipe().to_dict():
        return f"; {key} is a field of the recipe and belongs under [set]"
    return f"; {key} is a switch and belongs under [net]" if key in SWITCHES else f"; keys are {', '.join(KEYS)}"
