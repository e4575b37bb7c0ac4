"""C3 and C22 on written studies: every verdict; the measurement against hooks, in float64 from the raw pixels on."""

import math

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.api.bench import StudyBench
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import decades, gradients
from reslab.claims.experiments.decades import FAR, INITIAL, MOST, apart, at_start, in_training, key, variants
from reslab.claims.experiments.gradients import DECADES
from reslab.data.sources import load
from reslab.nets.model import build
from reslab.runs.recipes import recipe

C3, C22 = gradients.claims(DIGITS)
FAR_APART, NEAR_EACH = 5.0, 0.5


def line(value: float) -> dict:
    return {"gradients": {"conv2_1": 10.0**value, "conv3_1": 7.0, "conv4_1": 1.0}}


def study(folder, start: dict, training: dict, rises=(10.0, 11.0, 12.0)) -> Shelf:
    """`start`: decades of (kind, layers, BN) at initialisation, else NEAR_EACH; `training` likewise, by net."""
    found = Shelf(folder)
    for seed in range(3):
        jitter = 0.01 * seed
        figures = {}
        for variant in variants(DIGITS):
            figures[key(variant, "gradient")] = start.get(variant[:3], NEAR_EACH) + jitter
            figures[key(variant, "activation")] = start.get(("activation", *variant[1:3]), NEAR_EACH) + jitter
        found.measured(INITIAL, figures, seed)
        for of in C3.nets:
            train = 20.0 + 7 * seed + (rises[seed] if of.model == "cifar_plain56" else 0.0)
            apart_by = training.get(of, NEAR_EACH) + jitter
            # one wild probe at the start, one in the middle: neither is the median of what comes after the start
            found.run(
                of, seed, train, probes=[line(9.0), line(apart_by), line(40.0), line(apart_by), line(apart_by - 0.2)]
            )
    return found


PLAIN, BARE, RESIDUAL = net("cifar_plain56"), net("cifar_plain56", batch_norm=False), net("cifar_resnet56")


@pytest.mark.parametrize(
    ("start", "training", "verdict"),
    [
        ({("plain", 56, True): 5.0, ("plain", 56, False): -5.0}, {PLAIN: 5.0, BARE: -5.0}, "holds"),
        (
            {("plain", 56, True): 5.0, ("plain", 56, False): -5.0, ("resnet", 56, True): 5.0},
            {PLAIN: 5.0, BARE: -5.0},
            "holds with a condition",  # the residual twin is as bad
        ),
        ({("plain", 56, False): -5.0}, {BARE: -5.0}, "holds with a condition"),  # without BN alone
        ({("plain", 56, True): 5.0}, {}, "holds with a condition"),  # with BN, at initialisation alone
        ({}, {}, "does not hold"),
        ({("plain", 56, True): DECADES - 0.005, ("plain", 56, False): 5.0}, {PLAIN: 5.0, BARE: 5.0}, "undecided"),
    ],
)
def test_the_cause(tmp_path, start, training, verdict):
    found = study(tmp_path / "s", start, training).judge(C3)
    assert found.verdict == verdict
    assert found.flat
    assert "11 [8.52, 13.48] points (n = 3)" in found.sentence.en
    assert "11 [8.52, 13.48] 점 (n = 3)" in found.sentence.ko


def test_the_cause_in_figures(tmp_path):
    start = {("plain", 56, True): -5.0, ("resnet", 56, True): -2.0}
    found = study(tmp_path / "s", start, {PLAIN: -4.0, BARE: 3.5}).judge(C3)
    means = [f.figure.mean for f in found.findings]
    # a distance: vanished counts as exploded does; of 4 probes after the start the median, and the last
    trained = [sorted([x, 40.0, x, abs(d - 0.2)]) for d in (-4.0, -3.99, -3.98) for x in [abs(d)]]
    expected = sum((v[1] + v[2]) / 2 for v in trained) / 3
    assert means[:2] == pytest.approx([4.99, expected])
    assert means[4] == pytest.approx(1.99)
    assert means[7] == pytest.approx(4.19)
    assert found.findings[7].verdict == "does not hold"


def test_not_run(tmp_path):
    assert Shelf(tmp_path / "a").judge(C3).verdict == "not run"
    partly = study(tmp_path / "b", {}, {})
    for path in (partly.folder / "measured").iterdir():
        path.unlink()
    assert partly.judge(C3).verdict == "not run"


def test_a_probe_that_says_nothing_is_left_out(tmp_path):
    found = Shelf(tmp_path / "s")
    none = [{"gradients": {"a": None, "b": 1.0}}, {"gradients": {"a": 1.0, "b": 0.0}}, {"gradients": {}}]
    found.run(PLAIN, 0, probes=[line(1.0), *none, line(2.0)])
    found.run(PLAIN, 1, probes=[line(1.0), *none])
    found.run(PLAIN, 2, probes=[line(1.0), {"gradients": {"a": 0.0, "b": 1.0}}])  # vanished altogether
    assert in_training(PLAIN).read(found.evidence()) == pytest.approx({0: 2.0, 2: MOST})


