"""The page of one training run, or of several beside each other: scores, curves, differences; nothing is judged."""

from __future__ import annotations

from collections.abc import Sequence

from reslab.runs.runlog import Record
from reslab.show import tables, words
from reslab.show.charts.chart import unvalidated
from reslab.show.format import clean
from reslab.show.notes import data_notes
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Drawn, figure, records_figures
from reslab.show.pages.page import page
from reslab.show.pages.report import RECORD_ERRORS
from reslab.show.series import sound


@unvalidated()
def runs_page(records: Sequence[Record], language: str = "en", command: str = "", notes: Sequence[str] = ()) -> str:
    """The page of one run, or of several compared; runs of different recipes are compared, and the page says so.

    command   the command that makes this page
    notes     whatever else a reader must know; one line each
    Returns a whole HTML document. Raises UserError for a language that there is none of.
    """
    words.PAGE["answer"](language)
    clear = sound(records)
    found = sorted(clear.records, key=lambda r: (r.residual, r.depth, r.model, r.seed))
    names = _names(found)
    shelf, drawn = Shelf(), list[Drawn]()
    missing = [words.NOT_ENDED.filled(name=n)(language) for n, r in zip(names, found, strict=True) if not r.finished]
    missing += [clean(problem) for record in found for problem in record.problems]
    missing += [words.BROKEN.filled(n=clear.broken)(language)] if clear.broken else []
    try:
        drawn = records_figures(found, language)
    except RECORD_ERRORS as error:
        why = f"{type(error).__name__}: {clean(error)}"
        missing.append(words.NOT_DRAWN.filled(id=", ".join(names), why=why)(language))
    recipes = {str(r.run["recipe"]): r.run["recipe"] for r in found}
    groups = [
        (", ".join(n for n, r in zip(names, found, strict=True) if str(r.run["recipe"]) == key), recipe)
        for key, recipe in recipes.items()
    ]
    return page(
        "runs.html.j2",
        language,
        shelf,
        title=_title(found, language),
        several=len(found) != 1,
        heads={name: tables.head(name, language) for name in words.HEADS},
        scores=tables.score_table(found, names),
        runs_head=tables.run_head(found, language),
        runs=tables.run_table(found, language),
        figures=[figure(one, "runs", shelf, {}, language=language) for one in drawn],
        differences=tables.difference_table(found, names, language) if len(found) > 1 else [],
        recipes=[
            (who if len(groups) > 1 else "", tables.recipe_table(recipe, language),
             tables.choice_table(recipe, language))
            for who, recipe in groups
        ],
        machine=tables.machine_table(found, language),
        commands=list(dict.fromkeys(clean(c) for r in found if (c := r.run.get("command")))),
        command=command,
        departures=tables.departures(found, language),
        notes=list(dict.fromkeys([*notes, *data_notes(found, language)])),
        missing=missing,
    )  # fmt: skip


def _title(records: Sequence[Record], language: str) -> str:
    if len(records) != 1:
        return words.TITLE_RUNS.filled(n=len(records))(language)
    one = records[0]
    data = tables.value(one.run["data"].get("name"), language)
    return words.TITLE_RUN.filled(model=clean(one.model), seed=one.seed, data=data)(language)


def _names(records: Sequence[Record]) -> list[str]:
    """The runs' folders by their last parts: one where that tells them apart, else with the folder above."""
    short = [clean(r.folder.name) for r in records]
    return [
        name if short.count(name) == 1 else clean(f"{r.folder.parent.name}/{name}")
        for name, r in zip(short, records, strict=True)
    ]
