"""A checkpoint written: aside, hashed, published by one rename; the one before it is kept."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as bytes_of
from torch import Tensor

from reslab.errors import RunError, UserError
from reslab.models.checkpoints import FORMAT, STATE, WEIGHTS, find, folder_of, folders, number_of
from reslab.nets.model import Network
from reslab.runs.runlog import FACTS
from reslab.store.files import aside_folder, aside_of, publish_folder

KEPT = 2  # the newest and the one before it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room: the disk's, the user's share of it, a file's own limit


def save(run: Path, net: Network, state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Publish a checkpoint of `net` at facts["iteration"]; the one before it is kept, older ones go.

    Raises RunError where a weight is not finite, for such a state is never saved, and where the disk takes no more.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RunError(f"{run}: {name} is not finite at iteration {facts['iteration']}; not saved")
    target = _publish(run, weights, {k: v.detach().cpu().contiguous() for k, v in state.items()}, facts)
    there = folders(run)
    # Those ahead of this one were passed over as damaged when the run resumed before them.
    ahead = [c for c in there if number_of(c) > number_of(target)]
    older = [c for c in there if number_of(c) <= number_of(target)][:-KEPT]
    for useless in [*ahead, *older]:
        shutil.rmtree(useless, ignore_errors=True)
    return target


def _publish(run: Path, weights: dict[str, Tensor], state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Publish the files of a checkpoint. Raises RunError if the write fails; the partial checkpoint is removed."""
    target = folder_of(run, int(facts["iteration"]))
    files = {WEIGHTS: bytes_of(weights), STATE: bytes_of(state), FACTS: json.dumps(facts, indent=2).encode("ascii")}
    aside = aside_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside_folder(target)
        for name, content in files.items():
            (aside / name).write_bytes(content)
        if target.exists():
            shutil.rmtree(target)  # a damaged one of the same iteration: `newest` has passed it over
        publish_folder(aside, target, FORMAT)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise RunError(_unsaved(target, sum(map(len, files.values())), error)) from None
    return target


def _unsaved(target: Path, size: int, error: OSError) -> str:
    """Return why a checkpoint of `size` bytes could not be written, what is left, and what to do."""
    what = f"{target.parent}: the checkpoint at iteration {number_of(target):,} could not be saved"
    try:
        before = [number_of(folder) for folder in folders(target.parents[1]) if number_of(folder) < number_of(target)]
    except UserError:  # it cannot be read either
        before = []
    left = f"that of iteration {before[-1]:,} is kept" if before else "there is none before it"
    if error.errno not in FULL:
        return f"{what} ({error.strerror or error}); {left}, and the same command goes on from there"
    try:
        free = f"{shutil.disk_usage(target.parent).free:,} are free"
    except OSError:
        free = "how many are free is unknown"
    return (
        f"{what} ({error.strerror}): it needs {size:,} bytes, {free}; {left}: make room, and the same command goes on "
        "from there"
    )


def copied(run: Path, target: Path, source: str, *, to_resume: bool) -> Path:
    """Write the newest checkpoint of `run` to `target`: to go on from, or without momentum, enough to score.

    source  where the data came from, in place of the paths of this machine
    """
    found = find(run)
    state = {k: v for k, v in found.state.items() if to_resume or not k.startswith("momentum.")}
    data = {k: v for k, v in found.facts["data"].items() if k != "place"}
    facts = {**found.facts, "data": {**data, "source": source}}
    return _publish(target, found.weights, state, facts)
