"""C15 on written studies: the mean over layers, every verdict; and real probes from the loop."""

from dataclasses import replace
from statistics import mean

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

import reslab
from reslab.api.runs import train
from reslab.claims.evidence import net
from reslab.claims.experiments import responses
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.data.sources import load
from reslab.runs.recipes import recipe

(C15,) = responses.claims(DIGITS)
SHORT = replace(recipe("digits-smoke"), iterations=4, drops=(), eval_every=4, clean_every=4, probe_every=4)


def written(folder, residual, plain, spread=0.01) -> Shelf:
    """Layers lie around these levels, by depth; the probe before the last is another, and must not count."""
    shelf = Shelf(folder)
    for seed in range(3):
        for kind, levels in (("resnet", residual), ("plain", plain)):
            for depth, level in zip(DIGITS.depths, levels, strict=True):
                away = spread * (seed - 1) * depth
                last = {f"conv{i}": share * (level + away) for i, share in enumerate((0.5, 0.7, 1.8))}
                probes = [{"iteration": 0, "responses": {"conv1": 99.0}}, {"iteration": 400, "responses": last}]
                shelf.run(net(f"cifar_{kind}{depth}"), seed, 1.0, probes=probes)
    return shelf


@pytest.mark.parametrize(
    ("residual", "plain", "spread", "verdict"),
    [
        ((0.9, 0.7, 0.4), (1.0, 1.2, 1.5), 1e-3, HOLDS),
        ((0.9, 0.7, 0.4), (1.0, 0.9, 0.8), 1e-3, CONDITION),  # plain nets do not respond more
        ((1.1, 0.7, 0.4), (1.0, 1.2, 1.5), 1e-3, HOLDS),  # at 8 layers the residual one responds more: beside it
        ((1.1, 1.2, 1.3), (1.0, 0.9, 0.8), 1e-3, FAILS),
        ((0.9, 0.7, 0.4), (1.0, 1.2, 1.5), 0.02, UNDECIDED),
    ],
)
def test_verdicts(tmp_path, residual, plain, spread, verdict):
    found = written(tmp_path / "study", residual, plain, spread).judge(C15)
    assert found.verdict == verdict
    means, medians = ([f.figure.mean for f in found.findings[first::2]] for first in (0, 1))
    expected = [
        residual[2] - residual[0], residual[2] - plain[2], plain[2] - plain[0],
        residual[1] - plain[1], residual[0] - plain[0],
        residual[1] - residual[0], plain[1] - plain[0],
    ]  # fmt: skip
    assert means == pytest.approx(expected)
    assert medians == pytest.approx([0.7 * value for value in expected])
    assert found.findings[0].figure.n == 3


def test_first_layers_decide_the_mean_and_not_the_median(tmp_path):
    """Three layers of a deep plain net respond far more, the others less: more by the mean, less by the median."""
    shelf = Shelf(tmp_path / "study")
    for seed in range(3):
        for depth, layers in ((8, [1.0, 1.0, 1.0, 1.0]), (20, [1.0] * 4), (56, [5.0 + 0.01 * seed, 0.5, 0.5, 0.5])):
            for kind, share in (("plain", 1.0), ("resnet", 0.1 if depth == 56 else 0.9)):
                last = {f"conv{i}": share * value for i, value in enumerate(layers)}
                shelf.run(net(f"cifar_{kind}{depth}"), seed, 1.0, probes=[{"iteration": 400, "responses": last}])
    found = shelf.judge(C15)
    assert [f.verdict for f in found.findings[4:6]] == [HOLDS, FAILS]
    assert found.verdict == CONDITION


def test_not_run(tmp_path):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C15).verdict == NOT_RUN
    for of in C15.nets:  # trained by a recipe without probes
        shelf.run(of, 0, 1.0)
    assert shelf.judge(C15).verdict == NOT_RUN


def slow_mean(out) -> float:
    """Mean of the stds of all BN outputs (option A has no other BN) on the first 128 training images, with hooks."""
    network = reslab.load(out).network
    train = load("digits").train
    pixels = torch.tensor(train.images).double()
    pixels = (pixels - pixels.mean(0)) / (pixels - pixels.mean(0)).std(correction=0)
    found = []
    for module in network.double().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda m, args, out: found.append(out.std(correction=0).item()))
    with torch.no_grad():
        network(pixels[:128].permute(0, 3, 1, 2))
    return sum(found) / len(found)


def test_a_real_run_against_hooks(tmp_path):
    """Trained for 4 iterations, probed by the loop, read back; measured again from the checkpoint."""
    shelf = Shelf(tmp_path / "study", replace(DIGITS, recipe=SHORT, seeds=(3,)))
    train("cifar_resnet8", recipe=SHORT, seed=3, out=shelf.folder / "run", tell=lambda event: None)
    found = responses.response("resnet", 8, mean).read(shelf.evidence())
    assert found == {3: pytest.approx(slow_mean(shelf.folder / "run"), rel=1e-4)}


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56)])
def test_form(depths):
    (claim,) = responses.claims(replace(DIGITS, depths=depths))
    assert canonical(claim.nets)
    assert {n.model for n in claim.nets} == {f"cifar_{k}{d}" for k in ("plain", "resnet") for d in depths}
    assert unanswered(claim) == []
    assert [s.role for s in claim.statements].count("main") == 6
