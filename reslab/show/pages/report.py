"""The report: claims and their verdicts first, then each claim with its figures and runs, then what they stand on.

`study_page` is of judgements, of one study or of several; of a run, or of runs compared, there is `runs_report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.claim import Claim
from reslab.claims.evidence import Evidence
from reslab.claims.judging import Judgement
from reslab.claims.ledger import order
from reslab.claims.rules import NOT_RUN, VERDICTS, together
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.runs.runlog import Record
from reslab.show import tables, words
from reslab.show.charts.chart import unvalidated
from reslab.show.drawings.blocks import draw_blocks
from reslab.show.drawings.nets import draw_nets
from reslab.show.format import clean
from reslab.show.notes import data_notes
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Figure, figure, figures_of
from reslab.show.pages.page import page
from reslab.show.pages.papertables import PaperTable, table1, table2, table3, table6
from reslab.show.series import sound
from reslab.show.tables import Table
from reslab.show.terminal.verdicts import command as command_of
from reslab.show.words import NOT_RUN_WORD, VERDICT

# Verdicts are also told apart without colour: a sign of its own for each verdict.
SIGNS = dict(zip(VERDICTS, "●◐✕?–", strict=True))
RECORD_ERRORS = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)  # what a damaged record can come to


@dataclass(frozen=True)
class Part:
    """A claim on one study."""

    id: str
    about: str
    verdict: str
    sentence: str
    statements: Table
    figures: list[Figure]
    runs_head: list[str]
    runs: Table
    command: str
    notes: list[str]
    problems: list[str]
    order: str


@dataclass(frozen=True)
class Section:
    """A claim with everything that is told of it; without `parts` it was not run."""

    claim: Claim
    verdict: str
    parts: list[Part]
    why: str

    @property
    def id(self) -> str:
        return self.claim.id

    @property
    def sign(self) -> str:
        return SIGNS[self.verdict]


@dataclass(frozen=True)
class Basis:
    """What a study stands on: recipe, open choices, machine, departures from the paper, what is missing."""

    id: str
    about: str
    recipe: Table
    choices: Table
    machine: Table
    departures: list[str]
    missing: Table
    problems: list[str]


@unvalidated()
def study_page(
    judgements: Sequence[Judgement], language: str = "en", command: str = "", notes: Sequence[str] = ()
) -> str:
    """The page of some claims, judged on one study or on several; judgements of one claim stand together.

    command   the command that makes this page
    notes     departures from the paper, or whatever else a reader must know; one line each
    Returns a whole HTML document. Raises UserError for a language that there is none of.
    """
    words.PAGE["answer"](language)
    shelf, seen = Shelf(), dict[str, str]()
    sections = []
    for claim, group in _by_claim(judgements):
        telling = _telling(group)
        parts = [_part(j, f"{claim.id}-{i}", len(telling) > 1, shelf, seen, language) for i, j in enumerate(telling, 1)]
        why = group[0].sentence(language)
        sections.append(Section(claim, together([j.verdict for j in group]), parts, why))
    studies = list({id(j.evidence): j.evidence for j in judgements}.values())
    bases = [_basis(one, i, [j for j in judgements if j.evidence is one], language) for i, one in enumerate(studies)]
    records = [r for one in studies for r in _all(one)]
    table_6 = table6(records, language)
    told = {s.id for s in sections}
    return page(
        "study.html.j2",
        language,
        shelf,
        title=words.PAGE["study_title"](language),
        sections=sections,
        counts=[(SIGNS[v], VERDICT[v](language), n) for v in VERDICTS if (n := sum(s.verdict == v for s in sections))],
        words={v: VERDICT[v](language) for v in VERDICTS},
        signs=SIGNS,
        heads={name: tables.head(name, language) for name in words.HEADS},
        drawings=[
            ("fig3", draw_nets([spec_of(n) for n in FIG_3], language).svg),
            ("fig5", draw_blocks(language=language).svg),
        ],
        paper_tables=[_shown(t, language) for t in (table1(language), table2(language), table3(language), table_6)],
        bases=bases,
        idle_rows=[row[0] for row in table_6.rows if row[-2] == NOT_RUN_WORD(language)],
        not_here=[c.id for c in catalogue(default_setting("digits")) if c.id not in told],
        command=command,
        notes=list(dict.fromkeys([*notes, *(n for s in sections for p in s.parts for n in p.notes)])),
    )


def _by_claim(judgements: Iterable[Judgement]) -> list[tuple[Claim, list[Judgement]]]:
    groups: dict[str, list[Judgement]] = {}
    for one in judgements:
        groups.setdefault(one.claim.id, []).append(one)
    return [(group[0].claim, group) for group in groups.values()]


def _telling(group: Iterable[Judgement]) -> list[Judgement]:
    """Those with a figure; what was computed twice, for two studies, and came out alike is told once."""
    found: dict[object, Judgement] = {}
    for one in group:
        if one.verdict != NOT_RUN or one.says:
            alike = (one.verdict, one.sentence, tuple(f.figure for f in one.findings))
            found.setdefault(id(one) if one.seeds else alike, one)
    return list(found.values())


def _part(judgement: Judgement, id: str, several: bool, shelf: Shelf, seen: dict[str, str], language: str) -> Part:
    claim, evidence = judgement.claim, judgement.evidence
    problems = []
    try:
        drawn = figures_of(judgement, language)
    except RECORD_ERRORS as error:
        why = f"{type(error).__name__}: {clean(error)}"
        drawn, problems = [], [words.NOT_DRAWN.filled(id=claim.id, why=why)(language)]
    records = _of(evidence, claim)
    n = len(judgement.seeds)
    seeds = words.COMPUTED if not n else words.ONE_SEED if n == 1 else words.N_SEEDS.filled(n=n)
    return Part(
        id,
        about=f"{clean(evidence.setting.data)}, {seeds(language)}" if n or several else seeds(language),
        verdict=judgement.verdict,
        sentence=judgement.sentence(language),
        statements=tables.statement_table(judgement.findings, language),
        figures=[figure(one, id, shelf, seen, claim.id, language) for one in drawn],
        runs_head=tables.run_head(records, language),
        runs=tables.run_table(records, language),
        command=command_of(judgement),
        notes=data_notes(records or (_all(evidence) if several else ()), language),
        problems=problems,
        order=order(claim.id, evidence.beginning)(language) if n else "",
    )


def _basis(evidence: Evidence, number: int, judgements: Sequence[Judgement], language: str) -> Basis:
    setting, records = evidence.setting, _all(evidence)
    recipe = setting.recipe.to_dict()
    seeds, length = len(setting.seeds), f"{setting.recipe.iterations:,}"
    nets = dict.fromkeys(n for j in judgements for n in j.claim.nets)
    done = {n: len(evidence.runs(n)) for n in nets} if _sound_lines(evidence) else {}
    missing = [
        [str(n), words.OF_SEEDS.filled(done=k, n=seeds)(language)] for n, k in done.items() if k < seeds
    ]  # fmt: skip
    return Basis(
        f"study-{number + 1}",
        f"{clean(setting.data)}: {clean(setting.recipe.name)}, {words.N_ITERATIONS.filled(n=length)(language)}",
        tables.recipe_table(recipe, language),
        tables.choice_table(recipe, language),
        tables.machine_table(records, language),
        tables.departures(records, language),
        missing,
        [clean(problem) for problem in evidence.problems],
    )


def _sound_lines(evidence: Evidence) -> bool:
    return all("kind" in m for seeds in evidence.records.values() for r in seeds.values() for m in r.metrics)


def _of(evidence: Evidence, claim: Claim) -> list[Record]:
    return _sound(r for n in claim.nets for r in evidence.records.get(n.key, {}).values())


def _all(evidence: Evidence) -> list[Record]:
    return _sound(r for seeds in evidence.records.values() for r in seeds.values())


def _sound(records: Iterable[Record]) -> list[Record]:
    return list(sound(records).records)


def _shown(table: PaperTable, language: str) -> dict[str, Any]:
    """A table of the paper with its words in one language."""
    return {"id": table.id, "title": table.title(language), "caption": table.caption(language), "head": table.head,
            "rows": table.rows}  # fmt: skip
