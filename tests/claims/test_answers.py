"""Every answer of every claim on every setting: filled, short, in words that a reader knows."""

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from shelf import FORMS, unanswered

from reslab.claims import phrases
from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.claim import Finding
from reslab.claims.evidence import is_study, read
from reslab.claims.judging import judge
from reslab.claims.phrases import OPENING, forms, spoken
from reslab.claims.rules import FEWEST, NOT_RUN, UNDECIDED, VERDICTS, Always, Figure, figure
from reslab.claims.text import LANGUAGES

RESULTS = Path(__file__).parents[2] / "results"
SETTINGS = {
    "digits": default_setting("digits"),
    "quarter": default_setting("cifar10"),
    "whole": default_setting("cifar10", depths=(20, 32, 44, 56, 110, 1202), scale=1.0),
}
CLAIMS = {(name, claim.id): claim for name, setting in SETTINGS.items() for claim in catalogue(setting)}
MOST_WORDS = 40
UNKNOWN = re.compile(r"\b(decades?|bars?|beside)\b", re.IGNORECASE)
HOLE = re.compile(r"[{}]|(?<!\S)–(?!\S)")
LONG = (-2345.67, -123.45)  # "−1,230 points" on average, "−2,350 to −123 points" of what is computed


@cache
def committed():
    """Each committed study's judgements."""
    studies = [read(folder) for folder in sorted(RESULTS.iterdir()) if is_study(folder)]
    return [judge(claim, study) for study in studies for claim in catalogue(study.setting)]


@cache
def figures() -> dict[tuple[str, str], list[Figure]]:
    """The committed figures of each statement, by claim and its English text."""
    found = defaultdict(list)
    for judgement in committed():
        for part in judgement.findings:
            if part.figure is not None:
                found[judgement.claim.id, part.statement.text.en].append(part.figure)
    return found


def candidates(claim, statement) -> list[Figure]:
    return [*figures().get((claim.id, statement.text.en), []), figure(LONG)]


def filled(claim, verdict, language, number) -> str:
    """An answer with the `number`-th committed figure of each statement; from the last on, a long one."""
    words = {}
    for i, statement in enumerate(claim.statements):
        known = candidates(claim, statement)
        made = forms(Finding(statement, known[min(number, len(known) - 1)], verdict), language)
        words |= {f"s{i}{form}": text for form, text in made.items()}
    return spoken(claim.answers, verdict)(language).format(**words)


def test_all_claims_are_there():
    for name in SETTINGS:
        assert [i for n, i in CLAIMS if n == name] == [f"C{i}" for i in range(1, 28)]
    assert len(figures()) > 50, "there are committed records"


@pytest.mark.parametrize(("name", "which"), CLAIMS)
def test_every_answer_can_be_filled_and_is_short(name, which):
    claim = CLAIMS[name, which]
    if not claim.statements:
        assert claim.why_not_run
        return
    assert unanswered(claim) == []
    assert set(claim.answers) == set(VERDICTS)
    most = max(len(candidates(claim, s)) for s in claim.statements)
    for verdict in VERDICTS:
        for language in LANGUAGES:
            for number in range(most):
                text = filled(claim, verdict, language, number)
                assert len(text.split()) <= MOST_WORDS, text
                assert not HOLE.search(text), text
                if verdict != NOT_RUN:
                    assert text.startswith(OPENING[verdict](language) + " "), text
                    assert text.endswith(".")
                assert not (language == "en" and UNKNOWN.search(text)), text
                assert not re.search(r"\[[^\]]*, ", text), "no interval in an answer"
                assert "±" not in text
                assert "n = " not in text


@pytest.mark.parametrize(("name", "which"), CLAIMS)
def test_what_is_read_with_it_has_no_word_of_ours_either(name, which):
    claim = CLAIMS[name, which]
    read_with = [claim.text, *(s.text for s in claim.statements), *([claim.why_not_run] if claim.why_not_run else [])]
    for text in read_with:
        assert not UNKNOWN.search(text.en), text.en
        assert not HOLE.search(text.en + text.ko)
    assert len(claim.text.en.split()) <= 20
    for statement in claim.statements:
        assert set(forms(Finding(statement, figure(LONG), "x"), "en")) == set(FORMS)


@pytest.mark.parametrize(("name", "which"), CLAIMS)
def test_no_rule_of_a_claim_decides_on_fewer_than_three_seeds(name, which):
    for statement in CLAIMS[name, which].statements:
        if not isinstance(statement.rule, Always):
            for value in (-1e6, 0.0, 1e6):
                assert statement.rule(figure([value] * (FEWEST - 1))) == UNDECIDED
                assert statement.rule(figure([value] * FEWEST)) != UNDECIDED


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_committed_records_answer(language):
    verdicts = "|".join(verdict(language) for verdict in phrases.DECIDING.values())
    holes = {"n": r"[\d,+]+", "time": r"[\d.,]+ ?\S+", "verdict": f"({verdicts})"}
    caveats = [
        re.compile(re.sub(r"\\{(\w+)\\}", lambda hole: holes[hole[1]], re.escape(text(language))))
        for text in (
            phrases.FOR_THIS_BUDGET,
            phrases.CONVERGENCE_UNKNOWN,
            phrases.TOO_FEW,
            phrases.MORE_SEEDS,
            phrases.ON_THE_THRESHOLD,
        )
    ]
    for judgement in committed():
        text = judgement.sentence(language)
        assert len(text.split()) <= MOST_WORDS, text
        assert not HOLE.search(text), (judgement, text)
        if judgement.verdict == NOT_RUN:
            assert judgement.caveat is None
        elif judgement.verdict == UNDECIDED:
            assert judgement.caveat is not None, judgement
        if judgement.caveat is not None:
            said = judgement.caveat(language)
            assert sum(bool(one.fullmatch(said)) for one in caveats) == 1, said
            assert len(re.findall(r"\.(?=\s|$)", said)) <= 2, said
            assert not UNKNOWN.search(said)
