"""Records as rows of text: what a page's tables say. No HTML here, and no number that is not in a record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from reslab.claims.degradation import Cell
from reslab.show.plain import duration, number
from reslab.training.recipe import OPEN_CHOICES
from reslab.training.recipes import paper_cifar
from reslab.training.runlog import Record

Table = list[list[str]]

# Fields of a recipe that say when to look and to save: they change no number of the run.
MOMENTS = ("name", "eval_every", "clean_every", "log_every", "save_every", "warmup_alarm")
PAPER_DEPTHS = (20, 32, 44, 56, 110, 1202)


NB = "\u00a0"  # a space at which no line breaks: figures stay whole in narrow columns


def spread(mean: float, std: float, n: int) -> str:
    """ "1.23 ± 0.04 (n = 3)" in percent; without a spread where there is one run alone, "–" where there is none."""
    if not math.isfinite(mean):
        return "–"
    told = f"{mean:.2f}{NB}±{NB}{std:.2f}" if math.isfinite(std) else f"{mean:.2f}"
    return f"{told} (n{NB}={NB}{n})"


def cell_table(cells: Iterable[Cell]) -> Table:
    """Depth, then training error plain and residual, then test error plain and residual: percent, mean ± std, n."""
    at = {(c.depth, c.residual): c for c in cells}
    rows = []
    for depth in sorted({d for d, _ in at}):
        pair = [at.get((depth, residual)) for residual in (False, True)]
        train = [spread(c.train_mean, c.train_std, c.n) if c else "–" for c in pair]
        test = [spread(c.test_mean, c.test_std, c.n) if c else "–" for c in pair]
        rows.append([str(depth), *train, *test])
    return rows


def seconds(record: Record) -> float:
    """Wall-clock seconds of a run: each stretch between two resumes has a clock of its own, and they add up."""
    total = stretch = 0.0
    for line in record.metrics:
        if line["kind"] == "resume":
            total, stretch = total + stretch, 0.0
        elif isinstance(line.get("clock"), dict):
            stretch = max(stretch, float(line["clock"].get("seconds", 0.0)))
    return total + stretch


def run_table(records: Iterable[Record]) -> Table:
    """Model, seed, final training and test error (percent), iterations, time: one row for each run."""
    rows = []
    for r in sorted(records, key=lambda r: (r.residual, r.depth, r.seed)):
        finals = [r.final(split) for split in ("train", "test")]
        errors = [number(f["top1_error"] if f else None, ".2f") for f in finals]
        last = max((int(m.get("iteration", 0)) for m in r.metrics), default=0)
        reached = f"{last:,}" if r.finished else f"{last:,}, unfinished"
        rows.append([r.model, str(r.seed), *errors, reached, duration(seconds(r))])
    return rows


def value(thing: Any) -> str:
    """A setting's value as a person writes it."""
    if thing is None:
        return "none"
    if isinstance(thing, bool):
        return "on" if thing else "off"
    if isinstance(thing, list | tuple):
        return ", ".join(value(t) for t in thing) or "none"
    if isinstance(thing, dict):
        return ", ".join(f"{k} {value(v)}" for k, v in thing.items()) or "none"
    return f"{thing:,}" if isinstance(thing, int) else f"{thing:g}" if isinstance(thing, float) else str(thing)


def recipe_table(recipe: dict[str, Any]) -> Table:
    """Every field of a recipe and its value."""
    return [[key, value(found)] for key, found in recipe.items()]


def choice_table(recipe: dict[str, Any]) -> Table:
    """What the paper leaves open: field, what was chosen here, what the paper says or does not say."""
    return [[key, value(recipe.get(key)), words] for key, words in OPEN_CHOICES.items()]


def machine_table(records: Sequence[Record]) -> Table:
    """Data, environment and settings; where runs differ, each value that occurs."""
    rows: Table = []
    for part in ("data", "environment", "settings"):
        keys = list(dict.fromkeys(key for r in records for key in r.run.get(part, {})))
        for key in keys:
            found = dict.fromkeys(value(r.run[part][key]) for r in records if key in r.run.get(part, {}))
            rows.append([f"{part}: {key}", " | ".join(found)])
    return rows


def departures(records: Sequence[Record]) -> list[str]:
    """In what these runs leave the paper's CIFAR-10 study (§4.2), as far as their records tell it; one line each."""
    if not records:
        return []
    run, found = records[0].run, []
    if run["data"].get("name") != "cifar10":
        found.append(f"the data are {value(run['data'].get('name'))}, not CIFAR-10")
    depths = sorted({r.depth for r in records if r.depth not in PAPER_DEPTHS})
    if depths:
        found.append(f"nets of {value(depths)} layers are not in the paper")
    switches = {key: s for r in records for key, s in r.run.get("switches", {}).items()}
    found += [f"the nets' {key} is {value(s)}" for key, s in switches.items()]
    # the first phase is for the deepest nets alone: where none is trained, its fields change nothing
    idle = () if any(r.depth >= run["recipe"]["warmup_from_depth"] for r in records) else ("warmup_",)
    for key, said in paper_cifar().to_dict().items():
        here = run["recipe"].get(key)
        if here == said or key in MOMENTS or key in OPEN_CHOICES or key.startswith(idle or ("\0",)):
            continue
        found.append(f"{key} is {value(here)}, in the paper {value(said)}")
    return found
