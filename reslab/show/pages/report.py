"""The page of studies: the answer first, then a line for each claim that opens to its answer, picture and figures.

One study shows its own curves first and the claims that it judges; several show every claim. Runs without a study
have `runs_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.claim import Claim
from reslab.claims.evidence import Evidence
from reslab.claims.judging import Judgement
from reslab.claims.ledger import order
from reslab.claims.overview import is_exploratory
from reslab.claims.rules import NOT_RUN, VERDICTS, together
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.show import tables, words
from reslab.show.charts.chart import unvalidated
from reslab.show.drawings.blocks import draw_blocks
from reslab.show.drawings.nets import draw_nets
from reslab.show.format import clean, plain_math
from reslab.show.notes import data_notes, translated
from reslab.show.pages.basis import basis_of, every_record, sound_records
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Figure, draw, figure, picture_of, unseen
from reslab.show.pages.headline import headline
from reslab.show.pages.page import page
from reslab.show.pages.papertables import PaperTable, table1, table2, table3, table6
from reslab.show.pages.pictures import twins_of
from reslab.show.series import by_net, sound
from reslab.show.tables import Table
from reslab.show.terminal.verdicts import EXPLORATORY, basis_words
from reslab.show.terminal.verdicts import command as command_of
from reslab.show.words import NOT_RUN_WORD, SIGNS, VERDICT

CLASSES = dict(zip(VERDICTS, ("holds", "partly", "fails", "open", "idle"), strict=True))
RECORD_ERRORS = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)  # raised for a damaged record
LEAD_HEIGHT = 190  # pixels of the charts of the first screen


@dataclass(frozen=True)
class Part:
    """A claim on one study."""

    id: str
    about: str
    verdict: str
    sentence: str
    caveat: str
    figure: Figure | None
    statements: Table
    information: Table
    order: str
    runs_head: list[str]
    runs: Table
    command: str
    notes: list[str]
    problems: list[str]


@dataclass(frozen=True)
class Section:
    """A claim and its parts, one for each study that judges it; without parts, `reason` says why it was not run."""

    claim: Claim
    verdict: str
    quote: str
    parts: list[Part]
    reason: str

    @property
    def id(self) -> str:
        return self.claim.id


@unvalidated()
def study_page(
    judgements: Sequence[Judgement],
    language: str = "en",
    command: str = "",
    notes: Sequence[str] = (),
    tell: Callable[[int, int], None] | None = None,
    networks: str = "",
) -> str:
    """Return the page of some claims, judged on one study or on several, as a whole HTML document.

    command   the command that makes this page
    notes     what a reader must know of the data, one line each
    tell      called with the number of claims drawn and the number of all
    networks  link to the page that runs the study's networks, if there is one
    Raises UserError for an unknown language.
    """
    words.PAGE["claims"](language)
    studies = list({id(j.evidence): j.evidence for j in judgements}.values())
    is_single = len(studies) == 1
    shelf, shown = Shelf(), set[str]()
    lead = _lead(studies[0], shelf, shown, language) if is_single else []
    groups = _by_claim(judgements)
    sections = []
    for done, (claim, group) in enumerate(groups):
        if tell is not None:
            tell(done, len(groups))
        sections.append(_section(claim, group, shelf, shown, language))
    if tell is not None:
        tell(len(groups), len(groups))
    listed = [s for s in sections if s.parts] if is_single else sections
    idle = [s for s in sections if s not in listed]
    known = [c.id for c in catalogue(default_setting("digits"))] if is_single else []
    not_here = [name for name in known if name not in {s.id for s in listed}]
    answers = _answers(studies, listed, language)
    records = [r for study in studies for r in every_record(study)]
    table_6 = table6(records, language)
    is_empty = all(row[-2] == NOT_RUN_WORD(language) for row in table_6.rows)
    paper = () if is_single else (table1(language), table2(language), table3(language))
    return page(
        "study.html.j2",
        language,
        shelf,
        title=answers[0] if is_single and answers else words.PAGE["study_title"](language),
        answers=answers,
        is_single=is_single,
        networks=networks,
        lead=lead,
        sections=listed,
        counts=[(v, n) for v in VERDICTS if (n := sum(s.verdict == v for s in listed))],
        verdicts={v: (CLASSES[v], SIGNS[v], VERDICT[v](language)) for v in VERDICTS},
        heads={name: tables.head(name, language) for name in words.HEADS},
        drawings=[] if is_single else _drawings(language),
        paper_tables=[_shown(t, language) for t in (*paper, *(() if is_single and is_empty else (table_6,)))],
        bases=[basis_of(study, i, _concerned(judgements, study, is_single), language)
               for i, study in enumerate(studies)],
        idle_rows=[] if is_single else [row[0] for row in table_6.rows if row[-2] == NOT_RUN_WORD(language)],
        not_here=not_here,
        reasons=[s for s in idle if s.reason],
        command=command,
        notes=list(dict.fromkeys([*(translated(n, language) for n in notes),
                                  *(n for s in listed for p in s.parts for n in p.notes)])),
    )  # fmt: skip


def _answers(studies: Sequence[Evidence], sections: Sequence[Section], language: str) -> list[str]:
    """Return a sentence for each setting, that of digits last; of a study without twins its first claim's answer."""
    first = {(study.setting.data, str(study.setting.recipe)): study for study in reversed(studies)}
    ordered = [study for study in studies if any(study is other for other in first.values())]
    ordered.sort(key=lambda study: study.setting.data == "digits")
    answers = [sentence for study in ordered if (sentence := headline(study, language))]
    if not answers and len(studies) == 1:
        decided = sorted((p for s in sections for p in s.parts), key=lambda p: VERDICTS.index(p.verdict))
        answers = [p.sentence for p in decided[:1]]
    return answers


