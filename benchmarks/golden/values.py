"""Values as strings that are equal exactly if the values are equal bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Entries = dict[str, str]
FAULT = "fault: "  # begins an entry that is wrong in itself, so that two trees with the same fault are not equal
# Times, integrity and format numbers in records.
UNCOMPARED = frozenset({"clock", "chain", "check", "sha256", "format"})


def fault(text: str) -> str:
    """Return an entry that the comparison always reports."""
    return f"{FAULT}{text}"


def of_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content`, in hex."""
    return hashlib.sha256(content).hexdigest()


def of_array(array: Any) -> str:
    """Return the SHA-256 of type, shape and bytes of a numpy array or a torch tensor."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().contiguous().numpy()
    array = np.asarray(array)
    return of_bytes(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())


def of_arrays(arrays: Mapping[str, Any]) -> str:
    """Return one SHA-256 over names and contents, independent of their order."""
    return of_bytes("\n".join(f"{name} {of_array(arrays[name])}" for name in sorted(arrays)).encode())


def of_files(folder: Path) -> Entries:
    """Return the SHA-256 of the tensors of each safetensors file of a checkpoint's folder."""
    from safetensors.numpy import load

    return {file.stem: of_arrays(load(file.read_bytes())) for file in sorted(folder.glob("*.safetensors"))}


def exact(value: Any) -> str:
    """Return a plain value as canonical JSON in which every float is its hexadecimal form."""
    return json.dumps(_hexed(value), sort_keys=True, ensure_ascii=False)


def _hexed(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _hexed(item) for key, item in value.items()}
    return [_hexed(item) for item in value] if isinstance(value, list | tuple) else value


def compared(value: Any, without: frozenset[str] = UNCOMPARED) -> Any:
    """Return a plain value without the keys that are not compared, at any depth."""
    if isinstance(value, Mapping):
        return {key: compared(item, without) for key, item in value.items() if key not in without}
    return [compared(item, without) for item in value] if isinstance(value, list | tuple) else value


def flat(value: Any, path: str) -> Entries:
    """Return an entry for each leaf of a plain value, named by its path below `path`; a list of numbers is a leaf."""
    if isinstance(value, Mapping) and value:
        parts = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        parts = [(f"{place:03}", item) for place, item in enumerate(value)]
    else:
        return {path: exact(value)}
    return {name: text for key, item in parts for name, text in flat(item, f"{path}/{key}").items()}


def key_paths(value: Any, path: str) -> Entries:
    """Return an entry for each key path of a plain value below `path`; the items of a list share one path."""
    return dict.fromkeys(_paths(value, path), "present")


# Tables whose keys are data (names of layers, blocks, splits), not part of a format.
TABLES = frozenset({"switches", "paper", "figures", "sizes", "gradients", "activations", "layer_gradients",
                    "layer_activations", "weight_gradients", "residuals", "responses"})  # fmt: skip


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{path}.{key}"
            if key not in TABLES or not isinstance(item, Mapping):
                yield from _paths(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, f"{path}[]")
