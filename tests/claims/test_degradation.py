"""C1 and C2 on records of chosen figures: every verdict they can give, and "at this budget"."""

from dataclasses import replace

import pytest
from shelf import DIGITS, Shelf

from reslab.claims.experiments.degradation import MARGIN, claims, twins
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED

C1, C2 = claims(DIGITS)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "study")


def twin_runs(shelf, kind, gaps, *, flat=True):
    """Every depth, every seed; the deepest differs from the shallowest by gaps[seed], from very different levels."""
    for seed, gap in enumerate(gaps):
        level = 20.0 + 7.0 * (seed * 5 % 7)
        for net in twins(DIGITS, kind):
            end = level + (gap if net.model.endswith(str(DIGITS.deep)) else 0.0)
            late = None if flat else (end + 3.0, end + 2.0, end + 1.0, end)
            shelf.run(net, seed, end, end + 1.0, late=late)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([30.0, 31.0, 32.0], HOLDS),
        ([-1.0, -1.1, -1.2], FAILS),
        ([-5.0, 5.0, 1.0], UNDECIDED),
        ([30.0], UNDECIDED),
        ([30.0, 30.0], UNDECIDED),
    ],
)
def test_plain(shelf, gaps, verdict):
    twin_runs(shelf, "plain", gaps)
    found = shelf.judge(C1)
    assert found.verdict == verdict
    assert found.findings[0].figure.values == pytest.approx(tuple(gaps))
    assert found.seeds == tuple(range(len(gaps)))
    change = {31.0: "rises by 31 points", -1.1: "falls by 1.1 points", 1 / 3: "rises by 0.33 points"}
    mean = sum(gaps) / len(gaps)
    said = next((words for value, words in change.items() if abs(value - mean) < 1e-9), "rises by 30 points")
    opening = {HOLDS: "Yes.", FAILS: "No.", UNDECIDED: "Not decided."}[verdict]
    assert found.sentence.en == f"{opening} From 8 to 56 layers the plain net's training error {said}."
    assert (found.caveat is None) == (verdict != UNDECIDED)


def test_curves_that_still_move_are_a_condition(shelf):
    twin_runs(shelf, "plain", [30.0, 31.0, 32.0], flat=False)
    found = shelf.judge(C1)
    assert found.verdict == CONDITION
    assert found.sentence.en.startswith("For this budget, yes. From 8 to 56 layers")
    assert found.caveat.en == "The runs have not converged: this is the answer after 400 iterations."
    assert found.caveat.ko == "학습이 아직 수렴하지 않았다. 반복 400회까지의 결과다."


def test_curves_measured_too_seldom_are_a_condition_of_their_own(shelf):
    for kind, error in zip(twins(DIGITS, "plain"), (1.0, 5.0, 20.0), strict=True):
        for seed in (0, 1, 2):
            shelf.run(kind, seed, error + seed / 10, late=[])
    found = shelf.judge(C1)
    assert (found.verdict, found.flat) == (CONDITION, None)
    assert "was not measured: this is the answer after 400 iterations" in found.caveat.en
    assert "측정하지 않았다" in found.caveat.ko


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([-0.3, -0.4, -0.5], CONDITION),  # at another rate than the paper's
        ([0.4, 0.5, 0.6], CONDITION),  # not worse by more than the margin, and not better
        ([-3.0, 3.0, 0.5], UNDECIDED),
    ],
)
def test_residual(shelf, gaps, verdict):
    twin_runs(shelf, "resnet", gaps)
    found = shelf.judge(C2)
    assert found.verdict == verdict
    assert found.findings[3].figure.values == (pytest.approx(0.2),)
    assert ("at a rate of 0.02 chosen on other seeds" in found.sentence.en) == (verdict == CONDITION)


@pytest.mark.parametrize(
    ("train", "test", "verdict"),
    [
        ((-0.3, -0.4, -0.5), (-0.3, -0.4, -0.5), HOLDS),
        ((-0.3, -0.4, -0.5), (0.3, 0.4, 0.5), CONDITION),  # the note speaks of error, not of training error
        ((MARGIN + 1, MARGIN + 1.1, MARGIN + 1.2), (0.3, 0.4, 0.5), FAILS),
        ((-0.3, -0.4, -0.5), (-3.0, 3.0, 0.5), UNDECIDED),
    ],
)
def test_residual_at_the_papers_rate(tmp_path, train, test, verdict):
    setting = replace(DIGITS, recipe=replace(DIGITS.recipe, lr=0.1))
    shelf, nets = Shelf(tmp_path / "paper", setting), twins(DIGITS, "resnet")
    for seed in range(3):
        shelf.run(nets[0], seed, 5.0, 5.0)
        shelf.run(nets[-1], seed, 5.0 + train[seed], 5.0 + test[seed])
        for middle in nets[1:-1]:
            shelf.run(middle, seed, 5.0, 5.0)
    assert shelf.judge(claims(setting)[1]).verdict == verdict


def test_nothing_and_half_finished_are_not_run(shelf):
    assert shelf.judge(C1).verdict == NOT_RUN
    for net in twins(DIGITS, "plain"):
        shelf.run(net, 0, 10.0, finished=False)
    found = shelf.judge(C1)
    assert (found.verdict, found.findings[0].figure) == (NOT_RUN, None)


def test_only_whole_pairs_count(shelf):
    shallow, *_, deep = twins(DIGITS, "plain")
    for seed in (0, 1, 2):
        shelf.run(shallow, seed, 1.0)
    for seed in (1, 2):
        shelf.run(deep, seed, 31.0 + seed)
    assert shelf.judge(C1).findings[0].figure.values == (31.0, 32.0)
