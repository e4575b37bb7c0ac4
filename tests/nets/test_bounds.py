"""Sizes that no network has are refused by name, and the largest that are taken are planned in seconds."""

import pytest

from reslab.errors import UserError
from reslab.nets.cost import cost
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import DEEPEST, LARGEST, WIDEST


@pytest.mark.parametrize("depth", ["100001", "99999999999998", "9" * 5_000], ids=len)
@pytest.mark.parametrize("kind", ["cifar_resnet", "cifar_plain", "mlp_resnet", "resnet", "vgg"])
def test_a_net_that_is_too_deep(kind, depth):
    with pytest.raises(UserError) as told:
        spec_of(kind + depth)
    assert str(told.value) == f"unknown model {kind}{depth[:20]}: the deepest net has 100,000 layers"


@pytest.mark.slow
def test_the_deepest_net_is_planned_row_by_row():
    """Linear in depth: 3 rows a layer, and what a block costs more."""
    spec = spec_of("cifar_resnet99998")
    assert DEEPEST - spec.depth < 6
    assert len(plan(spec)) > 3 * spec.depth
    near, nearer = cost(spec_of("cifar_resnet20")).parameters, cost(spec_of("cifar_resnet26")).parameters
    assert cost(spec).parameters == near + (nearer - near) * (spec.depth - 20) // 6


def test_no_depth_beyond_the_deepest_is_offered():
    with pytest.raises(UserError, match=r"the nearest that exist are 99998$"):
        spec_of("cifar_resnet100000")


@pytest.mark.parametrize("key", ["classes", "in_channels", "image_size"])
@pytest.mark.parametrize("beyond", [1, 10**9, 10**5_000], ids=["one", "more", "5,000 digits"])
def test_a_size_that_is_too_large(key, beyond):
    with pytest.raises(UserError) as told:
        spec_of("resnet18", **{key: LARGEST[key] + beyond})
    assert str(told.value) == f"{key} is too large; the largest value is {LARGEST[key]:,}"
    assert plan(spec_of("resnet18", **{key: LARGEST[key]}))


def test_a_width_that_is_too_large():
    with pytest.raises(UserError, match="widths: one is too large; the largest value is 1,048,576"):
        spec_of("cifar_resnet20", widths=(16, 32, WIDEST + 1))
    assert plan(spec_of("cifar_resnet20", widths=(16, 32, WIDEST)))
