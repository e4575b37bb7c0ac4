"""C23: the training against one written out in numpy, its parts, and every verdict by way of files."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from shelf import DIGITS, Shelf, unanswered

from reslab.claims.experiments import copying
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.data.sets.digits import digits
from reslab.nets.model import build

(C23,) = copying.claims(DIGITS)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(copying, "STEPS", {"mlp": 3, "near0": 3, "conv": 2})
    monkeypatch.setattr(copying, "SEEN", (0, 2, 3))


def by_hand(residual, scale, seed, rate, steps):
    """a' = relu(W2 relu(W1 a + b1) + b2 (+ a)), its gradients and SGD with momentum, line by line in float64."""
    x = digits().train.images.reshape(-1, 64) / 255
    net = build(copying.spec_of_stack("mlp", 2, residual), seed=seed)
    w = [
        scale * p.detach().double().numpy().copy() for n, p in net.named_parameters() if n.startswith("fc2_1.branch")
    ]  # fmt: skip
    v = [np.zeros_like(p) for p in w]
    variance = x.var(axis=0).mean()
    order = torch.Generator().manual_seed(seed)
    found = []
    for step in range(steps + 1):

        def forward(a):
            z1 = a @ w[0].T + w[1]
            h = np.maximum(z1, 0)
            z2 = h @ w[2].T + w[3] + (a if residual else 0)
            return z1, h, z2

        found.append(((np.maximum(forward(x)[2], 0) - x) ** 2).mean() / variance)
        if step == steps:
            return found
        a = x[torch.randint(len(x), (copying.BATCH,), generator=order).numpy()]
        z1, h, z2 = forward(a)
        d2 = 2 * (np.maximum(z2, 0) - a) / a.size / variance * (z2 > 0)
        d1 = d2 @ w[2] * (z1 > 0)
        for i, gradient in enumerate((d1.T @ a, d1.sum(0), d2.T @ h, d2.sum(0))):
            v[i] = copying.MOMENTUM * v[i] + gradient
            w[i] = w[i] - rate * v[i]
    raise AssertionError


@pytest.mark.parametrize(("stack", "residual"), [*product(("mlp", "near0"), (False, True))])
def test_the_training_is_the_one_written_out(short, stack, residual):
    told = copying.errors(stack, 2, residual, 4, 0.05)
    hand = by_hand(residual, copying.NEAR_ZERO if stack == "near0" else 1.0, 4, 0.05, 3)
    assert told == pytest.approx([hand[0], hand[2], hand[3]], rel=1e-4)


@pytest.mark.parametrize(("stack", "depth"), [*product(copying.STACKS, copying.DEPTHS)])
def test_twins_have_the_same_weights_and_their_depth(stack, depth):
    plain, residual = (build(copying.spec_of_stack(stack, depth, r), seed=1) for r in (False, True))
    a, b = plain.state_dict(), residual.state_dict()
    assert list(a) == list(b)
    assert all(torch.equal(a[k], b[k]) for k in a)
    layers = [r for r in residual.rows if r.block and r.kind in ("conv", "linear")]
    assert len(layers) == depth
    assert all(r.path == "branch" and r.c_in == r.c_out == (16 if stack == "conv" else 64) for r in layers)
    assert sum(r.kind == "add" for r in residual.rows) == depth // 2
    assert not any(r.kind == "add" for r in plain.rows)


@pytest.mark.parametrize("stack", copying.STACKS)
def test_what_is_copied_can_be_copied(stack):
    """Nothing negative, as every stack ends in a ReLU; the pixels of the digits in [0, 1]."""
    target = copying.to_copy(stack, build(copying.spec_of_stack(stack, 2, True)))
    assert target.shape == ((1297, 16, 8, 8) if stack == "conv" else (1297, 64))
    assert target.min() == 0
    assert not target.requires_grad
    if stack != "conv":
        assert torch.equal((target * 255).round().byte(), torch.from_numpy(digits().train.images).flatten(1))


def test_convolutions_learn_too(monkeypatch):
    monkeypatch.setattr(copying, "STEPS", {"conv": 10})
    for residual in (False, True):
        first, last = copying.errors("conv", 2, residual, 0, 0.01)
        assert last < 0.5 * first


def test_what_diverges_ends_at_the_ceiling(short):
    assert copying.errors("mlp", 2, True, 0, 1e12)[-1] == copying.CEILING
    assert copying._told(math.inf) == copying._told(1e9) == copying.CEILING


def test_the_best_rate_is_the_lowest_end(short, monkeypatch):
    monkeypatch.setattr(copying, "GRID", (1e-5, 0.05, 1e12))
    assert copying.best_rate("mlp", 2, True) == 0.05


def test_rates_and_seeds_were_fixed_beforehand():
    assert set(copying.RATES) == set(product(copying.STACKS, (False, True)))
    for rates in copying.RATES.values():
        assert len(rates) == len(copying.DEPTHS)
        assert set(rates) <= set(copying.GRID)
    assert not set(copying.PILOT) & set(DIGITS.seeds)


def test_figures(short, monkeypatch):
    monkeypatch.setattr(copying, "DEPTHS", (2, 4))
    made = C23.measurements[0].make(None, 2)
    assert made["depths"] == [2, 4]
    assert made["steps"] == [0, 2, 3]
    for number, depth in enumerate((2, 4)):
        for kind, residual in (("plain", False), ("residual", True)):
            curve = copying.errors("mlp", depth, residual, 2, copying.RATES["mlp", residual][number])
            assert made[f"{kind}_{depth}_curve"] == curve
            assert made[kind][number] == curve[-1]
        wanted = math.log10(made["residual"][number]) - math.log10(made["plain"][number])
        assert made[f"log_ratio_{depth}"] == pytest.approx(wanted)


