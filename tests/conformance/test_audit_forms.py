"""The same layer written in several ways is found to be the same; what differs is found wherever it hides."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from benchmarks.audited import CIFAR, ResNet, he
from reslab.conformance.audit import audit
from reslab.nets.model import build


def zeros_after(x, channels):
    zeros = torch.zeros(x.shape[0], channels - x.shape[1], *x.shape[2:], device=x.device)
    return torch.cat((x, zeros), 1)


def own_copy(x, channels, stride):
    x = F.avg_pool2d(x, 1, stride)
    return torch.cat((x, x.mul(0)), 1)


def assigned(x, channels, stride):
    x = x[:, :, ::stride, ::stride]
    whole = torch.zeros(x.shape[0], channels, *x.shape[2:], device=x.device)
    whole[:, : x.shape[1]] = x
    return whole


PADDINGS = {
    "slice, cat": lambda x, channels, stride: zeros_after(x[..., ::stride, ::stride], channels),
    "pooling, both sides": lambda x, c, stride: F.pad(F.max_pool2d(x, 1, stride), (0, 0, 0, 0, c // 4, c // 4)),
    "the map times 0": own_copy,
    "assignment": assigned,
}


@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
def test_option_a_in_other_words(padding):
    result = audit(he(ResNet(**CIFAR, shortcut=padding)), "cifar_resnet20")
    assert result.departures == ()
    assert "if the shape changes: zero channels" in result["shortcut"].found


def test_option_a_with_averages():
    averaged = audit(he(ResNet(**CIFAR, shortcut=lambda x, c, s: zeros_after(F.avg_pool2d(x, s), c))), "cifar_resnet20")
    assert averaged.departures == ("shortcut",)
    assert "2x2 average pooling, zero channels" in averaged["shortcut"].found


class Clamp(nn.Module):
    def forward(self, x):
        return x.clamp(min=0)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Overwritten(nn.Module):
    def forward(self, x):
        other = x.clone()
        other.view(-1).copy_(F.relu(x).flatten())
        return other


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (Clamp, "relu"),
        (Overwritten, "relu"),
        (lambda: nn.ReLU(inplace=True), "relu"),
        (nn.ReLU6, "relu6"),
        (Swish, "silu"),
    ],
)
def test_activations(act, found):
    result = audit(he(ResNet(**CIFAR, shortcut="A", act=act)), "cifar_resnet20")
    assert result["activation"].found == found
    assert result.departures == (() if found == "relu" else ("activation",))


class OnlyInTraining(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.3) if self.training else x


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (nn.Dropout(0.0), "nothing"),
        (nn.Dropout(0.2, inplace=True), "dropout 0.2 before the head"),
        (OnlyInTraining(), "dropout 0.3 before the head"),
        (nn.Dropout1d(0.1), "channel dropout 0.1 before the head"),
        (timm.layers.DropPath(0.1), "stochastic depth before the head"),
        (torchvision.ops.StochasticDepth(0.1, "row"), "stochastic depth before the head"),
        (nn.Softmax(1), "softmax"),
    ],
)
def test_dropout(layer, found):
    """In evaluation mode most of it leaves no trace."""
    result = audit(he(ResNet(**CIFAR, shortcut="A", head=[layer])), "cifar_resnet20")
    assert result["extra"].found == found
    assert result.departures == (("extra",) if found != "nothing" else ())


class Wrapped(nn.Module):
    """A net with the normalisation of its images and the softmax inside."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.ones(3, 1, 1))

    def forward(self, x):
        return F.log_softmax(self.net((x / 255 - self.mean) / self.mean), 1)


def test_the_normalisation_of_images_and_the_softmax_are_no_layers():
    assert audit(Wrapped(build("cifar_resnet8")), "cifar_resnet8").departures == ()


def test_a_projection_without_bn():
    net = he(ResNet(**CIFAR))
    net.blocks[3].projection[1] = nn.Identity()
    result = audit(net, "cifar_resnet20,shortcut=B")
    assert result.departures == ("order",)
    assert result["order"].found.endswith("; projections conv")
    assert result["parameters"].because == ("order",)


def test_the_branch_has_the_larger_kernel_if_both_paths_have_a_layer():
    result = audit(build("cifar_resnet20", block="single", shortcut="C"), "cifar_resnet20,shortcut=C")
    assert result.departures == ("block",)
    assert (result["block"].found, result["shortcut"].found) == ("3x3", "1x1 projection")


class LongSkip(nn.Sequential):
    def forward(self, x):
        return super().forward(x) + x


def test_a_shortcut_over_blocks():
    net = he(ResNet(**CIFAR, shortcut="A"))
    net.blocks = nn.Sequential(net.blocks[0], LongSkip(*net.blocks[1:3]), *net.blocks[3:])
    result = audit(net, "cifar_resnet20")
    assert result.departures == ("extra",)
    assert result["extra"].found == "shortcut over 2 blocks"
    assert result["depth"].found == "20 weight layers, blocks 3+3+3"