@pytest.mark.parametrize(
    ("start", "verdict"),
    [
        ({(k, 56, bn): FAR_APART for k in ("plain", "activation") for bn in (True, False)}, "holds"),
        ({("plain", 56, True): FAR_APART}, "holds with a condition"),
        ({("plain", 56, False): -FAR_APART}, "does not hold"),  # vanishing is no explosion
        (
            {(k, 56, bn): FAR_APART for k in ("plain", "activation") for bn in (True, False)}
            | {("plain", 56, True): DECADES - 0.005},
            "undecided",
        ),
    ],
)
def test_growth(tmp_path, start, verdict):
    found = study(tmp_path / "s", start, {}).judge(C22)
    assert found.verdict == verdict
    assert "decades" in found.sentence.en


def test_growth_a_layer(tmp_path):
    told = study(tmp_path / "s", {("plain", 8, True): 0.2, ("plain", FAR, True): 5.3}, {}).judge(C22)
    (pace,) = (f for f in told.findings if f.statement.unit == "decades a layer")
    assert pace.figure.mean == pytest.approx(5.1 / 102)
    assert Shelf(tmp_path / "empty").judge(C22).verdict == "not run"
    assert C22.analytic


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,), (FAR,), (8, FAR)])
def test_every_setting_makes_claims(depths):
    for claim in gradients.claims(Setting("digits", DIGITS.recipe, (0,), depths)):
        assert unanswered(claim) == []
        assert canonical(claim.nets)
        names = {m.name for m in claim.measurements}
        assert {name for s in claim.statements for name in s.quantity.measured} <= names
    every = variants(Setting("digits", DIGITS.recipe, (0,), depths))
    assert len(set(every)) == len(every)


# -- the measurement


BENCH = StudyBench("digits", {}, lambda: load("digits"))


def slow(kind: str, depth: int, batch_norm: bool, activation: str, seed: int) -> tuple[float, float]:
    """Decades of gradient and activation, with hooks instead of named outputs, in float64 from the raw pixels on."""
    train = load("digits").train
    pixels = torch.tensor(train.images).double()
    pixels = (pixels - pixels.mean(0)) / (pixels - pixels.mean(0)).std(correction=0)
    images, labels = pixels[:128].permute(0, 3, 1, 2), torch.tensor(train.labels[:128])
    network = build(
        f"cifar_{kind}{depth}", seed=seed, in_channels=1, image_size=8, batch_norm=batch_norm, activation=activation
    ).double().train()  # fmt: skip
    outputs = {}
    for name in network.parts:
        if name.startswith("conv"):
            network.get_submodule(name).register_forward_hook(lambda m, a, out, name=name: outputs.update({name: out}))
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    first, *_, last = outputs.values()
    slopes = [s.square().mean().sqrt().item() for s in torch.autograd.grad(loss, [first, last])]
    sizes = [v.square().mean().sqrt().item() for v in (first, last)]
    return math.log10(slopes[0] / slopes[1]), math.log10(sizes[1] / sizes[0])


@pytest.mark.parametrize(
    "variant",
    [
        ("plain", 14, True, "relu"),
        ("resnet", 14, False, "relu"),
        ("plain", 14, False, "sigmoid"),
        ("resnet", 8, False, "tanh"),
    ],
    ids=lambda v: key(v, "x"),
)
def test_initial_weights_against_hooks(variant):
    setting = Setting("digits", recipe("digits-study"), (3,), (8, 14))
    found = decades.initial(setting, [variant], BENCH, 3)
    gradient, activation = slow(*variant, seed=3)
    assert found[key(variant, "gradient")] == pytest.approx(gradient, abs=2e-3)
    # evaluation mode uses averages of the same batch, with the unbiased variance: 1 part in 128 · pixels
    assert found[key(variant, "activation")] == pytest.approx(activation, abs=5e-3)
    if variant[1] == 14:  # the deepest: block by block
        values = found[key(variant, "gradients")]
        assert len(values) == len(found[key(variant, "activations")]) == 6
        assert found[key(variant, "gradient")] == pytest.approx(math.log10(values[0] / values[-1]), abs=1e-6)
    else:
        assert key(variant, "gradients") not in found


def test_what_is_zero_counts_as_the_smallest_number():
    assert apart(1e-3, 1.0) == pytest.approx(-3.0)
    assert apart(0.0, 1.0) < -300
    assert apart(0.0, 0.0) == 0.0


def test_every_figure_that_is_read_is_made(tmp_path, monkeypatch):
    """The whole way at small depths: measured for real, written, read, judged."""
    for module in (decades, gradients):
        monkeypatch.setattr(module, "FAR", 14)
    setting = Setting("digits", DIGITS.recipe, (0,), (8,))
    claim = gradients.claims(setting)[1]
    (measurement,) = claim.measurements
    found = Shelf(tmp_path / "s", setting)
    found.measured(measurement.name, measurement.make(BENCH, 0), 0)
    judged = found.judge(claim)
    assert all(f.figure is not None for f in judged.findings)
    assert judged.verdict == "undecided"  # one seed has no interval
    # the same net by both ways of asking
    assert at_start("plain", 8, True).read(found.evidence())[0] == judged.findings[0].figure.mean
