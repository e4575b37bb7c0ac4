"""How records judge a claim: each statement's figure against its rule, the verdict, the answer, and its caveat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from reslab.claims import phrases
from reslab.claims.claim import LIMIT, MAIN, Claim, Finding
from reslab.claims.evidence import Evidence, Net
from reslab.claims.phrases import forms
from reslab.claims.rules import CONDITION, FEWEST, HOLDS, NOT_RUN, UNDECIDED, combined, figure, seeds_needed
from reslab.claims.text import LANGUAGES, Text

FLAT = 0.5  # points of training error by which a curve may move in the last tenth of its schedule and be flat
HARDLY = 1e6  # seeds: as many would never be run
NOT_RUN_HERE = Text("Not run here.", "여기서는 실행하지 않았다.")


@dataclass(frozen=True)
class Judgement:
    """A claim on one study's evidence.

    flat      its curves are, are not, or (None) were measured too seldom to say
    sentence  the answer, at most 40 words
    caveat    what a reader of the answer must know; None if there is nothing
    seeds     of its runs, or of measurements that need none; () for what was counted once
    """

    claim: Claim
    evidence: Evidence
    findings: tuple[Finding, ...]
    verdict: str
    flat: bool | None
    sentence: Text
    caveat: Text | None = None
    seeds: tuple[int, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Judgement({self.claim.id}, {self.evidence.setting.data}, n = {len(self.seeds)}: {self.verdict})"

    @property
    def says(self) -> bool:
        """Whether the study measured at least a part of what is claimed."""
        return any(f.figure and f.statement.role == MAIN for f in self.findings)


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Hold a claim against the records of a study."""
    findings = []
    for statement in claim.statements:
        series = statement.quantity.read(evidence)
        value = figure([series[k] for k in sorted(series)])
        findings.append(Finding(statement, value, NOT_RUN if value is None else statement.rule(value)))
    curves = [is_flat(evidence, s.flat) for s in claim.statements]
    flat = False if False in curves else None if None in curves else True
    verdict = combined(
        [f.verdict for f in findings if f.statement.role == MAIN],
        [f.verdict for f in findings if f.statement.role == LIMIT],
    )
    budget = not flat and verdict == HOLDS  # the only condition is that the curves may still move
    verdict = CONDITION if budget else verdict
    answered, opening = (HOLDS, phrases.BUDGET) if budget else (verdict, phrases.OPENING.get(verdict))
    return Judgement(
        claim,
        evidence,
        tuple(findings),
        verdict,
        flat,
        _sentence(claim, answered, opening, findings),
        _caveat(claim, evidence, verdict, findings, flat),
        _seeds(claim, evidence),
    )


def _seeds(claim: Claim, evidence: Evidence) -> tuple[int, ...]:
    """The seeds of its runs; without runs those of its measurements; () for what was counted once."""
    trained = {seed for net in claim.nets for seed in evidence.runs(net)}
    each = [evidence.measured.get(m.name, {}) for m in claim.measurements if m.each_seed]
    return tuple(sorted(trained or {seed for figures in each for seed in figures if seed is not None}))


def is_flat(evidence: Evidence, nets: tuple[Net, ...]) -> bool | None:
    """Whether the training error of every run of `nets` moved by less than FLAT points over the last tenth.

    None if it was measured there less than twice in some run, and moved in no other.
    """
    flat: bool | None = True
    for record in evidence.every(nets):
        curve = record.evaluations("train")
        end = curve[-1]["iteration"] if curve else 0
        late = [e.get("top1_error") for e in curve if e["iteration"] >= 0.9 * end]
        errors = [value for value in late if isinstance(value, int | float)]
        if len(errors) < len(late) or max(errors, default=0.0) - min(errors, default=0.0) >= FLAT:
            return False
        if len(errors) < 2:
            flat = None
    return flat


def _sentence(claim: Claim, verdict: str, opening: Text | None, findings: Sequence[Finding]) -> Text:
    if verdict == NOT_RUN and not any(f.figure and f.statement.role == MAIN for f in findings):
        return claim.why_not_run or NOT_RUN_HERE
    en, ko = (
        {f"s{i}{form}": text for i, f in enumerate(findings) for form, text in forms(f, language).items()}
        for language in LANGUAGES
    )
    answer = phrases.spoken(claim.answers, verdict, opening)
    return Text(_without_holes(answer.en.format(**en), "en"), _without_holes(answer.ko.format(**ko), "ko"))


def _without_holes(answer: str, language: str) -> str:
    """Leave out the sentences whose figures were not measured."""
    sentences = re.split(r"(?<=[.)]) (?=[^\W\d])", answer)
    measured = [sentence for sentence in sentences if phrases.MISSING not in sentence]
    if len(measured) == len(sentences):
        return answer
    return " ".join([*measured, phrases.IN_PART(language)])


def _caveat(
    claim: Claim, evidence: Evidence, verdict: str, findings: Sequence[Finding], flat: bool | None
) -> Text | None:
    """The one that matters most: too few seeds, then how many more would decide, then a budget that is too short."""
    if verdict == NOT_RUN:
        return None
    undecided = [
        (f.figure, f.statement.rule)
        for f in findings
        if f.figure and f.verdict == UNDECIDED and f.statement.role == MAIN
    ]
    if verdict == UNDECIDED and undecided:
        if min(value.n for value, _ in undecided) < FEWEST:
            return phrases.TOO_FEW
        needed = max(seeds_needed(value, rule) for value, rule in undecided)
        return _more_seeds(claim, evidence, needed, _expected(findings))
    if flat:
        return None
    text = phrases.CONVERGENCE_UNKNOWN if flat is None else phrases.FOR_THIS_BUDGET
    return text.filled(n=f"{evidence.setting.recipe.iterations:,}")


def _expected(findings: Sequence[Finding]) -> str:
    """The verdict if every undecided mean stays as it is."""
    verdicts: dict[str, list[str]] = {MAIN: [], LIMIT: []}
    for f in findings:
        if f.statement.role in verdicts:
            known = f.figure.without_spread() if f.figure and f.verdict == UNDECIDED else None
            verdicts[f.statement.role].append(f.verdict if known is None else f.statement.rule(known))
    return combined(verdicts[MAIN], verdicts[LIMIT])


def _more_seeds(claim: Claim, evidence: Evidence, needed: float, expected: str) -> Text:
    """How many seeds would decide and for what, and what one took: its runs' mean time, without runs its measurements'.

    expected  the verdict that the means as they are would have
    """
    times = [[record.seconds for record in evidence.runs(net).values()] for net in claim.nets]
    seconds = sum(mean(t) for t in times if t) or sum(m.seconds for m in claim.measurements if m.each_seed)
    en, ko = (phrases.duration(seconds, language) for language in LANGUAGES)
    if needed >= HARDLY:
        text = phrases.ON_THE_THRESHOLD
        return Text(text.en.format(time=en), text.ko.format(time=ko))
    count, verdict, text = f"{int(float(f'{needed:.2g}')):,}", phrases.DECIDING[expected], phrases.MORE_SEEDS
    return Text(
        text.en.format(n=count, time=en, verdict=verdict.en), text.ko.format(n=count, time=ko, verdict=verdict.ko)
    )
