"""Claims in words, for a terminal: the list, and one in full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from reslab.claims.claim import MAIN, Finding
from reslab.claims.judging import Judgement
from reslab.claims.ledger import order
from reslab.claims.overview import ClaimSummary, is_exploratory
from reslab.claims.phrases import cited, shown, threshold
from reslab.claims.rules import DECIDED, NOT_RUN, VERDICTS, Always, Figure
from reslab.claims.text import LANGUAGES, Text
from reslab.data.source import example
from reslab.runs.naming import recipe_words, seed_words
from reslab.show.format import clean
from reslab.show.notes import OUR_DATA, data_notes
from reslab.show.words import JUDGED, N_ITERATIONS, ROLES, VERDICT, count_of_seeds, wide, wrapped

WIDTH = 100
COUNT = Text("{n} claims: {counts}", "주장 {n}개: {counts}")
ONE = Text(
    "One in full, with its figures, rule and command: reslab claims C3",
    "하나를 수치, 규칙, 명령과 함께 보려면: reslab claims C3 --lang ko",
)
FIGURES = Text(
    "figures: mean over seeds (of factors the geometric mean), [95 % interval of the mean]; undecided: the interval "
    "contains the threshold, or fewer than three seeds; points: percentage points",
    "수치: seed 평균(배율은 기하평균), [평균의 95 % 신뢰구간]. 보류: 구간이 기준값을 포함하거나 seed가 3개 미만이다",
)
DECIDED_BY = Text("decided by {names}", "근거: {names}")
DISAGREE = Text("{names} disagree", "{names}의 판정이 서로 다르다")
EXPLORATORY = Text(" (exploratory)", "(탐색적)")
MARK = "*"
MARKED = Text(
    f"{MARK} exploratory: its runs are older than its rule",
    f"{MARK} 탐색적: 판정 규칙보다 먼저 실행한 결과만으로 판정했다",
)
PARTLY_RUN = Text("run in part", "일부만 실행")
THRESHOLD = Text("threshold", "기준값")
RECORDS, COMMAND = Text("records", "기록"), Text("command", "명령")


def command(judgement: Judgement) -> str:
    """The command that makes this judgement's records again."""
    setting = judgement.evidence.setting
    words = ["reslab", "reproduce", judgement.claim.id, "--data", example(setting.data)]
    words += ["--depths", ",".join(map(str, setting.depths)), *seed_words(setting.seeds)]
    return " ".join([*words, *recipe_words(setting.recipe, setting.data)])


def notes_of(judgement: Judgement, language: str = "en") -> list[str]:
    """The notes on the data of a claim's runs, or of the whole study's where the claim trains no net."""
    evidence, nets = judgement.evidence, judgement.claim.nets
    records = [r for n in nets for r in evidence.records.get(n.key, {}).values()] if nets else evidence.every_record()
    return data_notes(records, language)


def basis_words(judgement: Judgement, language: str = "en") -> str:
    """Return what a judgement rests on: "cifar10, 3 seeds, 3,200 iterations"; "digits, no training"."""
    setting = judgement.evidence.setting
    words = f"{clean(setting.data)}, {count_of_seeds(len(judgement.seeds), language)}"
    if not judgement.claim.nets or not judgement.seeds:
        return words
    return f"{words}, {N_ITERATIONS.filled(n=f'{setting.recipe.iterations:,}')(language)}"


def claims_text(every: Sequence[ClaimSummary], language: str = "en") -> str:
    """Return one screen: how many claims have which verdict, and of each claim id, verdict and sentence."""
    verdicts = [summary.verdict for summary in every]
    counts = ", ".join(f"{VERDICT[verdict](language)} {n}" for verdict in VERDICTS if (n := verdicts.count(verdict)))
    lines = [COUNT.filled(n=str(len(every)), counts=counts)(language)]
    for summary in every:
        verdict = VERDICT[summary.verdict](language) + (MARK if summary.is_exploratory else "")
        lines.append(f"{summary.claim.id:5}{verdict}{' ' * (24 - wide(verdict))}{summary.claim.text(language)}")
    if any(summary.is_exploratory for summary in every):
        lines.append(MARKED(language))
    lines.append(ONE(language))
    studies = {id(j.evidence): j.evidence for summary in every for j in summary.judgements}.values()
    lines += [f"problem: {clean(problem)}" for study in studies for problem in study.problems]
    return "\n".join(lines)


