"""Read checkpoints: folders of safetensors and JSON, verified by SHA-256 before use.

A checkpoint is written under another name and published by one rename (`training/saving.py`), so a step-… folder is
complete. Nothing in it is pickled: reading a checkpoint never runs code.

checkpoints/step-00001200/
    weights.safetensors   parameters and BN buffers, by name
    state.safetensors     momentum, statistics of the data (mean, scale), running sums; the weights, if WEIGHTS has
                          their average
    state.json            iteration, phase, spec, classes …
    manifest.json         SHA-256 of the three
checkpoints/best/         the checkpoint with the best scores of val, without momentum
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from torch import Tensor

from reslab.data.batches.loader import Statistics
from reslab.errors import RunError, UserError
from reslab.measure.finite import check_weights
from reslab.models.facts import problem_of
from reslab.nets.cost import cost
from reslab.nets.model import Network
from reslab.nets.names import name_of
from reslab.nets.spec import Spec
from reslab.runs.best import BEST
from reslab.runs.runlog import CHECKPOINTS, FACTS, RUN
from reslab.store.files import MANIFEST, read_json, verified_manifest

FORMAT = 1
FAR = 4  # a spec with so many times the weights in the file is of another net, not of one with missing weights
WEIGHTS, STATE = "weights.safetensors", "state.safetensors"
MOMENTUM, OWN = "momentum.", "own."  # before the names of tensors in STATE; OWN: of the weights behind averaged ones


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory. `facts` are plain types: iteration, spec, classes, data, recipe, seed, loop state."""

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

    @property
    def statistics(self) -> Statistics:
        """The mean and scale by which training images were centred and scaled."""
        return Statistics(self.state["mean"].numpy(), self.state["scale"].numpy())


def folder_of(run: Path, iteration: int) -> Path:
    return run / CHECKPOINTS / f"step-{iteration:08d}"


def load(folder: Path) -> Checkpoint:
    """Read the checkpoint in `folder`, verifying every file against the manifest.

    Raises RunError if it is damaged, UserError for a file instead of a folder or for a later format.
    """
    if folder.is_file():
        kind = "a pickle, which can run code when read" if folder.suffix in (".pt", ".pth", ".pkl", ".th") else "a file"
        raise UserError(f"{folder}: {kind}, not a checkpoint folder of reslab; give a run folder or a step-… folder")
    try:
        return _read(folder)
    except RunError as error:
        raise RunError(f"{error}; use another checkpoint") from None


def _read(folder: Path) -> Checkpoint:
    """Read a checkpoint folder; the RunError names the problem, without a remedy."""
    manifest = verified_manifest(folder, FORMAT)
    if manifest.get("format") != FORMAT:
        raise RunError(f"{folder / MANIFEST}: damaged (format {manifest.get('format')!r}, this reslab reads {FORMAT})")
    for name in (WEIGHTS, STATE, FACTS):
        if name not in manifest["sha256"]:
            raise RunError(f"{folder / MANIFEST}: damaged (it does not list {name})")
    try:
        facts = read_json(folder / FACTS)
        checkpoint = Checkpoint(folder, _tensors(folder / WEIGHTS), _tensors(folder / STATE), facts)
    except UserError:
        raise RunError(f"{folder / FACTS}: damaged (it cannot be read as JSON)") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise RunError(f"{folder}: damaged ({type(error).__name__})") from None
    if problem := problem_of(facts, checkpoint.state):
        raise RunError(f"{folder / FACTS}: damaged ({problem})")
    return checkpoint


def _tensors(file: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Its bytes are read first, because the library cannot open a path that is not UTF-8."""
    tensors: dict[str, Tensor] = tensors_of(file.read_bytes())
    return tensors


def folders(run: Path) -> list[Path]:
    """Return a run's step-… folders, oldest first. Copies under other names are ignored.

    Raises UserError if the folder of checkpoints cannot be read.
    """
    place = run / CHECKPOINTS
    try:
        names = os.listdir(place)
    except OSError as error:
        if not os.path.lexists(place):
            return []
        raise UserError(f"{place}: cannot be read ({error.strerror}); nothing was changed: make it readable") from None
    return sorted((place / name for name in names if re.fullmatch(r"step-\d{8,}", name)), key=number_of)


def number_of(folder: Path) -> int:
    """Return the iteration of a step-… folder."""
    return int(folder.name.removeprefix("step-"))


def kept_best(run: Path) -> int | None:
    """Return the iteration of a run's best checkpoint on val; None if there is none, or if it is damaged."""
    try:
        return _read(run / CHECKPOINTS / BEST).iteration
    except (RunError, UserError):
        return None


def newest(run: Path, passed_over: list[str] | None = None) -> Checkpoint | None:
    """Return the newest whole checkpoint of a run, or None if it has no step-… folder.

    passed_over  receives one line for each damaged checkpoint that is newer
    Raises UserError if none of several checkpoints can be read or if one has a later format: to start again would
    discard the training.
    """
    problems: list[str] = []
    for folder in reversed(folders(run)):
        try:
            checkpoint = _read(folder)
        except RunError as error:
            if not os.path.lexists(folder):  # the run is still training and has replaced it by a newer one
                return newest(run, passed_over)
            problems.append(str(error))
            continue
        if passed_over is not None:
            passed_over.extend(problems)
        return checkpoint
    if problems:
        more = f", nor can the {len(problems) - 1} before it be read" if len(problems) > 1 else ""
        raise UserError(
            f"{problems[0]}{more}; nothing was changed: put a whole copy of the checkpoint back, or remove "
            f"{run / CHECKPOINTS} to train from the start"
        )
    return None


def find(path: Path) -> Checkpoint:
    """Return the checkpoint at `path`: a checkpoint folder, or a run folder's newest.

    Raises UserError if there is none or the newest is damaged; an older one is used only if its folder is given.
    """
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint or run")
    if path.is_dir() and (path / RUN).is_file():
        damaged: list[str] = []
        checkpoint = newest(path, damaged)
        if checkpoint is None:
            raise UserError(f"{path}: the run has no checkpoint yet")
        if damaged:
            raise UserError(f"{damaged[0]}; to use the checkpoint before it instead, give {checkpoint.folder}")
        return checkpoint
    try:
        return load(path)
    except RunError as error:
        raise UserError(str(error)) from None


def fill(net: Network, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy weights into `net`. Raises UserError if names or shapes differ (listing five) or a weight is not finite.

    where   the weights' origin, for messages
    """
    targets = net.state_dict()
    mismatches = [
        f"{name} ({'missing' if name not in weights else f'{tuple(weights[name].shape)} for {tuple(value.shape)}'})"
        for name, value in targets.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    mismatches += [f"{name} (not in the net)" for name in weights if name not in targets]
    if mismatches:
        raise UserError(f"{where}: its weights do not fit {name_of(net.spec)}: {', '.join(mismatches[:5])}")
    check_weights({name: weights[name].to(value.dtype) for name, value in targets.items()}, where)
    with torch.no_grad():
        for name, value in targets.items():
            value.copy_(weights[name])


def network(spec: Spec, weights: Mapping[str, Tensor], where: str) -> Network:
    """Return the network of `spec` with `weights`. Raises UserError as `fill` does."""
    stated, present = cost(spec).parameters, sum(value.numel() for value in weights.values())
    if stated > FAR * present:  # checked before the net is built: a damaged spec may describe one of any size
        raise UserError(f"{where}: its weights do not fit {name_of(spec)}: {present:,} values for {stated:,}")
    net = Network(spec)
    fill(net, weights, where)
    return net
