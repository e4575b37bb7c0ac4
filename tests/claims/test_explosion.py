"""C22 and C27 on written studies: every verdict; what is read is what the measurements make."""

import pytest
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.api.bench import StudyBench
from reslab.claims.evidence import Setting
from reslab.claims.experiments import decades, explosion
from reslab.claims.experiments.decades import CIRCULAR, FAR, INITIAL, variants
from reslab.claims.experiments.gradients import DECADES
from reslab.data.sources import load

C22, C27 = explosion.claims(DIGITS)
FLAT, FAR_UP = 0.5, 5.0
EDGE = DECADES - 0.01  # an interval around it lies on both sides of the limit


def study(folder, circular: dict, zeros: dict | None = None, seeds: int = 3) -> Shelf:
    """Growth by "plain56-bn-relu.gradient" (the figures' own names), else FLAT, seed by seed 0.01 more."""
    found = Shelf(folder)
    for seed in range(seeds):
        for name, values in ((CIRCULAR, circular), (INITIAL, zeros or {})):
            names = [decades.key(v, w) for v in variants(DIGITS) for w in ("gradient", "activation")]
            slope = {n: 0.02 if n.startswith("resnet") else 0.01 for n in names}  # a difference has a spread, too
            found.measured(name, {n: values.get(n, FLAT) + slope[n] * seed for n in names}, seed)
    return found


def plain(bn: float, no_bn: float, activation: float, activation_no_bn: float) -> dict:
    return {
        "plain56-bn-relu.gradient": bn, "plain56-bn-relu.activation": activation,
        "plain56-nobn-relu.gradient": no_bn, "plain56-nobn-relu.activation": activation_no_bn,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("growth", "verdict"),
    [
        (plain(FAR_UP, FAR_UP, FAR_UP, FAR_UP), "holds"),
        (plain(FAR_UP, FAR_UP, FAR_UP, FLAT), "holds with a condition"),
        (plain(FAR_UP, FLAT, FLAT, FLAT), "holds with a condition"),
        (plain(FLAT, FLAT, FLAT, FLAT), "does not hold"),
        (plain(-FAR_UP, -FAR_UP, -FAR_UP, -FAR_UP), "does not hold"),  # vanishing is no explosion
        (plain(EDGE, FAR_UP, FAR_UP, FAR_UP), "undecided"),
        (plain(EDGE, FLAT, FLAT, FLAT), "undecided"),
    ],
)
@pytest.mark.parametrize("zeros", [FLAT, FAR_UP])
def test_growth(tmp_path, growth, verdict, zeros):
    found = study(tmp_path / "s", growth, plain(*[zeros] * 4)).judge(C22)
    assert found.verdict == verdict  # the paper's zeros are shown, and decide nothing
    assert [f.figure.mean for f in found.findings[:4]] == pytest.approx([
        growth["plain56-bn-relu.gradient"] + 0.01, growth["plain56-bn-relu.activation"] + 0.01,
        growth["plain56-nobn-relu.gradient"] + 0.01, growth["plain56-nobn-relu.activation"] + 0.01,
    ])  # fmt: skip
    assert [f.figure.mean for f in found.findings[4:8]] == pytest.approx([zeros + 0.01] * 4)
    assert [f.statement.role for f in found.findings] == ["main"] * 4 + ["beside"] * 5
    assert found.flat


def test_the_answer_to_growth(tmp_path):
    found = study(tmp_path / "s", plain(4.0, -2.0, 0.3, -0.3)).judge(C22)
    assert found.sentence.en == (  # 10 ** 4.01, 1.99, 0.31, 0.29
        "In part. At initialisation (circular padding), through 56 plain layers with BN the gradient grows 10,200 "
        "times and the activation grows 2.04 times; without BN the gradient shrinks to 1/97.7 and the activation "
        "shrinks to 1/1.95."
    )
    assert "BN이 있으면 gradient는 10,200배, activation은 2.04배가 되고, BN이 없으면" in found.sentence.ko