def claim_text(summary: ClaimSummary, language: str = "en") -> str:
    """Return one claim in full: the notes' words, ours, and on each study its statements, figures, bars and command."""
    claim = summary.claim
    quote = f'"{claim.quote}" ' if claim.quote else ""
    first, *others = sorted(LANGUAGES, key=lambda code: code != language)
    lines = [f"{claim.id}  {claim.text(first)}", *(f"     {claim.text(other)}" for other in others)]
    lines += [*_wrapped(f"{quote}({cited(claim.said, language)})", "     "), ""]
    lines += [f"{JUDGED(language)}: {VERDICT[summary.verdict](language)}{_deciding(summary.judgements, language)}"]
    if any(f.figure and not isinstance(f.statement.rule, Always) for j in summary.judgements for f in j.findings):
        lines += _wrapped(FIGURES(language), "")
    for judgement in summary.judgements:
        setting = judgement.evidence.setting
        is_part = judgement.verdict == NOT_RUN and judgement.says
        verdict = (PARTLY_RUN if is_part else VERDICT[judgement.verdict])(language)
        about = basis_words(judgement, language)
        about += f", recipe {setting.recipe.name}" if judgement.claim.nets else ""
        lines += ["", f"{judgement.evidence.folder.name} ({about}): {verdict}"]
        lines += _wrapped(judgement.sentence(language), "  ")
        lines += _wrapped(judgement.caveat(language), "  ") if judgement.caveat else []
        for finding in judgement.findings:
            lines += _wrapped(f"- {_statement(finding, language)}", "  ")
        for note in notes_of(judgement, language):
            lines += _wrapped(OUR_DATA.filled(note=note)(language), "  ")
        lines += _wrapped(order(claim.id, judgement.evidence.beginning)(language), "  ")
        lines += [f"  {RECORDS(language)}: {judgement.evidence.folder}", f"  {COMMAND(language)}: {command(judgement)}"]
        lines += [f"  problem: {clean(problem)}" for problem in judgement.evidence.problems]
    return "\n".join(lines)


def _statement(finding: Finding, language: str) -> str:
    statement = finding.statement
    role = "" if statement.role == MAIN else f" [{ROLES[statement.role](language)}]"
    bar = f"{THRESHOLD(language)} {threshold(statement, language)}"
    return f"{statement.text(language)}: {shown(finding, language)}; {bar}: {VERDICT[finding.verdict](language)}{role}"


def _deciding(judgements: Sequence[Judgement], language: str) -> str:
    """Return which of several studies decide, and whether they agree; of a single one, if it is exploratory."""
    decided = [j for j in judgements if j.verdict in DECIDED]
    if len(judgements) == 1:
        return EXPLORATORY(language) if decided and is_exploratory(decided[0]) else ""
    names = ", ".join(j.evidence.folder.name + (EXPLORATORY(language) if is_exploratory(j) else "") for j in decided)
    if len({j.verdict for j in decided}) > 1:
        return f"; {DISAGREE.filled(names=names)(language)}"
    return f"; {DECIDED_BY.filled(names=names)(language)}" if decided else ""


def _wrapped(text: str, indent: str) -> list[str]:
    return [indent + line for line in wrapped(text, WIDTH - len(indent))]


def claims_json(every: Sequence[ClaimSummary]) -> list[dict[str, Any]]:
    """Plain types: id, claim, verdict, and for each study its data and what must be said of them, recipe, seeds …"""
    return [
        {
            "id": summary.claim.id,
            "experiment": summary.claim.name,
            "claim": summary.claim.text.en,
            "claim_ko": summary.claim.text.ko,
            "quote": summary.claim.quote,
            "said": summary.claim.said,
            "verdict": summary.verdict,
            "studies": [_judgement_json(j) for j in summary.judgements],
        }
        for summary in every
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
        "caveat": one.caveat.en if one.caveat else None,
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
