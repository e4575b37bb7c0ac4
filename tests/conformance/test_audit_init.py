"""The test of initial weights: it passes random samples of the rule, and fails what is another distribution."""

import pytest
import torch
from torch import nn

from benchmarks.audited import CIFAR, ResNet
from reslab.conformance.audit import audit


def convolutions(net):
    return [part for part in net.modules() if isinstance(part, nn.Conv2d)]


def drawn(fill, bias=False):
    net = ResNet(**CIFAR, shortcut="A", bias=bias)
    for conv in convolutions(net):
        fill(conv.weight)
        if bias:
            nn.init.zeros_(conv.bias)
    return net


def row(net):
    return audit(net, "cifar_resnet20")["init"]


def test_every_seed_of_the_rule_passes():
    for seed in range(10):
        torch.manual_seed(seed)
        mode = ("fan_in", "fan_out")[seed % 2]
        found = row(drawn(lambda w, mode=mode: nn.init.kaiming_normal_(w, mode=mode, nonlinearity="relu")))
        assert not found.departs, (seed, found.found)
        assert found.found.startswith(f"Gaussian, variance 2/{mode.replace('_', ' ')}; BN γ 1, β 0; head variance 0.3")


DISTRIBUTIONS = {
    "uniform of the right variance": (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
                                      "uniform, variance 2/fan in"),
    "half the variance": (lambda w: nn.init.normal_(w, 0, (1 / w[0].numel()) ** 0.5), "Gaussian, variance 1/fan in"),
    "Xavier": (nn.init.xavier_normal_, "Gaussian, variance from 0.9"),
    "a standard deviation for all": (lambda w: nn.init.normal_(w, 0, 0.01), "Gaussian, variance from 0.0"),
    "a cut Gaussian": (lambda w: nn.init.trunc_normal_(w, 0, s := (2 / w[0].numel()) ** 0.5, -2 * s, 2 * s),
                       "neither Gaussian nor uniform"),
    "orthogonal": (nn.init.orthogonal_, "Gaussian"),
    "zeros": (nn.init.zeros_, "constant weights in 19 of 19 convolutions (conv.weight)"),
}  # fmt: skip


@pytest.mark.parametrize(("fill", "words"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_other_distributions(fill, words):
    torch.manual_seed(0)
    found = row(drawn(fill))
    assert found.departs
    assert words in found.found


def he_normal(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


@torch.no_grad()
def larger(net):
    convolutions(net)[7].weight.mul_(1.3)


@torch.no_grad()
def shifted(net):
    convolutions(net)[7].weight.add_(0.02)


@torch.no_grad()
def other_fan(net):
    for conv in convolutions(net)[:7]:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


@torch.no_grad()
def set_norm(net, name, value):
    net.blocks[3].branch[1].get_parameter(name).fill_(value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (larger, "but not in 1 of 19 convolutions (blocks.3.branch.0.weight: 3."),
        (shifted, "but not in 1 of 19 convolutions (blocks.3.branch.0.weight"),
        (other_fan, "but not in 1 of 19 convolutions (conv.weight"),
        (lambda net: set_norm(net, "weight", 0.5), "γ not 1 in 1 layer"),
        (lambda net: set_norm(net, "weight", 0.0), "γ not 1 in 1 layer"),
        (lambda net: set_norm(net, "bias", 0.5), "β not 0 in 1 layer"),
        (lambda net: nn.init.zeros_(net.blocks[3].branch[4].weight), "last γ 0 in 1 block"),
    ],
)
def test_one_layer(change, words):
    torch.manual_seed(0)
    net = drawn(he_normal)
    change(net)
    found = row(net)
    assert words in found.found
    assert found.departs


def test_biases():
    torch.manual_seed(0)
    net = drawn(he_normal, bias=True)
    assert not row(net).departs
    nn.init.ones_(net.conv.bias)
    assert "biases not 0" in row(net).found


@pytest.mark.parametrize("name", ["running_mean", "running_var", "num_batches_tracked"])
def test_a_trained_net_is_not_judged(name):
    net = ResNet(**CIFAR)
    assert row(net).departs
    net.norm.get_buffer(name).add_(1)
    assert row(net).found == "trained, not judged"
    assert not row(net).departs


def test_without_statistics_only_what_fits_is_judged():
    torch.manual_seed(0)
    net = drawn(he_normal)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = part.running_var = part.num_batches_tracked = None
    assert row(net).found.startswith("Gaussian, variance 2/fan in")
    larger(net)
    assert row(net).found.startswith("not judged")
