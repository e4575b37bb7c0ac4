"""Write checkpoints: in a hidden folder, hashed, published by one rename; the previous one is kept.

The order, with reasons:

1. The files are written into a hidden folder beside the target. No reader looks there, so a killed run leaves no half
   checkpoint; the next start removes the folder (`store.files.sweep`).
2. The SHA-256 of each file goes into a manifest, so that a reader notices later damage.
3. Files and folder are synced (fsync) before the rename. Otherwise a power failure could leave the new name with files
   whose content never reached the disk.
4. One rename publishes all files at once; then the parent folder is synced, so that the name survives as well.
5. Only then are older checkpoints removed. The one before the newest stays, in case the newest is damaged.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as bytes_of
from torch import Tensor

from reslab.errors import RunError, UserError
from reslab.models.checkpoints import (
    FORMAT,
    MOMENTUM,
    OWN,
    STATE,
    WEIGHTS,
    find,
    folder_of,
    folders,
    number_of,
)
from reslab.nets.model import Network
from reslab.runs.best import BEST
from reslab.runs.runlog import FACTS
from reslab.store.files import FULL, aside_folder, aside_of, publish_folder

KEPT = 2  # the newest and the one before it


def save(run: Path, net: Network, state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Publish a checkpoint of `net` at facts["iteration"], remove all but the one before it, and return its folder.

    state   tensors by name: momentum, input statistics, running sums
    Raises RunError if a weight is not finite (such a state is never saved) or if the write fails.
    """
    target = _publish(run, _finite_weights(run, net, facts), _on_cpu(state), facts)
    existing = folders(run)
    # Later ones are damaged: the run passed over them when it resumed.
    later = [c for c in existing if number_of(c) > number_of(target)]
    older = [c for c in existing if number_of(c) <= number_of(target)][:-KEPT]
    for folder in [*later, *older]:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def save_as_best(run: Path, net: Network, state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Publish a checkpoint of `net` as the best of the run, in place of the one before. Raises RunError as `save`."""
    return _publish(run, _finite_weights(run, net, facts), _on_cpu(state), facts, BEST)


def _finite_weights(run: Path, net: Network, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights. Raises RunError if one is not finite."""
    weights = _on_cpu(net.state_dict())
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RunError(f"{run}: {name} is not finite at iteration {facts['iteration']}; not saved")
    return weights


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}


def _publish(
    run: Path, weights: dict[str, Tensor], state: dict[str, Tensor], facts: dict[str, Any], name: str = ""
) -> Path:
    """Publish the files of a checkpoint, by default as step-….

    Raises RunError if the write fails; the partial checkpoint is removed.
    """
    target = folder_of(run, int(facts["iteration"]))
    target = target.with_name(name) if name else target
    files = {WEIGHTS: bytes_of(weights), STATE: bytes_of(state), FACTS: json.dumps(facts, indent=2).encode("ascii")}
    aside = aside_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside_folder(target)
        for name, content in files.items():
            (aside / name).write_bytes(content)
        if target.exists():
            shutil.rmtree(target)  # damaged: `newest` passed over it; or the best one before
        publish_folder(aside, target, FORMAT)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        size = sum(map(len, files.values()))
        raise RunError(_unsaved(folder_of(run, int(facts["iteration"])), size, error)) from None
    return target


def _unsaved(target: Path, size: int, error: OSError) -> str:
    """Return the message: why a checkpoint of `size` bytes could not be written, what is left, and what to do."""
    problem = f"{target.parent}: the checkpoint at iteration {number_of(target):,} could not be saved"
    try:
        before = [number_of(folder) for folder in folders(target.parents[1]) if number_of(folder) < number_of(target)]
    except UserError:  # the folder cannot be read either
        before = []
    left = f"that of iteration {before[-1]:,} is kept" if before else "there is none before it"
    if error.errno not in FULL:
        return f"{problem} ({error.strerror or error}); {left}, and the same command goes on from there"
    try:
        free = f"{shutil.disk_usage(target.parent).free:,} are free"
    except OSError:
        free = "the free space is unknown"
    return (
        f"{problem} ({error.strerror}): it needs {size:,} bytes, {free}; {left}: make room, and the same command goes "
        "on from there"
    )


def copied(run: Path, target: Path, source: str, *, to_resume: bool) -> Path:
    """Copy the newest checkpoint of `run` to `target` and return its folder.

    source     text of --data to record in place of this machine's paths
    to_resume  keep the momentum, without which a run can be scored but not resumed
    """
    checkpoint = find(run)
    state = {k: v for k, v in checkpoint.state.items() if to_resume or not k.startswith((MOMENTUM, OWN))}
    data = {k: v for k, v in checkpoint.facts["data"].items() if k != "place"}
    facts = {**checkpoint.facts, "data": {**data, "source": source}}
    return _publish(target, checkpoint.weights, state, facts)
