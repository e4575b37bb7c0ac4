"""Read and write a run's folder: its description (`run.json`) and measurements (`metrics.jsonl`). Torch-free."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.notebook import percent, table
from reslab.runs.elapsed import Elapsed
from reslab.runs.extension import ends_of, extension_words
from reslab.runs.identity import IDENTITY
from reslab.runs.init import Init
from reslab.store import checksums, jsonl
from reslab.store.files import LARGEST_JSON, MANIFEST, read_bounded, sha256
from reslab.store.sealed import is_sealed, read_sealed

Tell = Callable[[dict[str, Any]], None]  # reports the progress of a run: called with each event, a dict with a `kind`


def steady(tell: Tell) -> Tell:
    """Return `tell` made silent after its stream breaks (a closed pipe, a full disk), so that the run continues."""
    is_broken = False

    def tell_safely(event: dict[str, Any]) -> None:
        nonlocal is_broken
        if not is_broken:
            try:
                tell(event)
            except (OSError, ValueError) as error:  # ValueError: "I/O operation on closed file"
                if isinstance(error, ValueError) and "closed file" not in str(error):
                    raise
                is_broken = True

    return tell_safely


RUN, METRICS, CHECKPOINTS, EXACT = "run.json", "metrics.jsonl", "checkpoints", "summary.json"
FACTS = "state.json"  # the facts of a checkpoint in JSON

PROBE_TABLES = ("gradients", "activations", "layer_gradients", "layer_activations", "weight_gradients", "residuals",
          "responses")  # tables of a probe's line  # fmt: skip
REQUIRED = ("model", *IDENTITY, "data", "settings", "environment")


@dataclass(frozen=True)
class Record:
    """A run as recorded on disk.

    run      `run.json`: format, model, switches, spec, recipe, data, seed, settings, environment, command; init of a
             run from a trained model, extended of an extended one
    metrics  the lines of `metrics.jsonl`: kind "train" (running loss and error), "eval" (split, n, top1_error,
             top5_error, loss; split "train" is the clean pass), "probe" (n, gradient_batch, loss; gradients,
             activations, residuals by block; layer_gradients, layer_activations, weight_gradients, responses by
             layer), "warmup_end", "warning", "resume", "lost" (lines that were missing at a resume), "end", "extend"
             (an extension begins: its last iteration is "to")
    exact    `summary.json`, {} without one: by split the final weights' scores in fp32 (`reslab evaluate`); they have
             priority over those that the run measured in its own precision
    checked  seals or a list of checksums cover the files; records of the first format had none
    problems one line for each damaged or missing part; the rest of the record is used
    """

    folder: Path
    run: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    exact: dict[str, Any] = field(default_factory=dict)
    checked: bool = True
    problems: tuple[str, ...] = ()

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
    def sealed(self) -> bool:
        """Return whether the files have hashes of their own; those of the first format did not."""
        return is_sealed(self.run)

    @property
    def ends(self) -> tuple[int, ...]:
        """Return the iterations at which the run was to end: those of its recipe, then of each extension."""
        return ends_of(self.run)

    @property
    def finished(self) -> bool:
        """Return whether the run has ended; of an extended run, its last extension."""
        ends = [m.get("iteration") for m in self.metrics if m.get("kind") == "end"]
        return self.ends[-1] in ends if self.run.get("extended") else bool(ends)

    @property
    def ended(self) -> int | None:
        """Return the iteration at which the run ended last: before its recipe's end if val had stalled; or None."""
        ends = [int(m["iteration"]) for m in self.metrics if m.get("kind") == "end"]
        return ends[-1] if ends else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what sets the run apart from one of its recipe alone, one line each: a trained model, an extension."""
        init = Init.of(self.run)
        return tuple(filter(None, (init.words if init else "", extension_words(self.ends))))

    @property
    def seconds(self) -> float:
        """Return the wall-clock time of the run: the sum of the stretches between resumes, each with a clock."""
        elapsed = Elapsed()
        for line in self.metrics:
            elapsed.add(line)
        return elapsed.seconds

    def __repr__(self) -> str:
        at = max((m.get("iteration", 0) for m in self.metrics), default=0)
        state = "finished" if self.finished else "unfinished"
        notes = "".join(f", {note}" for note in self.notes)
        return f"Record({self.model}, seed {self.seed}, {state} at iteration {at:,}{notes}, {str(self.folder)!r})"

    def _repr_html_(self) -> str:
        rows = []
        for split in ("train", "val", "test"):
            for newest in self.evaluations(split)[-1:]:
                scores = self.final(split) or newest
                rows.append((split, percent(scores["top1_error"]), scores.get("n"), newest["iteration"]))
        return table("; ".join([repr(self), *self.problems]), ("split", "top-1 error", "n", "iteration"), rows)

    def evaluations(self, split: str) -> list[dict[str, Any]]:
        """Return the measurements of a split ("train" is the clean pass), in the order of their iterations."""
        return [m for m in self.metrics if m.get("kind") == "eval" and m.get("split") == split]

    def final(self, split: str) -> dict[str, Any] | None:
        """Return the scores of a split at the end of a finished run, exact ones if recorded, or None."""
        evaluations = self.evaluations(split)
        if not self.finished or not evaluations:
            return None
        exact = self.exact.get(split)
        if not isinstance(exact, dict) or "top1_error" not in exact:
            return evaluations[-1]
        is_older = self.run.get("extended") and exact.get("iteration") != self.ends[-1]  # of the end before
        return evaluations[-1] if is_older else exact


def read(folder: Path) -> Record:
    """Return the record in `folder`.

    Raises UserError if it holds no run, a run of another format, or files that differ from their checksums.
    """
    if not (folder / RUN).is_file():
        raise UserError(f"{folder}: holds no run ({RUN} is missing)")
    listed = checksums.covering(folder)
    listed.verify(folder / RUN, folder / METRICS, folder / EXACT)
    run = read_sealed(folder / RUN)
    for key in REQUIRED:
        if key not in run:
            raise UserError(f"{folder / RUN}: damaged ({key} is missing); give another folder")
        if key not in ("model", "seed") and not isinstance(run[key], dict):
            raise UserError(f"{folder / RUN}: damaged ({key} is no table); give another folder")
    try:
        Init.of(run)
        length = ends_of(run)[-1]
    except UserError as error:
        raise UserError(f"{folder / RUN}: {error}; give another folder") from None
    exact = read_sealed(folder / EXACT, unmarked=True) if (folder / EXACT).is_file() else {}
    lines = jsonl.read(folder / METRICS, checked=is_sealed(run))
    metrics = tuple(filter(is_whole, lines.records))
    checked = is_sealed(run) or (listed.covers(folder / RUN) and listed.covers(folder / METRICS))
    record = Record(folder, run, metrics, exact, checked)
    damaged = lines.damaged + len(lines.records) - len(metrics)
    problems = [f"{folder}: {damaged} damaged lines of {METRICS} are left out"] if damaged else []
    problems += [f"{folder}: {lines.missing} lines of {METRICS} are missing"] if lines.missing else []
    problems += [
        f"{folder}: {line.get('lines')} lines of {METRICS} before iteration {line.get('iteration')} were lost"
        for line in metrics
        if line["kind"] == "lost"
    ]
    if is_sealed(run) and not record.finished:
        problems += _lost_lines(record, lines, length)
    return replace(record, problems=tuple(problems))


def is_whole(line: dict[str, Any]) -> bool:
    """Return whether a line of `metrics.jsonl` has all that its kind needs."""
    kind, iteration = line.get("kind"), line.get("iteration")
    if not isinstance(kind, str):
        return False
    is_numbered = isinstance(iteration, int | float) and not isinstance(iteration, bool) and math.isfinite(iteration)
    if kind not in ("eval", "probe", "train"):
        return is_numbered or iteration is None
    if not is_numbered:
        return False
    if kind == "eval":
        return isinstance(line.get("split"), str) and isinstance(line.get("top1_error", ""), int | float | None)
    return all(isinstance(line[key], dict) for key in PROBE_TABLES if key in line)


def _lost_lines(record: Record, lines: jsonl.Lines, length: int) -> list[str]:
    """Return the problem if lines of an unfinished run are missing that its newest checkpoint has counted.

    length   iterations of the run
    """
    folders = sorted((record.folder / CHECKPOINTS).glob("step-*"), reverse=True)
    facts = facts_of(folders[0]) if folders else {}
    end, at = jsonl.Tail.from_dict(facts.get("metrics")), facts.get("iteration")
    if end is None or not isinstance(at, int):
        return []
    if lost := lines.lost_since(end):
        return [
            f"{record.folder}: {lost} of the {end.lines} lines of {METRICS} at iteration {at:,} are damaged or missing"
        ]
    if at == length:
        command = f"the command in {RUN}" + (f" with --extend {length}" if record.run.get("extended") else "")
        return [f"{record.folder}: the last line of {METRICS} is missing; run {command} again to finish it"]
    return []


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """Return the facts of a checkpoint, without importing torch; {} if they are damaged or missing."""
    try:
        manifest, facts = (json.loads(read_bounded(checkpoint / n, LARGEST_JSON)) for n in (MANIFEST, FACTS))
        return dict(facts) if manifest["sha256"][FACTS] == sha256(checkpoint / FACTS) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return {}
