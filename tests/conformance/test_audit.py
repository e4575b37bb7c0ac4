"""The audit against what was written down before it, and against other libraries' figures."""

import random
import sys

import numpy as np
import pytest
import torch
import torchvision
from cases import some
from torch import nn

from benchmarks.audited import CIFAR, NETS, ResNet, built, he
from benchmarks.audits import EXPECTED, PAGES, table_row
from reslab.conformance.audit import ITEMS, audit
from reslab.errors import UserError
from reslab.nets.cost import cost
from reslab.nets.model import build
from reslab.nets.names import listed, spec_of

CONVOLUTIONAL = [name for name in listed() if not name.startswith("mlp_")]
QUICK = ("cifar_resnet8", "cifar_plain20", "resnet18", "resnet50", "plain34")


def test_every_expected_net_is_built():
    assert NETS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", some(EXPECTED, quick=9))
def test_what_was_expected(name):
    module, expected = built(name), EXPECTED[name]
    result = audit(module, expected["reference"])
    assert sorted(result.departures) == sorted(expected["departs"])
    for item, words in expected.get("found", {}).items():
        assert words in result[item].found
    because = expected.get("because", {})
    for item in ("parameters", "macs"):
        row = result[item]
        assert list(row.because) == because.get(item, [])
        assert (row.found == row.paper.split()[0]) == (item not in because)
    assert all(not row.because for row in result.rows if row.item not in ("parameters", "macs"))
    assert result["parameters"].found == f"{sum(p.numel() for p in module.parameters()):,}"
    for language, page in PAGES.items():
        assert table_row(name, result, language) in page.read_text(encoding="utf-8").splitlines()


def test_an_audit_in_plain_types():
    fields = audit(NETS["option_b"](), "cifar_resnet20").to_dict()
    assert fields["departures"] == ["shortcut"]
    assert (fields["reference"], fields["reference_was_given"]) == ("cifar_resnet20", True)
    assert (fields["image_size"], fields["classes"]) == (32, 10)
    assert tuple(row["item"] for row in fields["rows"]) == ITEMS
    assert {"item", "paper", "found", "departs", "because"} == set(fields["rows"][-1])


def quick(names, chosen):
    return [pytest.param(name, marks=[] if name in chosen else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("name", quick(CONVOLUTIONAL, QUICK))
def test_our_own_nets(name):
    """Multiply-adds are those of the plan, and each net is its own nearest reference, except VGG."""
    result = audit(build(name), name if name == "vgg19" else None)
    assert result["macs"].found == f"{cost(spec_of(name)).macs:,}"
    assert (result.reference, result.departures) == (name, ())
    assert result.was_given == (name == "vgg19")


@pytest.mark.parametrize(
    "name", quick(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), ("resnet18", "resnet50"))
)
def test_figures_that_torchvision_publishes(name):
    facts = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    result = audit(torchvision.models.get_model(name))
    assert result.reference == name
    assert result["parameters"].found == f"{facts['num_params']:,}"
    assert round(int(result["macs"].found.replace(",", "")) / 1e9, 3) == facts["_ops"]


@pytest.mark.slow
def test_two_libraries_with_the_same_net():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000))
    rows = [audit(module).rows for module in (theirs, torchvision.models.resnet50())]
    for a, b in zip(*rows, strict=True):
        assert (a.item, a.paper, a.departs, a.because) == (b.item, b.paper, b.departs, b.because)
        assert a.found.split(":")[0].split("; head")[0] == b.found.split(":")[0].split("; head")[0]  # names of layers


class Restless(ResNet):
    """Draws random numbers, counts its calls, and looks at its values, so that shapes alone are not enough."""

    def __init__(self):
        super().__init__(**CIFAR)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return super().forward(x * (1.0 if float(x.mean()) < noise + 100 else 2.0))


@pytest.mark.parametrize("make", [Restless, lambda: he(ResNet(**CIFAR, head=[nn.Dropout(0.5)]))])
def test_an_audit_changes_nothing(make):
    module = make().train()
    module.blocks[1].eval()
    modes = [part.training for part in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()
    audit(module, "cifar_resnet20")
    assert [part.training for part in module.modules()] == modes
    after = module.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tobytes() == states[1]
    assert torch.get_rng_state().equal(states[2])


def test_a_net_that_looks_at_its_values():
    assert audit(Restless(), "cifar_resnet20,shortcut=B").departures == ("init",)


class Returns(nn.Module):
    """A convolution and any result."""

    def __init__(self, result):
        super().__init__()
        self.conv, self.result = nn.Conv2d(3, 4, 3), result

    def forward(self, x):
        return self.result(self.conv(x))


@pytest.fixture
def usual_recursion():
    """Python's own limit of recursion, which other tests of the process may have raised."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(limit)


class Sums(nn.Module):
    """The sum of the outputs of 400 convolutions in a row."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in range(400))

    def forward(self, x):
        total = x
        for conv in self.convs:
            total = total + (x := conv(x))
        return total.mean((2, 3))


def raises(x):
    raise RuntimeError("no such size\nsecond line")


@pytest.mark.parametrize(
    ("make", "reference", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), None, "no convolution"),
        (lambda: 3, None, "int is no torch.nn.Module"),
        (lambda: build("cifar_resnet8", device="meta"), None, "on the meta device"),
        (lambda: nn.LazyConv2d(4, 3), None, "lazy layers"),
        (lambda: Returns(lambda x: x), None, "a tensor of shape [1, 4, 30, 30]"),
        (lambda: Returns(lambda x: None), None, "returns NoneType"),
        (lambda: Returns(raises), None, "RuntimeError: no such size; give"),
        (lambda: Returns(lambda x: torch.ones(1, 5)), None, "cannot be followed back"),
        (Sums, None, "nested too deeply"),
        (lambda: build("cifar_resnet8"), "resnet19", "unknown model 'resnet19'"),
        (lambda: build("cifar_resnet8"), "mlp_resnet4", "has no convolutions"),
        (lambda: build("cifar_resnet8"), "cifar_resnet8,shortcut=D", "none of A, B, C"),
        (lambda: build("cifar_resnet8"), "cifar_resnet8,wide", "'wide' is no switch"),
        (lambda: build("cifar_resnet8"), "cifar_resnet8,widths=a", "must be whole numbers"),
        (lambda: build("cifar_resnet8"), "cifar_resnet8,zero_init=2", "must be true or false"),
    ],
)
def test_what_cannot_be_audited(make, reference, words, usual_recursion):
    with pytest.raises(UserError) as error:
        audit(make(), reference)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


class OneConvolution(nn.Module):
    """No block at all; `train` returns nothing, and the logits are in a dictionary."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)

    def train(self, mode=True):
        self.training = mode

    def forward(self, x):
        return {"loss": None, "logits": self.fc(self.conv(x).mean((2, 3)))}


def test_a_net_without_blocks():
    result = audit(OneConvolution())
    assert result["depth"].found == "2 weight layers, blocks none"
    assert {"depth", "norm", "activation", "bias"} <= set(result.departures)
