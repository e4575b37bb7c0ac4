"""A run's folder, read and written: who it is (`run.json`), what it measured (`metrics.jsonl`). Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.nets.spec import Spec
from reslab.store import jsonl
from reslab.store.files import read_json
from reslab.training.recipe import Recipe

Tell = Callable[[dict[str, Any]], None]  # how a run speaks: called with each event, a dict with a `kind`


def steady(tell: Tell) -> Tell:
    """`tell`, gone silent once its stream is broken (a closed pipe, a full disk): no reason for a run to end."""
    broken = False

    def told(event: dict[str, Any]) -> None:
        nonlocal broken
        if not broken:
            try:
                tell(event)
            except (OSError, ValueError) as error:  # ValueError: "I/O operation on closed file"
                if isinstance(error, ValueError) and "closed file" not in str(error):
                    raise
                broken = True

    return told


FORMAT = 1
RUN, METRICS, CHECKPOINTS, EXACT = "run.json", "metrics.jsonl", "checkpoints", "summary.json"

# What decides a run's numbers: a folder is resumed only by a run that agrees in all of these.
IDENTITY = ("spec", "recipe", "seed")
REQUIRED = ("model", *IDENTITY, "data", "settings", "environment")


@dataclass(frozen=True)
class Record:
    """A run as it stands on disk.

    run      `run.json`: format, model, switches, spec, recipe, data, seed, settings, environment, command
    metrics  the lines of `metrics.jsonl`: kind "train" (running loss and error), "eval" (split, n, top1_error,
             top5_error, loss; split "train" is the clean pass), "probe" (n, gradient_batch, loss; gradients,
             activations, residuals by block; layer_gradients, layer_activations, weight_gradients, responses by
             layer), "warmup_end", "warning", "resume", "end"
    exact    `summary.json`, where there is one: by split the final weights' scores in fp32 (`reslab evaluate`), which
             count before what the run measured in its own precision
    """

    folder: Path
    run: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    exact: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.run["model"])

    @property
    def depth(self) -> int:
        return int(self.run["spec"]["depth"])

    @property
    def residual(self) -> bool:
        return bool(self.run["spec"]["residual"])

    @property
    def seed(self) -> int:
        return int(self.run["seed"])

    @property
    def finished(self) -> bool:
        return any(m.get("kind") == "end" for m in self.metrics)

    def __repr__(self) -> str:
        at = max((m.get("iteration", 0) for m in self.metrics), default=0)
        state = "finished" if self.finished else "unfinished"
        return f"Record({self.model}, seed {self.seed}, {state} at iteration {at:,}, {str(self.folder)!r})"

    def evaluations(self, split: str) -> list[dict[str, Any]]:
        """The measurements of a split ("train" is the clean pass), in the order of their iterations."""
        return [m for m in self.metrics if m.get("kind") == "eval" and m.get("split") == split]

    def final(self, split: str) -> dict[str, Any] | None:
        """The scores of a split at the end of a finished run, exact ones where they were made, or None."""
        found = self.evaluations(split)
        if not self.finished or not found:
            return None
        exact = self.exact.get(split)
        return exact if isinstance(exact, dict) and "top1_error" in exact else found[-1]


def read(folder: Path) -> Record:
    """The record in `folder`. Raises UserError where it holds no run or one of another format."""
    if not (folder / RUN).is_file():
        raise UserError(f"{folder}: holds no run ({RUN} is missing)")
    run = read_json(folder / RUN)
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        form = run.get("format") if isinstance(run, dict) else None
        raise UserError(f"{folder / RUN}: format {form!r} is not {FORMAT}; it was written by another version of reslab")
    for key in REQUIRED:
        if key not in run:
            raise UserError(f"{folder / RUN}: damaged ({key} is missing); give another folder")
        if key not in ("model", "seed") and not isinstance(run[key], dict):
            raise UserError(f"{folder / RUN}: damaged ({key} is no table); give another folder")
    exact = read_json(folder / EXACT) if (folder / EXACT).is_file() else {}
    if not isinstance(exact, dict):
        raise UserError(f"{folder / EXACT}: damaged (it is no table); remove it or give another folder")
    return Record(folder, run, tuple(jsonl.read(folder / METRICS)), exact)


def difference(mine: dict[str, Any], there: Record) -> str | None:
    """The first thing in which two runs differ and that decides their numbers, in words; None where they agree.

    A field that an older record does not have stands there at its default. Raises UserError where it is damaged.
    """
    theirs = {**there.run, **_completed(there)}
    for part in IDENTITY:
        a, b = _plain(mine[part]), _plain(theirs[part])
        if not isinstance(a, dict):
            a, b = {part: a}, {part: b}
        for key in a:
            if a[key] != b[key]:
                return f"{key} is {a[key]!r} here and {b[key]!r} there"
    if "data" in mine and mine["data"]["fingerprint"] != there.run["data"].get("fingerprint"):
        return "the data's fingerprint is another"
    return None


def _completed(there: Record) -> dict[str, Any]:
    """Spec and recipe of a record, every field there."""
    try:
        return {part: kind.from_dict(there.run[part]).to_dict() for part, kind in (("spec", Spec), ("recipe", Recipe))}
    except UserError as error:
        why = str(error)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:  # as from_dict comes to it
        why = f"{type(error).__name__}: {error}"
    file = there.folder / RUN
    raise UserError(f"{file}: damaged, or written by another version of reslab ({why}); give another folder")


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(value))
