"""A checkpoint: a folder published by one rename, its every file hashed; tensors and plain types only.

checkpoints/step-00001200/
    weights.safetensors   parameters and BN buffers, by name
    state.safetensors     momentum, statistics of the data (mean, scale), running sums
    state.json            iteration, phase, spec, classes …
    manifest.json         SHA-256 of the three
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from reslab.errors import ReslabError, RunError, UserError
from reslab.nets.model import Network
from reslab.nets.names import name_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.store.files import aside_folder, publish_folder, verified_manifest
from reslab.training.runlog import CHECKPOINTS, RUN

FORMAT = 1
KEPT = 2  # the newest and the one before it
WEIGHTS, STATE, FACTS = "weights.safetensors", "state.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """`facts` are plain: iteration, spec, classes, data, recipe, seed, and what the loop keeps between two updates."""

    folder: Path
    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    facts: dict[str, Any]

    @property
    def iteration(self) -> int:
        return int(self.facts["iteration"])

    @property
    def spec(self) -> Spec:
        return Spec.from_dict(self.facts["spec"])


def folder_of(run: Path, iteration: int) -> Path:
    return run / CHECKPOINTS / f"step-{iteration:08d}"


def save(run: Path, net: Network, state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Publish a checkpoint of `net` at facts["iteration"]; the one before it is kept, older ones go.

    Raises RunError where a weight is not finite: such a state is never saved.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise RunError(f"{run}: {name} is not finite at iteration {facts['iteration']}; not saved")
    target = _publish(run, weights, {k: v.detach().cpu().contiguous() for k, v in state.items()}, facts)
    # Those ahead of this one were passed over as damaged when the run resumed before them.
    ahead = [c for c in target.parent.glob("step-*") if c.name > target.name]
    older = sorted(c for c in target.parent.glob("step-*") if c.name <= target.name)[:-KEPT]
    for useless in [*ahead, *older]:
        shutil.rmtree(useless, ignore_errors=True)
    return target


def _publish(run: Path, weights: dict[str, Tensor], state: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    target = folder_of(run, int(facts["iteration"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_folder(target)
    (aside / WEIGHTS).write_bytes(bytes_of(weights))
    (aside / STATE).write_bytes(bytes_of(state))
    (aside / FACTS).write_text(json.dumps(facts, indent=2), encoding="ascii")
    if target.exists():
        shutil.rmtree(target)  # a damaged one of the same iteration: `newest` has passed it over
    publish_folder(aside, target, FORMAT)
    return target


def copied(run: Path, target: Path, source: str, *, to_resume: bool) -> Path:
    """The newest checkpoint of `run` in `target`: to go on from, or without momentum: enough to score, half the size.

    source  stands in it as where the data came from, in place of a path of this machine
    """
    found = find(run)
    state = {k: v for k, v in found.state.items() if to_resume or not k.startswith("momentum.")}
    facts = {**found.facts, "data": {**found.facts["data"], "source": source}}
    return _publish(target, found.weights, state, facts)


def load(folder: Path) -> Checkpoint:
    """A checkpoint whose every file has the hash that its manifest states. Raises RunError or UserError."""
    if folder.is_file():
        kind = "a pickle, which can run code when read" if folder.suffix in (".pt", ".pth", ".pkl", ".th") else "a file"
        raise UserError(f"{folder}: {kind}, and no checkpoint folder of reslab; give a run folder or a step-… folder")
    manifest = verified_manifest(folder)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{folder}: checkpoint format {manifest.get('format')!r}, this reslab reads {FORMAT}")
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return Checkpoint(folder, _tensors(folder / WEIGHTS), _tensors(folder / STATE), facts)
    except (OSError, ValueError, SafetensorError) as error:
        raise RunError(f"{folder}: damaged ({type(error).__name__}); use another checkpoint") from None


def _tensors(file: Path) -> dict[str, Tensor]:
    """Read through bytes: safetensors itself opens no path that is not UTF-8."""
    return tensors_of(file.read_bytes())


def newest(run: Path, passed_over: list[str] | None = None) -> Checkpoint | None:
    """The newest whole checkpoint of a run, or None where there is none. Damaged ones are told in `passed_over`."""
    found = sorted((run / CHECKPOINTS).glob("step-*"), reverse=True)
    for folder in found:
        try:
            return load(folder)
        except ReslabError as error:
            if passed_over is not None:
                passed_over.append(str(error))
    return None


def find(path: Path) -> Checkpoint:
    """The checkpoint that a path means: a checkpoint folder, or the newest of a run folder. Raises UserError."""
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint or run")
    if path.is_dir() and (path / RUN).is_file():
        damaged: list[str] = []
        checkpoint = newest(path, damaged)
        if checkpoint is None:
            raise UserError(damaged[0] if damaged else f"{path}: the run has no checkpoint yet")
        return checkpoint
    try:
        return load(path)
    except RunError as error:
        raise UserError(str(error)) from None


def fill(net: Network, weights: dict[str, Tensor], where: str) -> None:
    """Copy weights into `net`. Raises UserError with the first mismatched names or shapes (five at most)."""
    own = net.state_dict()
    wrong = [
        f"{name} ({'missing' if name not in weights else f'{tuple(weights[name].shape)} for {tuple(value.shape)}'})"
        for name, value in own.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    wrong += [f"{name} (not in the net)" for name in weights if name not in own]
    if wrong:
        raise UserError(f"{where}: its weights do not fit {name_of(net.spec)}: {', '.join(wrong[:5])}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def network(checkpoint: Checkpoint) -> Network:
    """The network of a checkpoint, its weights filled in."""
    plan(checkpoint.spec)
    net = Network(checkpoint.spec)
    fill(net, checkpoint.weights, str(checkpoint.folder))
    return net