def _lead(study: Evidence, shelf: Shelf, shown: set[str], language: str) -> list[Figure]:
    """Return a study's own pictures: errors of its twins against iterations, and final errors against depth."""
    drawn = []
    records = sound_records(twins_of(study))
    depths = {runs.depth for runs in by_net(sound(records).records) if runs.ended}
    try:
        for name in ("curves", "depth") if len(depths) > 1 else ("curves",):
            chart = draw(name, records, None, language)
            if chart is not None:
                unseen(figure(chart, "study", shelf, language), shown)
                panels = {key: panel.properties(height=LEAD_HEIGHT) for key, panel in chart.panels.items()}
                drawn.append(replace(chart, panels=panels))
    except RECORD_ERRORS:  # a damaged record; the claims' own parts name it
        return []
    return [figure(picture, "study", shelf, language) for picture in drawn]


def _by_claim(judgements: Iterable[Judgement]) -> list[tuple[Claim, list[Judgement]]]:
    groups: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(judgement.claim.id, []).append(judgement)
    return [(group[0].claim, group) for group in groups.values()]


def _section(claim: Claim, group: Sequence[Judgement], shelf: Shelf, shown: set[str], language: str) -> Section:
    telling = _telling(group)
    parts = [_part(j, f"{claim.id}-{i}", shelf, shown, language) for i, j in enumerate(telling, 1)]
    partly = any(f.figure for j in group for f in j.findings)
    reason = words.PAGE["partly"](language) if partly else group[0].sentence(language)
    return Section(claim, together([j.verdict for j in group]), plain_math(claim.quote), parts, reason)


def _telling(group: Iterable[Judgement]) -> list[Judgement]:
    """Return those with a verdict; what was computed for two studies with the same outcome is kept once."""
    by_outcome: dict[object, Judgement] = {}
    for judgement in group:
        if judgement.verdict != NOT_RUN:
            alike = (judgement.verdict, judgement.sentence, tuple(f.figure for f in judgement.findings))
            by_outcome.setdefault(id(judgement) if judgement.seeds else alike, judgement)
    return list(by_outcome.values())


def _part(judgement: Judgement, id: str, shelf: Shelf, shown: set[str], language: str) -> Part:
    claim, evidence = judgement.claim, judgement.evidence
    picture, problems = None, []
    try:
        picture = picture_of(judgement, id, shelf, shown, language)
    except RECORD_ERRORS as error:
        reason = f"{type(error).__name__}: {clean(error)}"
        problems = [words.NOT_DRAWN.filled(id=claim.id, why=reason)(language)]
    records = sound_records(r for n in claim.nets for r in evidence.records.get(n.key, {}).values())
    n = len(judgement.seeds)
    return Part(
        id,
        about=basis_words(judgement, language) + (EXPLORATORY(language) if n and is_exploratory(judgement) else ""),
        verdict=judgement.verdict,
        sentence=judgement.sentence(language),
        caveat=judgement.caveat(language) if judgement.caveat else "",
        figure=picture,
        statements=tables.statement_table(judgement.findings, language),
        information=tables.statement_table(judgement.findings, language, judged=False),
        order=order(claim.id, evidence.beginning)(language) if n else "",
        runs_head=tables.run_head(records, language),
        runs=tables.run_table(records, language),
        command=command_of(judgement),
        notes=data_notes(records or every_record(evidence), language),
        problems=problems,
    )


def _concerned(judgements: Iterable[Judgement], study: Evidence, is_single: bool) -> list[Judgement]:
    """Return the judgements whose missing runs a page lists: on a study's own page those that measured something."""
    own = [j for j in judgements if j.evidence is study]
    return [j for j in own if any(f.figure for f in j.findings)] if is_single else own


def _drawings(language: str) -> list[tuple[str, str]]:
    return [
        ("fig3", draw_nets([spec_of(n) for n in FIG_3], language).svg),
        ("fig5", draw_blocks(language=language).svg),
    ]


def _shown(table: PaperTable, language: str) -> dict[str, Any]:
    """Return a table of the paper with its words in one language."""
    return {"id": table.id, "title": table.title(language), "caption": table.caption(language), "head": table.head,
            "rows": table.rows}  # fmt: skip
