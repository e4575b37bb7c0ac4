"""C3 and C26 on written studies: every verdict, from probes and from initial weights."""

import pytest
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import gradients
from reslab.claims.experiments.decades import CIRCULAR, FAR, INITIAL
from reslab.claims.experiments.gradients import DECADES, GOING

C3, C26 = gradients.claims(DIGITS)
PLAIN, BARE, RESIDUAL = net("cifar_plain56"), net("cifar_plain56", batch_norm=False), net("cifar_resnet56")
APART, TOGETHER, EDGE = 5.0, 0.5, DECADES - 0.005  # an interval around EDGE lies on both sides of the limit


def line(value: float) -> dict:
    return {"gradients": {"conv2_1": 10.0**value, "conv3_1": 7.0, "conv4_1": 1.0}}


def study(folder, start: dict, training: dict, rises=(10.0, 11.0, 12.0), late=None) -> Shelf:
    """`start`: powers of ten by the measured net, else TOGETHER; `training` likewise, by net."""
    found = Shelf(folder)
    for seed in range(len(rises)):
        jitter = 0.01 * seed
        for name in (INITIAL, CIRCULAR):
            nets = [f"{kind}56-{bn}-relu" for kind in ("plain", "resnet") for bn in ("bn", "nobn")]
            figures = {f"{of}.gradient": start.get((name, of), TOGETHER) + jitter for of in nets}
            found.measured(name, figures, seed)
        for of in {*C3.nets, *C26.nets}:
            train = 20.0 + 7 * seed + (rises[seed] if of.model == "cifar_plain56" else 0.0)
            apart = training.get(of, TOGETHER)
            apart += jitter if apart > 0 else -jitter
            # one wild probe at the start, one in the middle: neither is the median of what comes after the start
            probes = [line(v) for v in (9.0, apart, 40.0, apart, 0.96 * apart)]
            found.run(of, seed, train, probes=probes, late=late)
    return found


# -- C3


@pytest.mark.parametrize(
    ("start", "training", "verdict"),
    [
        ({}, {PLAIN: APART}, "holds"),
        ({}, {PLAIN: -APART}, "holds"),  # vanished as well as exploded
        ({(INITIAL, "plain56-bn-relu"): APART}, {}, "does not hold"),  # before training alone is no cause
        ({}, {BARE: APART, RESIDUAL: APART}, "does not hold"),  # nor is what other nets have
        ({}, {PLAIN: EDGE}, "undecided"),
    ],
)
def test_the_cause(tmp_path, start, training, verdict):
    found = study(tmp_path / "s", start, training).judge(C3)
    assert found.verdict == verdict
    assert found.flat
    assert "training error rises by 11 points" in found.sentence.en
    assert "training error는 11%p 증가한다" in found.sentence.ko
    if training == {PLAIN: APART}:  # 10 ** 5.01
        assert found.sentence.en.startswith("Yes. In training")
        assert "differ by a factor of 102,000 " in found.sentence.en


def test_a_cause_in_curves_that_still_move_is_a_condition(tmp_path):
    found = study(tmp_path / "s", {}, {PLAIN: APART}, late=[70.0, 60.0]).judge(C3)
    assert (found.verdict, found.flat) == ("holds with a condition", False)
    assert "400 iterations" in found.caveat.en


def test_two_seeds_decide_nothing(tmp_path):
    for number, apart in enumerate((APART, TOGETHER)):
        shelf = study(tmp_path / str(number), {}, {PLAIN: apart}, rises=(10.0, 11.0))
        found = shelf.judge(C3), shelf.judge(C26)
        assert [f.verdict for f in found] == ["undecided"] * 2
        assert all(f.caveat.en.startswith("With fewer than three seeds") for f in found)


def test_what_is_shown_beside_the_cause(tmp_path):
    start = {(INITIAL, "plain56-bn-relu"): -5.0, (INITIAL, "resnet56-bn-relu"): -2.0}
    found = study(tmp_path / "s", start, {PLAIN: -4.0, RESIDUAL: 3.5}).judge(C3)
    assert [f.figure.mean for f in found.findings] == pytest.approx([4.01, 11.0, 4.99, 3.51, 1.99])
    assert [f.statement.role for f in found.findings] == ["main", *["beside"] * 4]


# -- C26


@pytest.mark.parametrize(
    ("start", "training", "verdict"),
    [
        ({}, {}, "holds"),
        ({(INITIAL, "plain56-bn-relu"): APART}, {}, "holds with a condition"),
        ({(INITIAL, "plain56-bn-relu"): -APART}, {}, "holds with a condition"),
        ({}, {PLAIN: APART}, "holds with a condition"),
        ({(INITIAL, "plain56-bn-relu"): APART}, {PLAIN: -APART}, "does not hold"),
        ({(INITIAL, "plain56-bn-relu"): EDGE}, {}, "undecided"),
        ({}, {PLAIN: EDGE}, "undecided"),
        # what happens without BN, with either padding, decides nothing
        ({(INITIAL, "plain56-nobn-relu"): APART, (CIRCULAR, "plain56-nobn-relu"): APART}, {BARE: APART}, "holds"),
    ],
)
def test_healthy(tmp_path, start, training, verdict):
    found = study(tmp_path / "s", start, training).judge(C26)
    assert found.verdict == verdict
    if not start and not training:  # 10 ** 0.51
        assert found.sentence.en == (
            "Yes. With BN, gradients of the first and last block of plain-56 differ by a factor of 3.24 at "
            "initialisation and 3.24 in training; up to 1,000 counts as healthy."
        )
        assert "초기 weight에서 3.24배, 학습 중 3.24배 차이 난다." in found.sentence.ko


def test_what_is_shown_beside_the_healthy(tmp_path):
    start = {(INITIAL, "plain56-nobn-relu"): -6.0, (CIRCULAR, "plain56-nobn-relu"): -1.0}
    found = study(tmp_path / "s", start, {PLAIN: 2.0, BARE: 3.5}, rises=(70.0, 63.5, 57.0)).judge(C26)
    means = [f.figure.mean for f in found.findings]
    assert means == pytest.approx([0.51, 2.01, 0.96 * 2.01, 5.99, 0.99, 3.51, 90.5])
    assert found.findings[6].verdict == "does not hold"
    assert min(found.findings[6].figure.values) > GOING  # it never gets going
    assert [f.statement.role for f in found.findings] == ["main", "main", *["beside"] * 5]


# -- both


def test_not_run(tmp_path):
    for claim in (C3, C26):
        assert Shelf(tmp_path / "a").judge(claim).verdict == "not run"
    partly = study(tmp_path / "b", {}, {})
    for path in (partly.folder / "measured").iterdir():
        path.unlink()
    assert partly.judge(C3).verdict == "does not hold"  # its rule needs the probes alone
    found = partly.judge(C26)
    assert (found.verdict, found.sentence.en) == ("not run", "Only a part of this was run, which gives no verdict.")
    measured = Shelf(tmp_path / "c")
    measured.measured(INITIAL, {"plain56-bn-relu.gradient": 1.0}, 0)
    assert [measured.judge(claim).verdict for claim in (C3, C26)] == ["not run"] * 2


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,), (FAR,), (8, FAR)])
def test_every_setting_makes_claims(depths):
    setting = Setting("digits", DIGITS.recipe, (0,), depths)
    for claim in gradients.claims(setting):
        assert unanswered(claim) == []
        assert canonical(claim.nets)
        names = {m.name for m in claim.measurements}
        assert {name for s in claim.statements for name in s.quantity.measured} <= names
