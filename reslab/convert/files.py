"""Read a file of weights that somebody else wrote, without running anything in it, and take it apart.

`.pt`, `.pth`, `.th`, `.tar` (torch's pickles, read as tensors and plain types only) and `.safetensors`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reslab.errors import UserError
from reslab.measure.finite import check_weights
from reslab.store.files import LARGEST_TENSORS, sha256

ENDINGS = (".pt", ".pth", ".th", ".tar", ".safetensors", ".bin")
# Names under which training scripts store a state dict; exponential moving averages first, because they are what their
# authors score.
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights", "module")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")  # of data parallelism, torch.compile, and wrappers
EXACT = (torch.float32, torch.float16, torch.bfloat16)  # become float32 without rounding
ADDED = ("n_averaged",)  # what torch's AveragedModel stores beside the weights


@dataclass(frozen=True)
class WeightsFile:
    """The weights of a file.

    tensors   float32 (and the whole numbers of BN's counters), by the file's names without wrappers' prefixes
    sha256    of the file
    notes     what was chosen or left out, one line each
    metadata  of a safetensors file
    """

    path: Path
    tensors: dict[str, Tensor]
    sha256: str
    notes: tuple[str, ...]
    metadata: Mapping[str, str]


def read(path: Path, entry: str | None = None) -> WeightsFile:
    """Read the weights of a file.

    entry   name of the state dict in the file, if it holds several; default: an average of weights, else the only one
    Raises UserError if the file is not one of weights, needs more than tensors and plain types, holds several state
    dicts without an obvious one, or weights that are not finite floating-point numbers.
    """
    _check_file(path)
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        content, metadata = _safetensors(path)
    else:
        content = _pickled(path)
    notes: list[str] = []
    table, name = _state_dict(content, entry, path)
    if name:
        notes.append(f"{name} is read{_left_out(content, name)}")
    tensors = _unwrapped({str(key): value for key, value in table.items() if key not in ADDED})
    return WeightsFile(path, _floats(tensors, path, notes), sha256(path), tuple(notes), metadata)


def _check_file(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: files of weights end in {', '.join(ENDINGS)}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError(f"{path}: not a file")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not size:
        raise UserError(f"{path}: empty; download it again")
    if size > LARGEST_TENSORS:
        raise UserError(f"{path}: {size:,} bytes; no residual network has so many")


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: no safetensors file, or a damaged one ({_line(error)})") from None


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles of another protocol, and then refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the content of a damaged or hostile file leads to
        raise UserError(f"{path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return why torch cannot read a file as tensors and plain types."""
    text = str(error)
    if match := re.search(r"(?:GLOBAL|global:?|class) [`']?([\w]+(?:\.[\w]+)+)", text):
        return (
            f"needs {match[1]}, which is no tensor or plain type, and reading it could run code; nothing was run: save "
            "its state dict alone, by torch.save(model.state_dict(), …)"
        )
    return f"no file of torch.save, or a damaged one ({_line(error)}); download it again"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}".rstrip(": ")


def _is_state_dict(value: Any) -> bool:
    """Return whether a value is a mapping from names to tensors alone."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _state_dict(content: Any, entry: str | None, path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the state dict of a file and its name in it ("" if it is the whole file)."""
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a table of weights")
    tables = {str(key): value for key, value in content.items() if _is_state_dict(value)}
    if entry is not None:
        if entry not in tables:
            raise UserError(f"--entry {entry}: {path} has {', '.join(tables) or 'none'} of weights")
        return tables[entry], entry
    if _is_state_dict(content) and len(content) > 1:
        return content, ""
    for name in (*AVERAGED, *PLAIN):
        if name in tables:
            return tables[name], name
    if len(tables) == 1:
        ((name, table),) = tables.items()
        return table, name
    if not tables:
        raise UserError(f"{path}: holds no weights ({', '.join(map(str, content))[:100] or 'nothing'})")
    raise UserError(f"{path}: holds several tables ({', '.join(tables)}); choose with --entry")


def _left_out(content: Mapping[str, Any], name: str) -> str:
    others = [str(key) for key in content if str(key) != name]
    return f", and not {', '.join(others)}" if others else ""


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without the prefixes that wrappers give to every name."""
    while prefix := next((p for p in PREFIXES if tensors and all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _floats(tensors: dict[str, Tensor], path: Path, notes: list[str]) -> dict[str, Tensor]:
    """Return weights as float32. Raises UserError for numbers of another kind, or that are not finite."""
    made = {}
    rounded = set[str]()
    for name, value in tensors.items():
        if name.endswith("num_batches_tracked"):
            made[name] = value.to(torch.int64)
            continue
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            kind = str(value.dtype).removeprefix("torch.")
            raise UserError(f"{path}: {name} has values of type {kind}; quantised weights are not read")
        if value.dtype not in EXACT:
            rounded.add(str(value.dtype).removeprefix("torch."))
        made[name] = value.detach().to(torch.float32).contiguous()
    if rounded:
        notes.append(f"{', '.join(sorted(rounded))} rounded to float32")
    check_weights(made, str(path))
    return made
