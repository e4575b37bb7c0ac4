"""Figures in words: every form in both languages, by hand."""

import pytest

from reslab.claims.claim import Finding, Statement
from reslab.claims.phrases import (
    BUDGET,
    MISSING,
    NOT_JUDGED,
    answer,
    answers,
    brief,
    cited,
    duration,
    factor,
    forms,
    shown,
    spoken,
    threshold,
)
from reslab.claims.quantity import Quantity
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED, VERDICTS, Above, Always, Below, Within
from reslab.claims.rules import figure as figure_of
from reslab.claims.text import Text


def finding(values, unit="points", rule=None):
    statement = Statement(Text("a", "b"), Quantity("x", lambda evidence: {}), rule or Above(0.0), unit=unit)
    return Finding(statement, figure_of(values), UNDECIDED)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (77.1234, "77.1"), (1.005, "1"), (1.236, "1.24"), (99.96, "100"), (0.4567, "0.46"), (0.0123, "0.012"),
        (0.999, "1"), (1096.5, "1,100"), (1234.56, "1,230"), (102_329.3, "102,000"), (999.6, "1,000"),
        (0.0, "0"), (-0.0, "0"), (3.0, "3"), (1202.0, "1,202"), (1_234_567.0, "1,234,567"),
        (-1234.56, "−1,230"), (-0.4567, "−0.46"), (-3.0, "−3"), (3.4e15, "3e+15"), (0.00001234, "1.2e-05"),
    ],
)  # fmt: skip
def test_a_number_in_prose(value, words):
    assert brief(value) == words


@pytest.mark.parametrize(
    ("power", "words"), [(3.04, "1,100"), (-3.04, "1/1,100"), (0.0, "1"), (-0.0001, "1"), (0.5, "3.16"), (-1.0, "1/10")]
)
def test_a_factor(power, words):
    assert factor(power) == words


@pytest.mark.parametrize(
    ("seconds", "en", "ko"),
    [
        (0.4, "0 s", "0초"), (40.4, "40 s", "40초"), (119.0, "119 s", "119초"), (120.0, "2 min", "2분"),
        (138.0, "2.3 min", "2.3분"), (6_660.0, "110 min", "110분"), (7_199.0, "120 min", "120분"),
        (12_600.0, "3.5 h", "3.5시간"), (4_320_000.0, "1,200 h", "1,200시간"),
    ],
)  # fmt: skip
def test_a_time(seconds, en, ko):
    assert (duration(seconds, "en"), duration(seconds, "ko")) == (en, ko)


@pytest.mark.parametrize(
    ("values", "unit", "en", "ko"),
    [
        (
            (77.0, 77.1, 77.2), "points",
            {"": "77.1 points", "n": "77.1", "a": "77.1 points", "m": "rises by 77.1 points",
             "l": "77.1 points higher"},
            {"": "77.1%p", "n": "77.1", "a": "77.1%p", "m": "77.1%p 증가", "l": "77.1%p 크다"},
        ),
        (
            (-77.0, -77.1, -77.2), "points",
            {"": "−77.1 points", "n": "−77.1", "a": "77.1 points", "m": "falls by 77.1 points"},
            {"": "−77.1%p", "n": "−77.1", "a": "77.1%p", "m": "77.1%p 감소"},
        ),
        (
            (-2.0, -2.5, -3.0), "%",
            {"": "−2.5 %", "n": "−2.5", "a": "2.5 %", "m": "falls by 2.5 %"},
            {"": "−2.5 %", "n": "−2.5", "a": "2.5 %", "m": "2.5 % 감소"},
        ),
        ((0.25, 0.25), "", {"": "0.25", "m": "rises by 0.25"}, {"": "0.25", "m": "0.25 증가"}),
        ((2.0, 3.0), "×", {"": "2.5 times"}, {"": "2.5배"}),
        ((110.0, 152.0), "layers", {"": "131 layers", "n": "131"}, {"": "131층", "n": "131"}),
        (  # kept as powers of ten, told as factors
            (3.03, 3.04, 3.05), "decades",
            {"": "1,100 times", "n": "1,100", "a": "1,100 times", "m": "grows 1,100 times"},
            {"": "1,100배", "n": "1,100", "a": "1,100배", "m": "1,100배 증가"},
        ),
        (
            (-3.03, -3.04, -3.05), "decades",
            {"": "1/1,100 times", "n": "1/1,100", "a": "1,100 times", "m": "shrinks to 1/1,100",
             "l": "1,100 times lower"},
            {"": "1/1,100배", "n": "1/1,100", "m": "1/1,100로 감소"},
        ),
    ],
)  # fmt: skip
def test_forms(values, unit, en, ko):
    for language, words in (("en", en), ("ko", ko)):
        made = forms(finding(values, unit), language)
        assert {form: made[form] for form in words} == words
        assert set(made) == {"", "a", "m", "n", "l"}


