"""What a judgement says besides its verdict: whether curves are flat, and the one caveat that a reader needs."""

from dataclasses import replace

import pytest
from shelf import DIGITS, Shelf

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Claim, Measurement, Statement
from reslab.claims.evidence import net
from reslab.claims.judging import FLAT, NOT_RUN_HERE, _without_holes, is_flat
from reslab.claims.phrases import NOT_JUDGED, TOO_FEW, answer
from reslab.claims.quantity import final_error, measurement
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED, Above, Always, Below
from reslab.claims.text import Text

ONE, OTHER = net("cifar_resnet8"), net("cifar_resnet20")
SHORT = "The runs have not converged: this is the answer after 400 iterations."
UNKNOWN = "Whether the runs have converged was not measured: this is the answer after 400 iterations."


ABOVE = Above(10.0)


def statement(of, rule=ABOVE, role=MAIN, flat=(), split="train") -> Statement:
    return Statement(Text("a", "가"), final_error(of, split), rule, role=role, unit="%", flat=flat)


def claim(*statements, measurements=(), **changes) -> Claim:
    said = answer(Text("It is {s0}.", "{s0}다."))
    return Claim("C1", "x", "", "", Text("x", "x"), statements, said, measurements, **changes)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "study")


# -- flat curves


@pytest.mark.parametrize(
    ("late", "flat"),
    [
        ([5.0], True), ([5.0 + FLAT - 0.01], True), ([5.0 + FLAT], False), ([5.3, 4.7], False),
        ([], None),  # the end alone lies in the last tenth
        ([None], False),  # diverged on the way
    ],
)  # fmt: skip
def test_the_last_tenth_of_a_curve(shelf, late, flat):
    shelf.run(ONE, 0, 5.0, late=late)
    assert is_flat(shelf.evidence(), (ONE,)) is flat


def test_one_run_that_moves_is_enough_and_one_that_was_not_measured_makes_it_unknown(shelf):
    shelf.run(ONE, 0, 5.0)
    assert is_flat(shelf.evidence(), (ONE, OTHER)) is True
    shelf.run(ONE, 1, 5.0, late=[])
    assert is_flat(shelf.evidence(), (ONE, OTHER)) is None
    assert is_flat(shelf.evidence(), (OTHER,)) is True  # of no run nothing moved
    shelf.run(OTHER, 0, 5.0, late=[7.0])
    assert is_flat(shelf.evidence(), (ONE, OTHER)) is False


@pytest.mark.parametrize(("late", "verdict", "flat", "caveat"), [
    ([20.0], HOLDS, True, None), ([30.0], CONDITION, False, SHORT), ([], CONDITION, None, UNKNOWN),
])  # fmt: skip
def test_a_curve_that_is_not_flat_is_a_condition(shelf, late, verdict, flat, caveat):
    for seed in range(3):
        shelf.run(ONE, seed, 20.0, late=late)
    found = shelf.judge(claim(statement(ONE, flat=(ONE,))))
    assert (found.verdict, found.flat) == (verdict, flat)
    assert (found.caveat and found.caveat.en) == caveat
    failed = shelf.judge(claim(statement(ONE, Below(10.0), flat=(ONE,))))
    assert (failed.verdict, failed.flat) == (FAILS, flat)  # what does not hold stays so, and says for how long
    assert (failed.caveat and failed.caveat.en) == caveat


# -- the caveat


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_come_first(shelf, seeds):
    for seed in range(seeds):
        shelf.run(ONE, seed, 20.0, late=[30.0])
    found = shelf.judge(claim(statement(ONE, flat=(ONE,))))
    assert (found.verdict, found.flat, found.caveat) == (UNDECIDED, False, TOO_FEW)


def test_then_how_many_seeds_would_decide(shelf):
    """Mean 10.5 against 10, deviation 1: t(n - 1) / sqrt(n) < 0.5 from n = 18 on (2.110 / 4.243 = 0.497)."""
    for seed, error in enumerate((9.5, 10.5, 11.5)):
        shelf.run(ONE, seed, error, late=[30.0])
        shelf.run(OTHER, seed, 5.0)
    found = shelf.judge(claim(statement(ONE, flat=(ONE,)), statement(OTHER, role=BESIDE)))
    assert (found.verdict, found.flat) == (UNDECIDED, False)
    assert (
        found.caveat.en
        == "With this mean and spread about 18 seeds in all would show that it holds; a seed took 2 s of computing."
    )
    assert (
        found.caveat.ko
        == "평균과 편차가 지금과 같다면 seed 총 18개가량이면 성립한다고 판정할 수 있다(seed당 계산 시간 2초)."
    )