def changed(change):
    """An 8-layer net of ours, changed in one place."""
    net = build("cifar_resnet8", zero_init=False)
    change(net)
    return net


def set_layer(path, layer):
    def change(net):
        parent, _, name = path.rpartition(".")
        setattr(net.get_submodule(parent), name, layer)

    return change


class Shifted(nn.Conv2d):
    """A residual factor."""

    def forward(self, x):
        return super().forward(x) * 0.1


CONV = "conv3_1.branch.conv2"
CHANGES = {
    "a bias": (set_layer(CONV, nn.Conv2d(32, 32, 3, padding=1)), {"bias"}, "bias", "1 of 7 convolutions"),
    "groups": (set_layer(CONV, nn.Conv2d(32, 32, 3, padding=1, groups=4, bias=False)), {"groups"}, "groups",
               "4 groups (1 convolution)"),
    "a kernel": (set_layer(CONV, nn.Conv2d(32, 32, 5, padding=2, bias=False)), {"block"}, "block",
                 "3x3, 5x5 (1 block)"),
    "dilation": (set_layer(CONV, nn.Conv2d(32, 32, 3, padding=2, dilation=2, bias=False)), {"block"}, "block",
                 "3x3 dilated by 2"),
    "a norm": (set_layer("conv3_1.branch.bn2", nn.GroupNorm(4, 32)), {"norm"}, "norm", "group norm (1 layer)"),
    "no norm": (set_layer("conv3_1.branch.bn2", nn.Identity()), {"order"}, "order",
                "conv BN relu conv + relu in 1 of 3 blocks"),
    "no statistics": (set_layer("stem.bn1", nn.BatchNorm2d(16, track_running_stats=False)), {"norm"}, "norm",
                      "batch norm without moving statistics"),
    "one activation": (set_layer("conv3_1.branch.relu1", nn.Tanh()), {"activation"}, "activation", "tanh (1 layer)"),
    "a last ReLU less": (set_layer("conv4_1.after.relu", nn.Identity()), {"order"}, "order",
                         "conv BN relu conv BN + in 1 of 3 blocks"),
    "a stem without ReLU": (set_layer("stem.relu1", nn.Identity()), {"order"}, "order", "; stem conv BN"),
    "a reflected edge": (set_layer(CONV, nn.Conv2d(32, 32, 3, padding=1, padding_mode="reflect", bias=False)),
                         {"extra"}, "extra", "reflect padding"),
    "a factor": (set_layer(CONV, Shifted(32, 32, 3, padding=1, bias=False)), {"extra"}, "extra", "times 0.1"),
    "a head without bias": (set_layer("head.fc", nn.Linear(64, 10, bias=False)), {"head"}, "head", "without bias"),
    "two linear layers": (set_layer("head.fc", nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))),
                          {"depth", "head"}, "head", "linear layer, relu, linear layer"),
    "maximum": (set_layer("head.gap", nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())), {"extra", "head"}, "extra",
                "global maximum"),
    "a bound": (set_layer("stem.conv1", nn.Conv2d(3, 16, 3, bias=False)), {"stem"}, "stem", "30x30"),
    "a norm in the head": (set_layer("head.fc", nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 10))), {"head"},
                           "head", "global average, batch norm, linear layer"),
    "unused": (lambda net: net.add_module("spare", nn.Linear(3, 3)), {"extra"}, "extra", "12 parameters that"),
    "no γ": (set_layer("stem.bn1", nn.BatchNorm2d(16, affine=False)), {"parameters"}, "parameters",
             "unexplained: norm"),
    "tied weights": (lambda net: setattr(net.conv2_1.branch.conv2, "weight", net.conv2_1.branch.conv1.weight),
                     {"parameters"}, "parameters", "unexplained: branch"),
    "weight norm": (lambda net: nn.utils.parametrizations.weight_norm(net.conv3_1.branch.conv2), {"extra"},
                    "extra", "weights that are computed from others"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "departs", "item", "words"), CHANGES.values(), ids=CHANGES)
def test_one_change(change, departs, item, words):
    result = audit(changed(change), "cifar_resnet8")
    assert words in result[item].found
    assert set(result.departures) - {"init"} == departs  # a new layer has torch's own weights


def test_a_concatenating_net():
    result = audit(torchvision.models.densenet121())
    assert "concatenation (58)" in result["extra"].found
    assert result["depth"].found.startswith("121 weight layers")


def test_a_net_without_additions_of_another_depth():
    result = audit(build("cifar_plain14"), "cifar_resnet20")
    assert result.departures == ("depth", "shortcut")
    assert result["macs"].because == ("depth",)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_other_wrappings():
    net = build("cifar_resnet8")
    assert audit(torch.compile(net)).departures == ()
    assert audit(torch.jit.script(torchvision.models.resnet18()), "resnet18").departures == ()
    assert audit(nn.DataParallel(net), "cifar_resnet8").departures == ()
