"""C4 and C5: the constructions against finite differences, every verdict on written studies, trained nets for real."""

import numpy as np
import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.claims.evidence import net
from reslab.claims.experiments import derivatives, jacobians
from reslab.claims.experiments.jacobians import BLOCKS, COUNTER, ROUNDING, TRAINED
from reslab.measure.jacobian import jacobian
from reslab.nets.model import Note, build

C4, C5 = jacobians.claims(DIGITS)
OF = net("cifar_resnet20")


@pytest.fixture(scope="module")
def made():
    return derivatives.blocks(None, None)


# -- the measurements


def test_what_the_blocks_show(made):
    # 14 layers: three identity blocks and one at each change of size for A and B; for C all are projections
    counts = {k: len(v) for k, v in made.items()}
    assert counts == {
        "identity": 8, "preactivation": 4, "projection": 2 + 6, "option_a": 2,
        "relu_rows": 8, "inactive": 8, "relu_deviation": 8, "projection_deviation": 4, "dropped": 2,
    }  # fmt: skip
    assert made["dropped"] == [75.0, 75.0]  # every second pixel in both directions is kept
    assert max(*made["identity"], *made["option_a"], *made["projection"], *made["preactivation"]) < ROUNDING


def test_a_block_by_finite_differences():
    """The same identity without autograd: central differences of H and of F at one block's input."""
    network, image = derivatives._small("A")
    block = next(b for b in derivatives._blocks(network) if b.line == "solid")
    module, x, _ = derivatives._at(network, block, image)
    step, base = 1e-6, x.flatten()

    def column(row: str, i: int) -> np.ndarray:
        ends = []
        for sign in (1, -1):
            moved = base.clone()
            moved[i] += sign * step
            note = Note(frozenset([row]))
            with torch.no_grad():
                module(moved.view(1, *x.shape), note)
            ends.append(note.outputs[row].flatten().numpy())
        return (ends[0] - ends[1]) / (2 * step)

    for i in (0, 17, 200):
        unit = np.zeros(len(base))
        unit[i] = 1.0
        assert np.abs(column(block.before, i) - column(block.branch, i) - unit).max() < 1e-6


def test_option_a_is_written_down_right():
    """Against the shortcut itself, on a random input."""
    network, image = derivatives._small("A")
    block = next(b for b in derivatives._blocks(network) if b.line == "dotted")
    module, x, _ = derivatives._at(network, block, image)
    assert torch.equal((derivatives._padding(module, x) @ x.flatten()), module.shortcut(x[None], Note()).flatten())


def test_the_constructions():
    assert derivatives.counter(None, None) == {"minus_identity": [0.0] * 3, "inactive_relu": [0.0] * 3}


class Bench:
    """Random images; "trained" weights are He weights with the last γ of each branch at 0: F = 0, so J_H = I."""

    def network(self, of, seed):
        return build(of.model, seed=seed, in_channels=1, image_size=8, widths=(4, 6, 8), zero_init=True).eval()

    def batch(self, of, seed, count, split="train"):
        draw = torch.Generator().manual_seed(seed)
        return torch.randn(count, 1, 8, 8, generator=draw), torch.zeros(count, dtype=torch.int64)


def test_trained_against_a_net_of_identities():
    found = derivatives.trained(net("cifar_resnet8"), Bench(), 1)
    assert found["small_trained"] == 0.0
    assert found["least_trained"] == pytest.approx(1.0)
    assert found["small_by_block_trained"] == [0.0]
    # H(x) = x after the ReLU of the stem: what is 0 there is inactive in the block
    network = Bench().network(net("cifar_resnet8"), 1).double()
    images = Bench().batch(None, 1, 128)[0][:4].double()
    with torch.no_grad():
        stem = network(images, names="all")[1]["relu1"]
    assert found["zero_rows_trained"] == pytest.approx(100.0 * (stem == 0).double().mean().item())
    # the initial net is built from the same spec and seed: the same block here
    assert found["small_initial"] == 0.0


def test_small_singular_values_against_numpy():
    network, image = derivatives._small("B")
    told = derivatives._spectra(network, image[None])
    module, x, seen = derivatives._at(network, (block := derivatives._blocks(network)[0]), image)
    values = np.linalg.svd(jacobian(module, x, block.before).numpy(), compute_uv=False)
    assert told["small_by_block"][0] == pytest.approx(100.0 * (values < 0.1).mean())
    assert told["zero_rows_by_block"][0] == pytest.approx(100.0 * (seen[block.before] <= 0).double().mean().item())
    assert len(told["small_by_block"]) == 4
    assert told["small"] == pytest.approx(np.mean(told["small_by_block"]))
    assert told["least"] <= values.min() * (1 + 1e-6)


# -- the verdicts


def judged(claim, folder, **measured):
    found = Shelf(folder)
    for name, figures in measured.items():
        found.measured(name.replace("_", "-"), figures)
    return found.judge(claim)


def test_the_sum_as_measured(tmp_path, made):
    found = judged(C4, tmp_path / "s", jacobians_blocks=made)
    assert found.verdict == "holds with a condition"
    assert [f.verdict for f in found.findings] == ["holds"] * 9
    assert "option A drops 75 %" in found.sentence.en


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"identity": [0.0, 2 * ROUNDING]}, "does not hold"),
        ({"inactive": [0.0], "projection_deviation": [0.0], "dropped": [0.0]}, "holds"),
        ({"inactive": [0.0], "projection_deviation": [0.0]}, "holds with a condition"),
        ({"identity": []}, "not run"),
    ],
)
def test_the_sum(tmp_path, made, change, verdict):
    assert judged(C4, tmp_path / "s", jacobians_blocks=made | change).verdict == verdict


@pytest.mark.parametrize(
    ("minus", "inactive", "verdict"),
    [
        ([0.0, 0.0], [0.0], "does not hold"),
        ([0.0, 1.0], [1.0], "holds with a condition"),
        ([1.0], [0.5], "holds"),
        ([], [0.0], "not run"),
    ],
)
def test_never_zero(tmp_path, minus, inactive, verdict):
    found = judged(C5, tmp_path / "s", jacobians_counter={"minus_identity": minus, "inactive_relu": inactive})
    assert found.verdict == verdict


def test_how_often_in_trained_nets(tmp_path):
    study = Shelf(tmp_path / "s")
    study.measured(COUNTER, derivatives.counter(None, None))
    keys = ("small_trained", "small_initial", "zero_rows_trained", "zero_rows_initial")
    for seed in range(3):
        study.measured(TRAINED, {k: 10.0 * i + seed for i, k in enumerate(keys)}, seed)
    found = study.judge(C5)
    assert found.verdict == "does not hold"
    assert [f.figure.mean for f in found.findings[2:]] == [1.0, 11.0, 21.0, 31.0]
    assert "In the trained 20-layer net 21 % of the rows (outputs) are 0." in found.sentence.en


def test_every_figure_that_is_read_is_made(tmp_path):
    study = Shelf(tmp_path / "s")
    study.measured(COUNTER, derivatives.counter(None, None))
    study.measured(TRAINED, derivatives.trained(net("cifar_resnet8"), Bench(), 0), 0)
    assert all(f.figure is not None for f in study.judge(C5).findings)


def test_form():
    assert C4.analytic
    assert C5.nets == (OF,)
    assert canonical(C5.nets)
    assert unanswered(C4) == unanswered(C5) == []
    assert [m.name for m in (*C4.measurements, *C5.measurements)] == [BLOCKS, COUNTER, TRAINED]
