"""Records and findings as rows of text for a page's tables. No HTML, and no number that is not in a record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from reslab.claims.claim import BESIDE, LIMIT, Finding
from reslab.claims.evidence import key_of
from reslab.claims.phrases import shown, threshold
from reslab.claims.rules import Always, Figure
from reslab.runs.naming import FROM_DATA
from reslab.runs.openchoices import OPEN_CHOICES
from reslab.runs.recipe import Recipe
from reslab.runs.recipes import paper_cifar
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.format import NB, clean, duration, number
from reslab.show.notes import translated
from reslab.show.series import finite, splits_of
from reslab.show.words import NONE, OFF, ON, PARTS, UNFINISHED, VERDICT

Table = list[list[str]]

# Fields of a recipe that say when to look and to save: they change no number of the run.
MOMENTS = ("name", "eval_every", "clean_every", "probe_every", "log_every", "save_every", "warmup_alarm")
PAPER_DEPTHS = (20, 32, 44, 56, 110, 1202)


def head(name: str, language: str = "en") -> list[str]:
    """Return the heads of a table of `words.HEADS`."""
    return [text(language) for text in words.HEADS[name]]


def mean_words(final: Figure | None) -> str:
    """Return "1.23 [1.15, 1.31] (n = 3)": mean, 95 % interval, seeds; one seed has no interval, no seed is "–"."""
    if final is None:
        return "–"
    interval = f" [{max(0.0, final.low):.2f},{NB}{min(100.0, final.high):.2f}]" if math.isfinite(final.low) else ""
    return f"{final.mean:.2f}{interval} (n{NB}={NB}{final.n})"


def statement_table(findings: Iterable[Finding], language: str = "en", judged: bool = True) -> Table:
    """Return a row for each measured statement: its text, mean (or range), 95 % interval, n, threshold, verdict.

    judged   the statements that decide the verdict, or else those for information
    """
    rows = []
    for f in findings:
        if f.figure is None or judged == (f.statement.role == BESIDE):
            continue
        text = f.statement.text(language)
        if f.statement.role == LIMIT:
            text += f" ({words.ROLES[LIMIT](language)})"
        rows.append([text, value_words(f, language), interval_words(f), str(f.figure.n),
                     threshold(f.statement, language),
                     VERDICT[f.verdict](language)])  # fmt: skip
    return rows


def value_words(finding: Finding, language: str = "en") -> str:
    """Return the figure alone: its mean, or the range of what was computed; with its unit ("1.23 points")."""
    whole = shown(finding, language).partition(" (n = ")[0]
    before, bracket, after = whole.partition(" [")
    return before + (after.partition("]")[2] if bracket else "")


def interval_words(finding: Finding) -> str:
    """Return the 95 % interval, "1.11 … 1.35"; "–" if there is none: one seed, or a figure that was computed."""
    if finding.figure is None or finding.figure.n < 2 or isinstance(finding.statement.rule, Always):
        return "–"
    return shown(finding).partition("[")[2].partition("]")[0].replace(", ", " … ")


def run_table(records: Iterable[Record], language: str = "en") -> Table:
    """Return a row for each run: model, switches, seed, final errors (percent; `run_head`), iterations, time."""
    rows, runs = [], list(records)
    for r in sorted(runs, key=lambda r: (r.residual, r.depth, key_of(r), r.seed)):
        finals = [r.final(split) for split in _errors(runs)]
        errors = [number(f["top1_error"] if f else None, ".2f") for f in finals]
        last = max((int(m["iteration"]) for m in r.metrics if finite(m.get("iteration"))), default=0)
        reached = f"{last:,}" if r.finished else UNFINISHED.filled(n=f"{last:,}")(language)
        rows.append([clean(r.model), switches(r), str(r.seed), *errors, reached, duration(r.seconds)])
    return rows


def run_head(records: Iterable[Record], language: str = "en") -> list[str]:
    """Return the heads of `run_table`: training and test error, or validation error if there is no test split."""
    first, last = words.HEADS["runs"][:3], words.HEADS["runs"][-2:]
    errors = [words.ERRORS[split] for split in _errors(records)]
    return [text(language) for text in (*first, *errors, *last)]


def _errors(records: Iterable[Record]) -> list[str]:
    """Return the splits whose final errors are tabulated."""
    splits = splits_of(records)
    return ["train", *(s for s in splits if s != "train")] if len(splits) > 1 or "val" in splits else ["train", "test"]


def switches(record: Record) -> str:
    """Return the switches of a run that do not follow from its data; "–" without any."""
    own = {k: v for k, v in record.run.get("switches", {}).items() if k not in FROM_DATA}
    return ", ".join(f"{clean(k)} {value(v)}" for k, v in own.items()) or "–"


def value(thing: Any, language: str = "en") -> str:
    """Return a setting's value as a person writes it."""
    if thing is None:
        return NONE(language)
    if isinstance(thing, bool):
        return (ON if thing else OFF)(language)
    if isinstance(thing, list | tuple):
        return ", ".join(value(t, language) for t in thing) or NONE(language)
    if isinstance(thing, dict):
        return ", ".join(f"{clean(k)} {value(v, language)}" for k, v in thing.items()) or NONE(language)
    return f"{thing:,}" if isinstance(thing, int) else f"{thing:g}" if isinstance(thing, float) else clean(thing)