def test_what_is_computed_has_its_range():
    each = Always(low=0.0)
    assert forms(finding([1.5, 16.8], "×", each), "en")[""] == "1.5 to 16.8 times"
    assert forms(finding([1.5, 16.8], "×", each), "ko")[""] == "1.5–16.8배"
    assert forms(finding([2.0, 2.0], "×", each), "en")[""] == "2 times"
    assert shown(finding([1.5, 16.8], "×", each)) == "1.50 … 16.80 times"


def test_what_was_not_measured_is_marked_in_every_form():
    nothing = finding([])
    assert set(forms(nothing, "en").values()) == set(forms(nothing, "ko").values()) == {MISSING}
    assert shown(nothing) == "–"


def test_a_table_has_the_interval():
    # mean 2, std 1, n = 3: the half width is 4.303 / sqrt(3)
    values = [1.0, 2.0, 3.0]
    assert shown(finding(values)) == "2 [-0.48, 4.48] points (n = 3)"
    assert shown(finding(values), "ko") == "2 [-0.48, 4.48]%p (n = 3)"
    assert shown(finding(values), spread=True) == "2 ± 1 points (n = 3)"
    assert shown(finding(values, "decades")) == "×100 [1/3.05, 30,500] (n = 3)"
    assert shown(finding(values, "decades"), spread=True) == "×100 ×/÷ 10 (n = 3)"
    assert shown(finding([2.5])) == "2.50 points (n = 1)"
    assert shown(finding([0.3, 0.3, 0.3])) == "0.30 [0.30, 0.30] points (n = 3)"


@pytest.mark.parametrize(
    ("rule", "unit", "words"),
    [
        (Above(3.0), "decades", "> ×1,000"), (Below(3.0), "decades", "≤ ×1,000"),
        (Below(0.0), "decades", "≤ ×1"), (Above(0.0), "points", "> 0"), (Within(3.0), "%", "± 3"),
        (Always(1, 1), "", "= 1"), (Always(low=1.1), "×", "≥ 1.1"),
    ],
)  # fmt: skip
def test_a_threshold(rule, unit, words):
    assert threshold(finding([1.0], unit, rule).statement) == words
    assert threshold(finding([1.0], unit, rule).statement, "ko") == words


def test_an_answer_begins_with_its_verdict():
    one, other = Text("It is {s0}.", "{s0}다."), Text("It is not.", "아니다.")
    made = answers(holds=one, condition=one, fails=other, undecided=one)
    assert set(made) == set(VERDICTS)
    assert spoken(made, HOLDS) == Text("Yes. It is {s0}.", "그렇다. {s0}다.")
    assert spoken(made, CONDITION) == Text("In part. It is {s0}.", "부분적으로만 그렇다. {s0}다.")
    assert spoken(made, FAILS) == Text("No. It is not.", "아니다. 아니다.")
    assert spoken(made, UNDECIDED).en == "Not decided. It is {s0}."
    assert spoken(made, NOT_RUN) == NOT_JUDGED
    assert spoken(made, HOLDS, BUDGET) == Text("For this budget, yes. It is {s0}.", "이 학습량에서는 그렇다. {s0}다.")
    assert answer(one) == answers(holds=one, condition=one, fails=one, undecided=one)


def test_a_factor_of_one_is_no_growth():
    same = finding([0.001, 0.0, -0.001], "decades")
    assert forms(same, "en")["m"] == "keeps its size"
    assert forms(same, "ko")["m"] == "그대로 유지"


@pytest.mark.parametrize(
    ("said", "en", "ko"),
    [
        ("000, 001", "notes 000, 001", "노트 000, 001"), ("002 §4; §4.2, Fig. 7", "note 002 §4; paper §4.2, Fig. 7",
                                                           "노트 002 §4; 논문 §4.2, Fig. 7"),
        ("Table 6", "paper Table 6", "논문 Table 6"), ("Veit et al. 2016", "Veit et al. 2016", "Veit et al. 2016"),
        ("000, 001 vs. 002; §4.1", "notes 000, 001; against it: note 002, paper §4.1",
         "노트 000, 001; 반대: 노트 002, 논문 §4.1"),
    ],
)  # fmt: skip
def test_where_a_claim_is_made(said, en, ko):
    assert (cited(said), cited(said, "ko")) == (en, ko)