def cure(residual: float, residual_no_bn: float) -> dict:
    """Plain nets grow by 4 and 3.5 powers of ten."""
    return {
        "plain56-bn-relu.gradient": 4.0, "plain56-nobn-relu.gradient": 3.5,
        "resnet56-bn-relu.gradient": residual, "resnet56-nobn-relu.gradient": residual_no_bn,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("residual", "residual_no_bn", "verdict"),
    [
        (1.0, 1.0, "holds"),
        (3.9, 1.0, "holds"),  # less than the plain net is enough with BN
        (1.0, 3.3, "holds with a condition"),  # less, and it explodes all the same
        (4.5, 1.0, "holds with a condition"),  # with BN it grows more than the plain net
        (1.0, 4.5, "holds with a condition"),
        (4.5, 4.5, "does not hold"),
        (4.5, EDGE - 0.01, "holds with a condition"),  # one fails, one holds: the undecided one changes nothing
        (1.0, EDGE - 0.01, "undecided"),
        (3.99, 1.0, "undecided"),
        (3.99, 4.5, "undecided"),  # the one could still make it a condition
    ],
)
def test_cure(tmp_path, residual, residual_no_bn, verdict):
    found = study(tmp_path / "s", cure(residual, residual_no_bn), {"resnet56-nobn-relu.gradient": FAR_UP}).judge(C27)
    assert found.verdict == verdict
    means = [f.figure.mean for f in found.findings]
    assert means[:3] == pytest.approx([residual - 3.99, residual_no_bn - 3.49, residual_no_bn + 0.02])
    assert means[3:] == pytest.approx([residual + 0.02, 4.01, 3.51, 0.52, 5.02, 0.52])
    assert [f.statement.role for f in found.findings] == ["main"] * 3 + ["beside"] * 6


def test_the_answer_to_the_cure(tmp_path):
    found = study(tmp_path / "s", cure(1.0, -1.0)).judge(C27)
    assert found.sentence.en == (  # 10 ** 1.02, 4.01, 0.98, 3.51
        "Yes. At initialisation (circular padding), with BN the gradient grows 10.5 times through 56 residual layers "
        "and grows 10,200 times through plain ones. Without BN it shrinks to 1/9.55 in residual nets and grows 3,240 "
        "times in plain ones."
    )
    assert "residual 56층에서 10.5배, plain에서 10,200배가 된다" in found.sentence.ko


def test_not_run_and_two_seeds(tmp_path):
    for claim in (C22, C27):
        assert Shelf(tmp_path / "a").judge(claim).verdict == "not run"
        zeros_alone = Shelf(tmp_path / "zeros")
        zeros_alone.measured(INITIAL, {"plain56-bn-relu.gradient": 9.0}, 0)
        assert zeros_alone.judge(claim).verdict == "not run"
        assert claim.analytic
    two = study(tmp_path / "b", plain(*[FAR_UP] * 4), seeds=2)
    assert [two.judge(claim).verdict for claim in (C22, C27)] == ["undecided"] * 2


def test_every_figure_that_is_read_is_made(tmp_path, monkeypatch):
    """The whole way at small depths: measured for real, written, read, judged."""
    for module in (decades, explosion):
        monkeypatch.setattr(module, "FAR", 14)
    setting = Setting("digits", DIGITS.recipe, (0,), (8,))
    bench = StudyBench("digits", {}, lambda: load("digits"))
    found = Shelf(tmp_path / "s", setting)
    claims = explosion.claims(setting)
    for measurement in claims[0].measurements:
        found.measured(measurement.name, measurement.make(bench, 0), 0)
    for claim in claims:
        judged = found.judge(claim)
        assert all(f.figure is not None for f in judged.findings)
        assert judged.verdict == "undecided"  # one seed decides nothing
        assert [m.name for m in claim.measurements] == [INITIAL, CIRCULAR]


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,), (FAR,), (8, FAR)])
def test_every_setting_makes_claims(depths):
    for claim in explosion.claims(Setting("digits", DIGITS.recipe, (0,), depths)):
        assert unanswered(claim) == []
        assert canonical(claim.nets)
        names = {m.name for m in claim.measurements}
        assert {name for s in claim.statements for name in s.quantity.measured} <= names