def test_the_part_that_needs_most_counts(shelf):
    """The test error is at 10.2 with a deviation of 0.1: four seeds would do for it, and not for the training error."""
    for seed, error in enumerate((9.5, 10.5, 11.5)):
        shelf.run(ONE, seed, error, 10.1 + 0.1 * seed)
    parts = statement(ONE), statement(ONE, split="test")
    assert "about 4 seeds" in shelf.judge(claim(parts[1])).caveat.en
    assert "about 18 seeds" in shelf.judge(claim(*parts)).caveat.en


@pytest.mark.parametrize(
    ("errors", "others", "words"),
    [
        ((9.5, 10.5, 11.5), (9.5, 10.5, 11.5), "it holds"),
        ((8.5, 9.5, 10.5), (8.5, 9.5, 10.5), "it does not hold"),
        ((9.5, 10.5, 11.5), (8.5, 9.5, 10.5), "it holds with a condition"),
    ],
)
def test_and_for_what(shelf, errors, others, words):
    """Of two parts of a claim, thresholds at 10."""
    for seed, (error, other) in enumerate(zip(errors, others, strict=True)):
        shelf.run(ONE, seed, error, other)
    found = shelf.judge(claim(statement(ONE), statement(ONE, split="test")))
    assert found.verdict == UNDECIDED
    assert f" would show that {words}; a seed" in found.caveat.en


def test_without_runs_a_seed_takes_what_its_measurements_do(shelf):
    made = Measurement("m", lambda bench, seed: {}, each_seed=True, seconds=200)
    once = Measurement("n", lambda bench, seed: {}, seconds=9_000)
    for seed, value in enumerate((9.5, 10.5, 11.5)):
        shelf.measured("m", {"a": value}, seed)
    part = Statement(Text("a", "가"), measurement("m", "a"), ABOVE)
    found = shelf.judge(claim(part, measurements=(made, once)))
    assert (
        found.caveat.en
        == "With this mean and spread about 18 seeds in all would show that it holds; a seed took 3.3 min of computing."
    )


def test_a_mean_on_the_threshold_is_said_to_stay_undecided(shelf):
    for seed, error in enumerate((9.0, 10.0, 11.0)):
        shelf.run(ONE, seed, error)
    found = shelf.judge(claim(statement(ONE)))
    assert found.caveat.en.startswith("The mean lies so close to the threshold that more seeds will hardly decide it;")
    assert "기준값에 너무 가까워" in found.caveat.ko


def test_what_is_computed_needs_no_seeds(shelf):
    shelf.measured("m", {"a": [1.0, 2.0]})
    counted = Statement(Text("a", "가"), measurement("m", "a"), Always(1, 2))
    found = shelf.judge(claim(counted))
    assert (found.verdict, found.caveat, found.sentence.en) == (HOLDS, None, "Yes. It is 1 to 2.")
    for seed in range(2):
        shelf.run(ONE, seed, 20.0)
    mixed = shelf.judge(claim(counted, statement(ONE)))
    assert (mixed.verdict, mixed.caveat) == (UNDECIDED, TOO_FEW)


# -- what was not run


def test_not_run_says_why_and_has_no_caveat(shelf):
    both = claim(statement(ONE, flat=(ONE,)), statement(OTHER))
    found = shelf.judge(both)
    assert (found.verdict, found.sentence, found.caveat, found.says) == (NOT_RUN, NOT_RUN_HERE, None, False)
    why = Text("It needs more.", "더 필요하다.")
    assert shelf.judge(replace(both, why_not_run=why)).sentence == why
    shelf.run(OTHER, 0, 5.0, late=[])
    part = shelf.judge(both)
    assert (part.verdict, part.sentence, part.caveat, part.says) == (NOT_RUN, NOT_JUDGED, None, True)


@pytest.mark.parametrize(("limit", "verdict"), [(Above(0.0), CONDITION), (Above(50.0), HOLDS)])
def test_a_limit_and_what_is_shown_beside(shelf, limit, verdict):
    for seed in range(3):
        shelf.run(ONE, seed, 20.0)
    parts = statement(ONE), statement(ONE, limit, LIMIT), statement(ONE, Above(90.0), BESIDE)
    found = shelf.judge(claim(*parts))
    assert found.verdict == verdict
    assert found.findings[2].verdict == FAILS
    assert found.seeds == (0, 1, 2)
    assert repr(found) == f"Judgement(C1, {DIGITS.data}, n = 3: {verdict})"


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("No. It is 5 here. There it is \0.", "No. It is 5 here. Only a part of this was run."),
        ("Yes. Fig. 5's pair is 1.05 times (\0).", "Yes. Only a part of this was run."),
        ("Yes. All of it is 5 points.", "Yes. All of it is 5 points."),
    ],
)
def test_a_sentence_whose_figure_is_missing_is_left_out(answer, left):
    assert _without_holes(answer, "en") == left
