"""Keep what calibrating a network for 8 bits found, as it takes minutes for a large one: a file in the user's cache.

Its name is a hash of everything that it depends on: weights, calibration images, their normalisation, torch, and the
units of the CPU. A file that is damaged, or that another user may have written, is not read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reslab.engines import host
from reslab.engines.quantise import Quantised, Scale, Weight
from reslab.nets.graph import Graph
from reslab.store.files import cache
from reslab.store.trust import read_kept, write_kept

_FORM = 3  # version of the file
MOST = 8  # files that are kept; a ResNet-50 takes 25 MB


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A network in 8 bits, the mean of the errors of its logits (float32 [classes]), and the bound of close calls."""

    made: Quantised
    mean: np.ndarray
    bound: float


def place_of(
    graph: Graph, calibration: Sequence[np.ndarray], inputs: Callable[[Sequence[np.ndarray]], Tensor]
) -> Path | None:
    """Return the file of a calibration, or None without a cache folder."""
    if (folder := cache()) is None:
        return None
    narrow = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    key = hashlib.sha256(repr((_FORM, torch.__version__, host.int8_units(), narrow, graph.spec)).encode())
    for step in graph.steps:
        for array in (step.weight, step.bias):
            key.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    for image in calibration:
        key.update(f"{image.shape}{image.dtype}".encode())
        key.update(np.ascontiguousarray(image).tobytes())
    key.update(inputs(calibration[:1]).numpy().tobytes())
    return folder / f"int8-{key.hexdigest()[:24]}.npz"


def load(place: Path | None, graph: Graph) -> Calibrated | None:
    """Return what `save` wrote for this graph, or None."""
    content = read_kept(place)
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            weights = {
                name: Weight(arrays[f"values {name}"], arrays[f"scales {name}"]) for name in facts["layers"]
            }  # fmt: skip
            scales = {name: Scale(*values) for name, values in facts["scales"].items()}
            made = Quantised(graph, scales, weights, facts["largest"])
            return Calibrated(made, arrays["mean"], facts["bound"])
    except (ValueError, KeyError, TypeError):  # of a version that wrote it otherwise
        return None


def save(place: Path | None, found: Calibrated) -> None:
    """Write the file, and remove the oldest beyond MOST; nothing if the cache cannot be written or is not private."""
    made, file = found.made, io.BytesIO()
    facts = {
        "layers": [*made.weights], "scales": {name: (s.step, s.zero) for name, s in made.scales.items()},
        "largest": made.largest, "bound": found.bound,
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8), "mean": found.mean,
        **{f"values {name}": weight.values for name, weight in made.weights.items()},
        **{f"scales {name}": weight.scales for name, weight in made.weights.items()},
    }  # fmt: skip
    np.savez(file, **arrays)
    if place is None or not write_kept(place, file.getvalue()):
        return
    with suppress(OSError):
        newest = sorted(place.parent.glob("int8-*.npz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in newest[MOST:]:
            old.unlink(missing_ok=True)