# -- what is read, and the verdicts


def written(folder, logs, ends=None):
    """By stack, (depth 2, depth 16) of three seeds: log10 of residual over plain; all depths learn, or `ends` says."""
    shelf = Shelf(folder)
    for stack, (first, deepest) in logs.items():
        for seed in range(3):
            ratios = [first[seed], 0.7, 0.7, deepest[seed]]
            plain = (ends or [0.01] * 4)[:]
            figures = {f"log_ratio_{d}": ratio for d, ratio in zip(copying.DEPTHS, ratios, strict=True)}
            figures |= {"plain": plain, "residual": [p * 10**r for p, r in zip(plain, ratios, strict=True)]}
            shelf.measured(f"copying-{stack}", figures, seed)
    return shelf


def test_the_deepest_that_learns_by_hand(tmp_path):
    """16 layers: both fail in two seeds of three; 8: the residual one learns in two; 4 and 2 are never looked at."""
    shelf = Shelf(tmp_path / "study")
    ends = {  # seed → (residual, plain) by depth: 2, 4, 8, 16
        0: ([0.01, 0.02, 0.4, 0.9], [0.01, 0.02, 0.8, 0.6]),
        1: ([0.01, 0.02, 0.2, 0.4], [0.01, 0.02, 1.0, 0.9]),
        2: ([0.01, 0.02, 0.6, 1.5], [0.01, 0.02, 0.9, 0.5]),
    }
    for seed, (residual, plain) in ends.items():
        shelf.measured("copying-mlp", {"residual": residual, "plain": plain}, seed)
    found = copying.deepest_that_learns("mlp").read(shelf.evidence())
    assert found == pytest.approx({0: math.log10(0.5), 1: math.log10(0.2), 2: math.log10(2 / 3)})
    assert copying.deepest_that_learns("conv").read(shelf.evidence()) == {}
    for seed in range(3):
        shelf.measured("copying-conv", {"residual": [0.6] * 4, "plain": [0.5] * 4}, seed)  # at the limit: none learns
    assert copying.deepest_that_learns("conv").read(shelf.evidence()) == {}


LOW, HIGH, SPREAD = (-1.0, -1.1, -1.2), (0.4, 0.5, 0.6), (-2.0, 2.0, 0.1)


@pytest.mark.parametrize(
    ("mlp", "conv", "verdict"),
    [
        ((LOW, LOW), (LOW, LOW), HOLDS),
        ((HIGH, LOW), (LOW, LOW), CONDITION),
        ((LOW, LOW), (LOW, HIGH), CONDITION),  # deep stacks of convolutions learn better without
        ((HIGH, HIGH), (HIGH, HIGH), FAILS),
        ((LOW, SPREAD), (LOW, LOW), UNDECIDED),
        ((HIGH, SPREAD), (HIGH, HIGH), UNDECIDED),  # the one could still make it a condition
        ((LOW[:1] * 3, LOW), (LOW, LOW), HOLDS),
    ],
)
@pytest.mark.parametrize("near0", [LOW, HIGH, SPREAD])
def test_verdicts(tmp_path, mlp, conv, near0, verdict):
    assert Shelf(tmp_path / "none").judge(C23).verdict == NOT_RUN
    found = written(tmp_path / "study", {"mlp": mlp, "near0": (near0, near0), "conv": conv}).judge(C23)
    assert found.verdict == verdict  # whatever stacks near zero show
    means = [f.figure.mean for f in found.findings[:4]]
    assert means == pytest.approx([sum(series) / 3 for series in (*mlp, *conv)])
    assert [f.figure.mean for f in found.findings[4:6]] == pytest.approx([0.7, 0.7])  # 4 and 8 layers: shown only


def test_the_answer_has_ratios(tmp_path):
    found = written(tmp_path / "study", {"mlp": (LOW, HIGH), "near0": (LOW, LOW), "conv": (HIGH, LOW)}).judge(C23)
    # 10 ** -1.1 = 1 / 12.6, 10 ** 0.5 = 3.16
    answer, ko = found.sentence.en, found.sentence.ko
    assert "2 layers with a shortcut end at 1/12.6 (MLP) and 3.16 (convolutions) of the error without." in answer
    assert "At the greatest depth that learns at all it is 3.16 and 1/12.6." in answer
    assert (
        "없을 때의 1/12.6배(MLP), 3.16배(convolution)다. 학습이 되는 가장 깊은 네트워크에서는 각각 3.16배, 1/12.6배다."
        in ko
    )


def test_two_stacks_that_both_fail_compare_nothing(tmp_path):
    """From 8 layers on nothing learns, so that 4 layers decide, whatever the ratio at 16 is."""
    ends = [0.01, 0.01, 9.0, 9.0]
    found = written(tmp_path / "study", {"mlp": (LOW, LOW), "near0": (LOW, LOW), "conv": (LOW, LOW)}, ends).judge(C23)
    assert [found.findings[i].figure.mean for i in (1, 3)] == pytest.approx([0.7, 0.7])
    assert found.verdict == CONDITION


def test_form():
    assert unanswered(C23) == []
    assert [s.role for s in C23.statements] == ["main"] * 4 + ["beside"] * 10
