"""Layer kinds: one table, the same keys on both sides, no unknown kind, no parameter left unset."""

import math
from dataclasses import replace

import pytest
import torch
from test_counts import VARIANTS
from torch import nn

from reslab.engines.inference import Inference
from reslab.nets import kinds, modules
from reslab.nets.kinds import KINDS, Kind
from reslab.nets.model import build, initialise
from reslab.nets.modules import MAKERS, Maker
from reslab.nets.names import listed, spec_of
from reslab.nets.plan import _Draft, plan
from reslab.nets.row import Row

SWITCHED = [
    ("cifar_resnet8", {"zero_init": True}),
    ("cifar_resnet8", {"fan": "out", "pad_at": "both"}),
    ("cifar_resnet8", {"padding": "circular"}),
    ("vgg19", {"image_size": 32, "classes": 10, "widths": (4, 4, 8, 8, 8), "batch_norm": True}),
]


def rows_of_all():
    specs = [spec_of(name) for name in listed()] + [spec_of(name, **switches) for name, switches in VARIANTS + SWITCHED]
    return [row for spec in specs for row in plan(spec)]


def test_both_tables_have_the_same_keys_and_every_kind_is_used():
    assert KINDS.keys() == MAKERS.keys() == {row.kind for row in rows_of_all()}


def test_an_unknown_kind_is_an_error_when_its_row_is_made():
    with pytest.raises(ValueError, match=r"layer conv2_1\.se: unknown kind 'se'; add it to KINDS in nets/kinds\.py"):
        Row("conv2_1.se", "se", "conv2_x")
    with pytest.raises(ValueError, match="layer conv1: unknown kind 'Conv'"):
        replace(plan(spec_of("cifar_resnet8"))[0], kind="Conv")
    with pytest.raises(ValueError, match="layer squeeze: unknown kind 'se'"):
        _Draft(spec_of("cifar_resnet8")).add("squeeze", "se")


def test_what_has_parameters_is_initialised_and_nothing_else():
    """The torch-free counts against the modules' own parameters, row by row."""
    for row in {replace(row, name="layer", part="", block="", path="", line="") for row in rows_of_all()}:
        with torch.device("meta"):
            module = MAKERS[row.kind].module(row, spec_of("cifar_resnet8"))
        assert sum(p.numel() for p in module.parameters()) == row.parameters, row
        assert bool(MAKERS[row.kind].initialise) == bool(row.parameters), row


def families_and_switches():
    """Every family and switch; ImageNet nets narrow, as the test is about names of parameters, not their number."""
    plain = [("cifar_plain8", {}), ("resnet18", {}), ("mlp_plain4", {}), SWITCHED[-1]]
    assert {spec_of(name).family for name in listed()} == {spec_of(name).family for name, _ in plain}
    others = SWITCHED[:-1] + [case for case in VARIANTS if case[0] != "vgg19"]
    narrow = {"widths": (4, 8, 8, 12)}
    return [(name, narrow | kw if spec_of(name, **kw).family == "imagenet" else kw) for name, kw in plain + others]


@pytest.mark.parametrize(("name", "switches"), families_and_switches())
def test_initialise_sets_every_parameter(name, switches):
    """Filled with NaN before, and equal to a second net's bits after."""
    net = build(name, seed=3, **switches)
    drawn = [p.detach().clone() for p in net.parameters()]
    for p in net.parameters():
        nn.init.constant_(p, math.nan)
    initialise(net, 3)
    assert all(p.isfinite().all() for p in net.parameters())
    assert all(torch.equal(p, before) for p, before in zip(net.parameters(), drawn, strict=True))


@pytest.mark.parametrize("at", ["", "head", "conv3_1.branch", "conv3_1.branch.conv1"])
def test_a_parameter_that_no_kind_sets_is_refused(at):
    net = build("cifar_resnet8")
    net.get_submodule(at).extra = nn.Parameter(torch.zeros(3))
    path = f"{at}.extra" if at else "extra"
    with pytest.raises(ValueError, match=f"cifar_resnet8: {path} not set by initialise.*nets/modules.py"):
        initialise(net, 0)


def test_a_parameter_set_in_part_is_refused(monkeypatch):
    def half(module, row, variance, generator):
        module.weight[: len(module.weight) // 2] = 1
        module.bias.zero_()

    monkeypatch.setitem(modules.MAKERS, "bn", replace(MAKERS["bn"], initialise=half))
    with pytest.raises(ValueError, match=r"cifar_resnet8: stem\.bn1\.weight, conv2_1\.branch\.bn1\.weight, "):
        build("cifar_resnet8")


class Scale(nn.Module):
    """A factor for each channel, drawn by its own constructor from torch's global generator."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels))

    def forward(self, x):
        return x * self.weight[:, None, None]


@pytest.fixture
def scaled(monkeypatch):
    """A kind "scale" added to both tables, laid behind every second BN of a block; returns its setter's place."""

    def add(initialise):
        monkeypatch.setitem(kinds.KINDS, "scale", Kind(word="scale", parameters=lambda row: row.c_out))
        monkeypatch.setitem(modules.MAKERS, "scale", Maker(lambda row, spec: Scale(row.c_out), initialise))
        before = _Draft.add_bn_act

        def add_bn_act(draft, number, act=True, zero=False):
            before(draft, number, act, zero)
            if number == 2:
                draft.add("scale", "scale")

        monkeypatch.setattr(_Draft, "add_bn_act", add_bn_act)
        plan.cache_clear()

    yield add
    monkeypatch.undo()
    plan.cache_clear()


def test_a_new_kind_is_counted_described_and_drawn_alike_from_its_seed(scaled):
    from reslab.show.terminal.walk import describe_text

    def ones_and_a_draw(module, row, variance, generator):
        module.weight.copy_(1 + torch.randn(row.c_out, generator=generator))

    count = sum(row.parameters for row in plan(spec_of("cifar_resnet8")))
    scaled(ones_and_a_draw)
    one, other = build("cifar_resnet8", seed=0), build("cifar_resnet8", seed=0)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    assert sum(p.numel() for p in one.parameters()) == count + 16 + 32 + 64
    assert "block   conv → BN → relu → conv → BN → scale → + → relu" in describe_text(one.spec)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_new_kind_is_not_folded_as_one_without_weights(scaled, precision):
    """The bound of a layer that is unknown would be taken as its input's: an overflow could be missed."""
    scaled(lambda module, row, variance, generator: module.weight.fill_(100.0))
    net = build("cifar_resnet8").eval()
    images = torch.randn(3, 3, 32, 32)
    inference = Inference(net, precision)
    assert inference.fallback == "not folded, as the bounds of its scale layers are unknown: slower, not broken"
    with torch.no_grad():
        expected = net(images)
    near = 0.1 * expected.abs().max() if precision == "bf16" else 0.0
    assert (inference(images) - expected).abs().max() <= near


def test_a_new_kind_without_initial_weights_is_refused(scaled):
    scaled(None)
    with pytest.raises(ValueError, match=r"conv2_1\.branch\.scale\.weight.* not set by initialise"):
        build("cifar_resnet8", seed=0)
