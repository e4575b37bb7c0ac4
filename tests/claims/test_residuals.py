"""C7 and C8 on written studies: every verdict; the ratio at initialisation against one worked out with hooks."""

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.api.bench import StudyBench
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import residuals
from reslab.claims.experiments.residuals import INITIAL, NEAR, identity_blocks
from reslab.data.sources import load
from reslab.measure.jacobian import blocks_of
from reslab.nets.model import build
from reslab.nets.plan import plan

C7, C8 = residuals.claims(DIGITS)


# -- C7


def started(folder, bn: float, mlp: float, zero: float = 0.0) -> Shelf:
    found = Shelf(folder)
    for seed in range(3):
        figures = {f"bn{d}": bn + 0.001 * seed for d in DIGITS.depths}
        found.measured(INITIAL, {**figures, "mlp20": mlp + 0.001 * seed, "zero56_blocks": [0.0, zero]}, seed)
    return found


@pytest.mark.parametrize(
    ("bn", "mlp", "verdict"),
    [
        (0.05, 0.05, "holds"),
        (0.5, 0.05, "holds with a condition"),
        (0.05, 1.4, "holds with a condition"),
        (0.5, 1.4, "does not hold"),
        (NEAR - 0.001, 0.05, "undecided"),
    ],
)
def test_initial_weights(tmp_path, bn, mlp, verdict):
    found = started(tmp_path / "s", bn, mlp).judge(C7)
    assert found.verdict == verdict
    assert found.findings[2].verdict == "holds"  # a zero last γ: beside, whatever the verdict
    assert "With the last BN scale γ set to 0, which is not in the paper, it is 0." in found.sentence.en


def test_a_zero_that_is_not_exact_is_seen(tmp_path):
    assert started(tmp_path / "s", 0.5, 1.4, 1e-7).judge(C7).findings[2].verdict == "does not hold"


def slow_ratios(name: str, blocks: list[str], seed: int, **switches) -> list[float]:
    """‖branch(x)‖ / ‖x‖ with hooks; BN by the batch's own statistics, which evaluation mode has averaged over it."""
    train = load("digits").train
    pixels = torch.tensor(train.images).double()
    pixels = (pixels - pixels.mean(0)) / (pixels - pixels.mean(0)).std(correction=0)
    network = build(name, seed=seed, in_channels=1, image_size=8, **switches).double().train()
    found = {}
    for block in blocks:
        module = network.get_submodule(block).branch
        module.register_forward_hook(
            lambda m, args, out, block=block: found.update({block: (out.norm() / args[0].norm()).item()})
        )
    with torch.no_grad():
        network(pixels[:128].permute(0, 3, 1, 2))
    return [found[b] for b in blocks]


def test_initial_ratios_against_hooks(tmp_path):
    setting = Setting("digits", DIGITS.recipe, (3,), (8, 14))
    found = residuals.initial(setting, StudyBench("digits", {}, lambda: load("digits")), 3)
    fourteen = ["conv2_1", "conv2_2", "conv3_2", "conv4_2"]
    assert found["bn14_blocks"] == pytest.approx(slow_ratios("cifar_resnet14", fourteen, 3), rel=0.01)
    assert found["bn14"] == pytest.approx(sum(found["bn14_blocks"]) / 4)
    assert found["bn8_blocks"] == pytest.approx(slow_ratios("cifar_resnet8", ["conv2_1"], 3), rel=0.01)
    assert found["mlp8_blocks"] == pytest.approx(
        slow_ratios("mlp_resnet8", list(identity_blocks(net("mlp_resnet8"))), 3), rel=1e-4
    )
    assert found["zero14_blocks"] == [0.0] * 4  # exactly
    study = Shelf(tmp_path / "s", setting)
    study.measured(INITIAL, found, 3)
    judged = study.judge(residuals.claims(setting)[0])
    assert all(f.figure is not None for f in judged.findings)


def test_solid_blocks_are_those_of_the_probe():
    for name in ("cifar_resnet20", "cifar_resnet8", "mlp_resnet10"):
        of = net(name)
        assert identity_blocks(of) == tuple(b.name for b in blocks_of(plan(of.spec())) if b.line == "solid")
    assert len(identity_blocks(net("cifar_resnet56"))) == 25  # 27 blocks, two of which change the size
    assert identity_blocks(net("cifar_resnet8", shortcut="C")) == ()


# -- C8


def trained(folder, end: dict[int, float], start: float = 0.6) -> Shelf:
    """Ratios of identity blocks lie around `end` of the depth; dotted blocks are at 50 and must not count."""
    found = Shelf(folder)
    for seed in range(3):
        for depth in DIGITS.depths:
            of = net(f"cifar_resnet{depth}")
            solid, lines = identity_blocks(of), []
            for level in (start, 3.0, end[depth]):
                blocks = {b.name: 50.0 for b in blocks_of(plan(of.spec()))}
                blocks |= {b: level + 0.001 * seed + (0.02 if i % 2 else -0.02) for i, b in enumerate(solid[:-1])}
                blocks[solid[-1]] = level + 0.001 * seed if len(solid) % 2 else None
                lines.append({"residuals": blocks})
            found.run(of, seed, probes=lines)
    return found


@pytest.mark.parametrize(
    ("deep", "verdict"),
    [(0.05, "holds"), (0.4, "does not hold"), (NEAR - 0.001, "undecided")],
)
def test_after_training(tmp_path, deep, verdict):
    found = trained(tmp_path / "s", {8: 0.9, 20: 0.5, 56: deep}).judge(C8)
    assert found.verdict == verdict
    main, falls, deeper, at8, at20 = (f.figure.mean for f in found.findings)
    assert main == pytest.approx(deep + 0.001)
    assert falls == pytest.approx(deep - 0.6)
    assert deeper == pytest.approx(deep - 0.9, abs=0.041)  # the blocks that both have: those of stage 2
    assert list(residuals.identity_blocks(net("cifar_resnet8"))) == ["conv2_1"]
    assert "conv2_1" in C8.statements[2].text.en
    assert (at8, at20) == pytest.approx((0.901, 0.501), abs=1e-2)


def test_not_run(tmp_path):
    study = Shelf(tmp_path / "s")
    assert study.judge(C7).verdict == study.judge(C8).verdict == "not run"
    for seed in range(3):  # trained without probes
        study.run(net("cifar_resnet56"), seed)
    assert study.judge(C8).verdict == "not run"


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,)])
def test_form(depths):
    for claim in residuals.claims(Setting("digits", DIGITS.recipe, (0,), depths)):
        assert canonical(claim.nets)
        assert unanswered(claim) == []
    assert C7.analytic
    assert all(canonical([of]) for of in residuals.wanted(DIGITS).values())
