"""Growth of gradients and activations against hooks, in float64 from the raw pixels on; what is read of probes."""

import math
from statistics import median

import pytest
import torch
from shelf import DIGITS, Shelf
from torch.nn import functional

from reslab.api.bench import StudyBench
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import decades
from reslab.claims.experiments.decades import MOST, apart, circular_start, in_training, key, size, variants
from reslab.claims.quantity import measurement
from reslab.data.sources import load
from reslab.nets.model import build
from reslab.runs.recipes import recipe

PLAIN = net("cifar_plain56")


BENCH = StudyBench("digits", {}, lambda: load("digits"))


def wrapped(layer: torch.nn.Conv2d):
    """A 3x3 convolution of what its rows and columns would meet beyond the edge: the other side of the map."""

    def forward(x):
        x = torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2)
        return functional.conv2d(torch.cat([x[..., -1:], x, x[..., :1]], -1), layer.weight, stride=layer.stride)

    return forward


def slow(
    kind: str, depth: int, batch_norm: bool, activation: str, seed: int, wrap: bool = False
) -> tuple[float, float]:
    """Decades of gradient and activation, with hooks instead of named outputs, in float64 from the raw pixels on."""
    train = load("digits").train
    pixels = torch.tensor(train.images).double()
    pixels = (pixels - pixels.mean(0)) / (pixels - pixels.mean(0)).std(correction=0)
    images, labels = pixels[:128].permute(0, 3, 1, 2), torch.tensor(train.labels[:128])
    network = build(
        f"cifar_{kind}{depth}", seed=seed, in_channels=1, image_size=8, batch_norm=batch_norm, activation=activation
    ).double().train()  # fmt: skip
    for layer in network.modules():
        if wrap and isinstance(layer, torch.nn.Conv2d):
            assert layer.kernel_size == (3, 3)
            layer.forward = wrapped(layer)
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
    found = decades.initial(setting, [variant], "zeros", BENCH, 3)
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


def test_circular_padding_against_hooks():
    """The committed measurement of a setting: its deepest plain and residual net, with BN and without."""
    setting = Setting("digits", recipe("digits-study"), (3,), (8, 14))
    found = decades.circular(setting).make(BENCH, 3)
    cases = [(kind, 14, bn, "relu") for kind in ("plain", "resnet") for bn in (True, False)]
    assert set(found) == {key(v, w) for v in cases for w in ("gradient", "activation", "gradients", "activations")}
    for variant in cases:
        gradient, activation = slow(*variant, seed=3, wrap=True)
        assert found[key(variant, "gradient")] == pytest.approx(gradient, abs=2e-3)
        assert found[key(variant, "activation")] == pytest.approx(activation, abs=5e-3)
    zeros = slow("plain", 14, False, "relu", seed=3)
    assert abs(found[key(cases[1], "activation")] - zeros[1]) > 0.1  # zeros take away signal: another figure


def test_the_figures_are_named_for_what_they_are(tmp_path):
    """Vanished counts as exploded does in a distance; the two paddings are two measurements."""
    shelf = Shelf(tmp_path / "s")
    for seed, value in ((0, -4.0), (1, 3.0)):
        shelf.measured(decades.INITIAL, {"plain56-nobn-relu.gradient": value}, seed)
        shelf.measured(decades.CIRCULAR, {"plain56-nobn-relu.gradient": 10 * value}, seed)
    found = shelf.evidence()
    assert size(decades.at_start("plain", 56, False)).read(found) == {0: 4.0, 1: 3.0}
    assert circular_start("plain", 56, False).read(found) == {0: -40.0, 1: 30.0}
    assert measurement(decades.INITIAL, "plain56-bn-relu.gradient").read(found) == {}


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,), (decades.FAR,), (8, decades.FAR)])
def test_no_variant_is_measured_twice(depths):
    every = variants(Setting("digits", DIGITS.recipe, (0,), depths))
    assert len(set(every)) == len(every)


# -- probes


def line(value: float) -> dict:
    return {"gradients": {"conv2_1": 10.0**value, "conv3_1": 7.0, "conv4_1": 1.0}}


def test_the_median_of_training_and_its_end(tmp_path):
    shelf = Shelf(tmp_path / "s")
    shelf.run(PLAIN, 0, probes=[line(v) for v in (6.9, -4.0, 1.0, 2.0, -0.5)])  # the start does not count
    found = shelf.evidence()
    assert in_training(PLAIN).read(found) == pytest.approx({0: median([4.0, 1.0, 2.0, 0.5])})
    assert in_training(PLAIN, max).read(found) == pytest.approx({0: 4.0})


def test_a_probe_that_says_nothing_is_left_out(tmp_path):
    found = Shelf(tmp_path / "s")
    none = [{"gradients": {"a": None, "b": 1.0}}, {"gradients": {"a": 1.0, "b": 0.0}}, {"gradients": {}}]
    found.run(PLAIN, 0, probes=[line(1.0), *none, line(2.0)])
    found.run(PLAIN, 1, probes=[line(1.0), *none])
    found.run(PLAIN, 2, probes=[line(1.0), {"gradients": {"a": 0.0, "b": 1.0}}])  # vanished altogether
    assert in_training(PLAIN).read(found.evidence()) == pytest.approx({0: 2.0, 2: MOST})