def recipe_table(recipe: dict[str, Any], language: str = "en") -> Table:
    """Return every field of a recipe and its value."""
    return [[clean(key), value(setting, language)] for key, setting in recipe.items()]


def machine_table(records: Sequence[Record], language: str = "en") -> Table:
    """Return data, environment and settings; if runs differ, each value that occurs."""
    rows: Table = []
    for part, word in PARTS.items():
        keys = list(dict.fromkeys(key for r in records for key in r.run.get(part, {})))
        for key in keys:
            recorded = [noted(r.run[part][key], key, language) for r in records if key in r.run.get(part, {})]
            rows.append(
                [f"{word(language)}: {clean(key)}", " | ".join(dict.fromkeys(value(v, language) for v in recorded))]
            )
    return rows


def noted(recorded: Any, key: str, language: str) -> Any:
    """Return what a run recorded, notes on the data in the page's language."""
    is_notes = key == "notes" and isinstance(recorded, list)
    return [translated(clean(note), language) for note in recorded] if is_notes else recorded


def difference_table(records: Sequence[Record], names: Sequence[str], language: str = "en") -> Table:
    """Return each field of model, recipe, switches, data … in which runs differ: its values and their runs."""
    rows: Table = []
    for part in ("model", "switches", "recipe", *PARTS):
        tables = [t if isinstance(t := r.run.get(part), dict) else {} for r in records]
        if part == "recipe":
            tables = [{**(Recipe().to_dict() if t else {}), **t} for t in tables]
        elif part == "model":
            tables = [{"name": r.model} for r in records]
        for key in dict.fromkeys(k for t in tables for k in t):
            runs_by_value: dict[str, list[str]] = {}
            for name, table in zip(names, tables, strict=True):
                shown_value = value(noted(table[key], key, language), language) if key in table else "–"
                runs_by_value.setdefault(shown_value, []).append(name)
            if len(runs_by_value) > 1:
                lines = "\n".join(f"{v}: {', '.join(runs)}" for v, runs in runs_by_value.items())
                rows.append([f"{PARTS[part](language) if part in PARTS else part}: {clean(key)}", lines])
    return rows


def departures(records: Sequence[Record], language: str = "en") -> list[str]:
    """Return how these runs differ from the paper's CIFAR-10 study (§4.2), as recorded; one line each."""
    lines = []
    for data in dict.fromkeys(value(r.run["data"].get("name")) for r in records):
        if data != "cifar10":
            lines.append(words.OTHER_DATA.filled(data=data))
    depths = sorted({r.depth for r in records if r.depth not in PAPER_DEPTHS})
    if depths:
        lines.append(words.OTHER_DEPTHS.filled(depths=value(depths)))
    changed: dict[tuple[str, str], list[str]] = {}
    for r in records:
        for key, s in r.run.get("switches", {}).items():
            changed.setdefault((clean(key), value(s, language)), []).append(clean(r.model))
    for (key, s), models in changed.items():
        nets = ", ".join(dict.fromkeys(models))
        lines.append(words.OTHER_SWITCH.filled(key=key, value=s, nets=nets))
    # the first phase is for the deepest nets alone: without them its fields change nothing
    for key, printed in paper_cifar().to_dict().items():
        trained = [r for r in records if not (key.startswith("warmup_") and _never_warms(r))]
        # a record that is older than a field followed the paper's recipe in it
        for here in dict.fromkeys(value(r.run["recipe"].get(key, printed), language) for r in trained):
            if here != value(printed, language) and key not in MOMENTS and key not in OPEN_CHOICES:
                lines.append(words.OTHER_FIELD.filled(key=key, here=here, printed=value(printed, language)))
    return [text(language) for text in lines]


def _never_warms(record: Record) -> bool:
    first = record.run["recipe"].get("warmup_from_depth")
    return not finite(first) or record.depth < first
