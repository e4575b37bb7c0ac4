"""The page of one training run, or of several compared: scores, curves, differences; nothing is judged."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reslab.runs.runlog import Record
from reslab.show import scores, tables, words
from reslab.show.charts.chart import unvalidated
from reslab.show.choices import choice_table
from reslab.show.format import clean
from reslab.show.found import found_rows
from reslab.show.notes import own_notes, run_notes, translated
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Drawn, figure, records_figures
from reslab.show.pages.page import page
from reslab.show.pages.report import RECORD_ERRORS
from reslab.show.series import sound

EVALUATION = "evaluation"  # folder in a run's: what `evaluate RUN --pictures RUN/evaluation` wrote
SCORED = {"confusion": ".svg", "reliability": ".svg", "worst": ".png"}
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class ScoredPicture:
    """A picture of an evaluation: "confusion", "reliability" or "worst", and its content as a data: address."""

    name: str
    address: str


def scored_pictures(folder: Path) -> list[ScoredPicture]:
    """Return the pictures of a run's evaluation that are in its folder."""
    files = [(name, folder / EVALUATION / f"{name}{ending}") for name, ending in SCORED.items()]
    return [
        ScoredPicture(name, f"data:{TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}")
        for name, file in files
        if file.is_file()
    ]


@unvalidated()
def runs_page(
    records: Sequence[Record],
    language: str = "en",
    command: str = "",
    notes: Sequence[str] = (),
    networks: str = "",
    pictures: Sequence[ScoredPicture] = (),
) -> str:
    """Return the page of one run, or of several compared, as a whole HTML document.

    Runs of different recipes are compared too; the page warns of it.

    command   the command that makes this page
    notes     what a reader must know of the data; one line each
    networks  link to the page that runs the network of a single run, if there is one
    pictures  of the evaluation of a single run
    Raises UserError for an unknown language.
    """
    words.PAGE["scores"](language)
    readable = sound(records)
    runs = sorted(readable.records, key=lambda r: (r.residual, r.depth, r.model, r.seed))
    names = _names(runs)
    is_alone = len(runs) == 1
    shelf, drawn = Shelf(), list[Drawn]()
    missing = [words.NOT_ENDED.filled(name=n)(language) for n, r in zip(names, runs, strict=True) if not r.finished]
    missing += [clean(problem) for record in runs for problem in record.problems]
    missing += [words.BROKEN.filled(n=readable.broken)(language)] if readable.broken else []
    try:
        drawn = records_figures(runs, language)
    except RECORD_ERRORS as error:
        reason = f"{type(error).__name__}: {clean(error)}"
        missing.append(words.NOT_DRAWN.filled(id=", ".join(names), why=reason)(language))
    recipes = {str(r.run["recipe"]): r.run["recipe"] for r in runs}
    groups = [
        (", ".join(n for n, r in zip(names, runs, strict=True) if str(r.run["recipe"]) == key), recipe)
        for key, recipe in recipes.items()
    ]
    return page(
        "runs.html.j2",
        language,
        shelf,
        title=names[0] if is_alone else words.TITLE_RUNS.filled(n=len(runs))(language),
        about=_about(runs[0], language) if is_alone else "",
        members=[] if is_alone else names,
        networks=networks,
        pictures=pictures,
        score=scores.score_words(runs[0], language) if is_alone else "",
        best=scores.best_words(runs[0], language) if is_alone else "",
        heads={name: tables.head(name, language) for name in words.HEADS},
        score_head=scores.score_head(runs, language)[is_alone:],
        scores=[row[is_alone:] for row in scores.score_table(runs, names)],  # one run needs no column of names
        classes=scores.class_table(runs[0]) if is_alone else [],
        runs_head=tables.run_head(runs, language),
        runs=tables.run_table(runs, language),
        figures=[figure(chart, "runs", shelf, language) for chart in drawn],
        differences=tables.difference_table(runs, names, language) if len(runs) > 1 else [],
        recipes=[
            (who if len(groups) > 1 else "", tables.recipe_table(recipe, language),
             choice_table(recipe, language))
            for who, recipe in groups
        ],
        machine=tables.machine_table(runs, language),
        commands=list(dict.fromkeys(clean(c) for r in runs if (c := r.run.get("command")))),
        command=command,
        departures=tables.departures(runs, language),
        notes=list(dict.fromkeys([*(translated(n, language) for n in notes), *own_notes(runs, language)])),
        run_notes=[
            note if is_alone else f"{name}: {note}"
            for name, run in zip(names, runs, strict=True)
            for note in run_notes(run, language)
        ],
        missing=missing,
        found=found_rows(runs, language),
    )  # fmt: skip


def _about(record: Record, language: str) -> str:
    """Return what a run trained: model, switches, seed and data."""
    switches = tables.switches(record)
    model = clean(record.model) if switches == "–" else f"{clean(record.model)} ({switches})"
    data = tables.value(record.run["data"].get("name"), language)
    return words.ABOUT_RUN.filled(model=model, seed=record.seed, data=data)(language)


def _names(records: Sequence[Record]) -> list[str]:
    """Return the runs' folder names, with the folder above if two are alike."""
    short = [clean(r.folder.name) for r in records]
    return [
        name if short.count(name) == 1 else clean(f"{r.folder.parent.name}/{name}")
        for name, r in zip(short, records, strict=True)
    ]
