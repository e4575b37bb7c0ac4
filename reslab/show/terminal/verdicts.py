"""Claims in words, for a terminal: the list, and one in full."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from reslab.claims.claim import Finding, Judgement, shown
from reslab.claims.ledger import order
from reslab.claims.overview import Told
from reslab.claims.rules import NOT_RUN, VERDICTS, Figure
from reslab.data.source import example
from reslab.runs.naming import recipe_words, seed_words
from reslab.show.format import clean
from reslab.show.notes import OUR_DATA, data_notes
from reslab.show.words import VERDICT

WIDTH = 100


def command(judgement: Judgement) -> str:
    """The command that makes this judgement's records again."""
    setting = judgement.evidence.setting
    words = ["reslab", "reproduce", judgement.claim.id, "--data", example(setting.data)]
    words += ["--depths", ",".join(map(str, setting.depths)), *seed_words(setting.seeds)]
    return " ".join([*words, *recipe_words(setting.recipe, setting.data)])


def notes_of(judgement: Judgement, language: str = "en") -> list[str]:
    """What must be said of the data of a claim's runs, or of the whole study's where the claim trains no net."""
    evidence, nets = judgement.evidence, judgement.claim.nets
    of = [r for n in nets for r in evidence.records.get(n.key, {}).values()] if nets else evidence.every_record()
    return data_notes(of, language)


def claims_text(every: Sequence[Told]) -> str:
    """Return one screen: how many claims have which verdict, and of each claim id, verdict and sentence."""
    verdicts = [told.verdict for told in every]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    lines = [f"{len(every)} claims: {counts}"]
    lines += [f"{told.claim.id:5}{told.verdict:24}{told.claim.text.en}" for told in every]
    lines.append("One in full, with figures, rule and command: reslab claims C3")
    studies = {id(j.evidence): j.evidence for told in every for j in told.judgements}.values()
    lines += [f"problem: {clean(problem)}" for study in studies for problem in study.problems]
    return "\n".join(lines)


def _data(note: str) -> str:
    return OUR_DATA.filled(note=note).en


def _seeds(judgement: Judgement) -> str:
    n = len(judgement.seeds)
    return "computed" if not n else f"{n} seed{'s' if n > 1 else ''}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def claim_text(told: Told) -> str:
    """One claim in full: the notes' words, ours, and on each study its statements, figures, bars and command."""
    claim = told.claim
    quote = f'"{claim.quote}" ' if claim.quote else ""
    lines = [f"{claim.id}  {claim.text.en}", f"     {claim.text.ko}", f"     {quote}({claim.said})", ""]
    lines += [f"verdict: {told.verdict}", "figures: mean over seeds, [95 % interval of the mean]"]
    for one in told.judgements:
        setting = one.evidence.setting
        lines += ["", f"{setting.data}, {_seeds(one)}, recipe {setting.recipe.name}: {one.verdict}"]
        lines += _wrapped(one.sentence.en, "  ")
        for finding in one.findings:
            lines += _wrapped(f"- {_statement(finding)}", "  ")
        for note in notes_of(one):
            lines += _wrapped(_data(note), "  ")
        lines += _wrapped(order(claim.id, one.evidence.beginning).en, "  ")
        lines += [f"  records: {one.evidence.folder}", f"  command: {command(one)}"]
        lines += [f"  problem: {clean(problem)}" for problem in one.evidence.problems]
    return "\n".join(lines)


def _statement(finding: Finding) -> str:
    role = "" if finding.statement.role == "main" else f" [{finding.statement.role}]"
    return f"{finding.statement.text.en}: {shown(finding)}; bar {finding.statement.rule}: {finding.verdict}{role}"


def claims_markdown(every: Sequence[Told], language: str = "en") -> str:
    """The list as a table for the README: id, claim, verdict, and the sentence of each study with its figures."""
    heads = {"en": ("id", "claim", "verdict", "measured"), "ko": ("번호", "주장", "판정", "측정")}[language]
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|"]
    for told in every:
        run = [j for j in told.judgements if j.verdict != NOT_RUN] or list(told.judgements[:1])
        said = "<br>".join(f"{_where(j, language, len(run) > 1)}{j.sentence(language)}" for j in run)
        cells = (told.claim.id, told.claim.text(language), VERDICT[told.verdict](language), said)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _where(judgement: Judgement, language: str, several: bool) -> str:
    """Data and seeds; where no net was trained, the data whose nets are meant, if there are others beside them."""
    n, data = len(judgement.seeds), judgement.evidence.setting.data
    if not n:
        return f"{data}: " if several else ""
    return f"{data}, {n} seed{'s' if n > 1 else ''}: " if language == "en" else f"{data}, seed {n}개: "


def claims_json(every: Sequence[Told]) -> list[dict[str, Any]]:
    """Plain types: id, claim, verdict, and for each study its data and what must be said of them, recipe, seeds …"""
    return [
        {
            "id": told.claim.id,
            "experiment": told.claim.name,
            "claim": told.claim.text.en,
            "claim_ko": told.claim.text.ko,
            "quote": told.claim.quote,
            "said": told.claim.said,
            "verdict": told.verdict,
            "studies": [_judgement_json(j) for j in told.judgements],
        }
        for told in every
    ]


def _judgement_json(one: Judgement) -> dict[str, Any]:
    setting = one.evidence.setting
    return {
        "data": setting.data,
        "data_notes": notes_of(one),
        "recipe": setting.recipe.to_dict(),
        "records": str(one.evidence.folder),
        "seeds": list(one.seeds),
        "verdict": one.verdict,
        "flat": one.flat,
        "sentence": one.sentence.en,
        "sentence_ko": one.sentence.ko,
        "statements": [
            {
                "statement": f.statement.text.en,
                "role": f.statement.role,
                "unit": f.statement.unit,
                "bar": str(f.statement.rule),
                "verdict": f.verdict,
                **_figure_json(f.figure),
            }
            for f in one.findings
        ],
        "rule": order(one.claim.id, one.evidence.beginning).en,
        "problems": list(one.evidence.problems),
        "command": command(one),
    }


def _figure_json(found: Figure | None) -> dict[str, Any]:
    if found is None:
        return {"n": 0, "values": [], "mean": None, "std": None, "interval": None}
    interval = [found.low, found.high] if math.isfinite(found.low) else None
    return {
        "n": found.n,
        "values": list(found.values),
        "mean": found.mean,
        "std": found.std if math.isfinite(found.std) else None,
        "interval": interval,
    }
