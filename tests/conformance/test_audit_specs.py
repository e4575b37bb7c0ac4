"""Any network of ours against itself and against the paper's: exactly the switches that differ depart."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reslab.conformance import reference
from reslab.conformance.audit import audit
from reslab.errors import UserError
from reslab.nets.cost import cost
from reslab.nets.model import build
from reslab.nets.names import name_of, spec_of
from reslab.nets.plan import plan

NAMES = ("cifar_resnet8", "cifar_plain8", "cifar_resnet20", "cifar_plain14", "resnet18", "resnet50", "plain34")
FREE = {  # switches and their values, the paper's first
    "stride_in": ("1x1", "3x3"),
    "order": ("post", "pre"),
    "activation": ("relu", "tanh", "sigmoid", "identity"),
    "downsample": ("stride", "pool"),
    "batch_norm": (True, False),
    "zero_init": (False, True),
    "fan": ("in", "out"),
    "padding": ("zeros", "circular"),
}


@st.composite
def specs(draw):
    name = draw(st.sampled_from(NAMES))
    switches = {key: draw(st.sampled_from((*values[:1] * 3, *values))) for key, values in FREE.items()}
    switches["stem"] = draw(st.sampled_from(("3x3", "7x7")))
    if "resnet" in name:
        switches["shortcut"] = draw(st.sampled_from("ABC"))
        switches["pad_at"] = draw(st.sampled_from(("end", "both")))
    if name == "cifar_resnet20":
        switches["block"] = draw(st.sampled_from(("basic", "bottleneck", "single", "triple")))
    try:
        spec = spec_of(name, **switches)
        if not name.startswith("cifar"):
            spec = replace(spec, widths=(8, 16, 32, 64), image_size=64, classes=7)
        elif draw(st.booleans()):
            spec = replace(spec, widths=draw(st.sampled_from(((16, 16, 64), (8, 24, 40)))))
        plan(spec)
    except UserError:
        return spec_of(name)
    return spec


def orders_are_one(spec):
    """Without BN, a ReLU after the addition is one before both paths, if no later block has an identity."""
    lengths = {len(stage) for stage in spec.blocks}
    projects = spec.shortcut == "C" or (spec.shortcut == "B" and lengths == {1})
    return not spec.batch_norm and (spec.activation == "identity" or projects)


def departing(spec, paper):
    """The items whose switches differ between two specs of one depth."""
    items = set()
    residual = spec.residual and paper.residual
    if spec.residual != paper.residual or (residual and spec.shortcut != paper.shortcut):
        items.add("shortcut")
    if spec.order != paper.order and residual and not orders_are_one(spec):
        items.add("order")
    has_bottleneck = any("bottleneck" in stage for stage in spec.blocks)
    if has_bottleneck and spec.stride_in != paper.stride_in:
        items.add("stride")
    if spec.downsample != paper.downsample:
        items |= {"stride", "shortcut"} if residual else {"stride"}
    items |= {"norm", "bias"} if spec.batch_norm != paper.batch_norm else set()
    fields = {"stem": "stem", "widths": "width", "activation": "activation", "zero_init": "init", "padding": "extra"}
    items |= {item for key, item in fields.items() if getattr(spec, key) != getattr(paper, key)}
    if {kind for stage in spec.blocks for kind in stage} != {kind for stage in paper.blocks for kind in stage}:
        items.add("block")
    return items


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(specs())
def test_a_net_against_itself_and_against_the_papers(spec):
    module = build(spec)
    own = audit(module, spec)
    assert own.departures == ()
    assert own["macs"].found.replace(",", "") == str(cost(spec).macs)
    assert not any(row.because for row in own.rows)
    paper = spec_of(name_of(spec))
    assert set(audit(module, paper).departures) == departing(spec, paper)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs())
def test_many_nets_against_others(spec):
    module = build(spec)
    assert audit(module, spec).departures == ()
    paper = spec_of(name_of(spec))
    for other in (paper, replace(paper, residual=not paper.residual)):
        assert set(audit(module, other).departures) == departing(spec, other)


@pytest.mark.parametrize(("built", "named"), [(14, 20), (20, 8), (8, 110)])
def test_depth(built, named):
    result = audit(build(f"cifar_resnet{built}"), f"cifar_resnet{named}")
    assert result.departures == ("depth",)
    assert result["parameters"].because == result["macs"].because == ("depth",)


@pytest.mark.parametrize(
    "text",
    ["resnet34,shortcut=C", "cifar_resnet20,stem=7x7,widths=8,16,32", "cifar_resnet17,block=basic,bottleneck",
     "resnet50,batch_norm=False", "cifar_plain8,order=pre"],
)  # fmt: skip
def test_the_text_of_a_reference(text):
    spec = reference.parse(text)
    assert reference.parse(reference.text_of(spec)) == spec
    assert audit(build(replace(spec, classes=3)), text).departures == ()


@pytest.mark.parametrize(
    ("switches", "nearest"),
    [
        ({"name": "cifar_resnet20", "widths": (160, 320, 640), "order": "pre"}, "cifar_resnet20"),
        ({"name": "resnet18", "stem": "3x3"}, "resnet18"),
        ({"name": "cifar_plain14", "in_channels": 1, "image_size": 28}, "cifar_plain14"),
        ({"name": "resnet34", "stem": "3x3", "image_size": 48, "widths": (8, 16, 32, 64)}, "resnet34"),
        ({"name": "cifar_resnet20", "block": "bottleneck"}, "cifar_resnet20"),
    ],
)
def test_the_nearest_net(switches, nearest):
    result = audit(build(spec_of(**switches)))
    assert result.reference == nearest
    assert not result.was_given
