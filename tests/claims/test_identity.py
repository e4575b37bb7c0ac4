"""C6: blocks with W = b = 0 against what the activation alone would do; every verdict by way of files."""

import math

import pytest
import torch
from shelf import DIGITS, Shelf

from reslab.claims.experiments import identity
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN
from reslab.nets.model import Note, build

(C6,) = identity.claims(DIGITS)
GOOD = {"relu": [0, 0], "negative": [1.0], "tanh": [0.24], "sigmoid": [0.5], "any": [0]}


@pytest.fixture(scope="module")
def made():
    return C6.measurements[0].make(None, None)


def test_with_zero_weights_only_the_activation_is_left(made):
    assert made["relu"] == [0] * 2 * len(identity.BLOCKS)  # in training and evaluation mode
    assert made["negative"] == [1.0] * 2 * len(identity.BLOCKS)
    assert made["any"] == [0] * 2 * len(identity.BLOCKS)
    assert made["tanh"] == pytest.approx([1 - math.tanh(1)] * len(identity.BLOCKS))  # |tanh(a) - a| is greatest at 1
    assert made["sigmoid"] == pytest.approx([0.5] * len(identity.BLOCKS))  # and |sigmoid(a) - a| at 0


@pytest.mark.parametrize(("model", "name", "switches"), identity.BLOCKS)
def test_the_block_does_something_until_its_weights_are_zero(model, name, switches):
    block = build(model, **switches).get_submodule(name)
    a = identity.given(name, switches.get("block") == "bottleneck", False)
    assert not torch.equal(block(a, Note()), a)
    mixed = identity.given(name, switches.get("block") == "bottleneck", True)
    assert torch.equal(identity.zeroed(model, name, **switches)(mixed), mixed.clamp(min=0))
    assert (mixed < 0).any()
    assert a.min() == 0
    assert a.max() == 1


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ({}, CONDITION),
        ({"relu": [0, 3]}, FAILS),
        ({"negative": [0.0], "tanh": [0.0], "sigmoid": [0.0]}, HOLDS),
    ],
)
def test_verdicts(tmp_path, figures, verdict):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C6).verdict == NOT_RUN
    shelf.measured("identity-blocks", GOOD | figures)
    found = shelf.judge(C6)
    assert found.verdict == verdict
    said = {
        CONDITION: "In part. With ReLU and a ≥ 0 the output equals the input exactly. But negative entries become "
        "0, and with tanh an entry changes by up to 0.24, with sigmoid by up to 0.5.",
        FAILS: "No. Even with ReLU and a ≥ 0, 0 to 3 entries of the output differ.",
        HOLDS: "Yes. With ReLU and a ≥ 0 the output equals the input.",
    }
    assert found.sentence.en == said[verdict]


def test_the_real_figures(tmp_path, made):
    shelf = Shelf(tmp_path / "study")
    shelf.measured("identity-blocks", made)
    found = shelf.judge(C6)
    assert found.verdict == CONDITION
    assert "with tanh an entry changes by up to 0.24, with sigmoid by up to 0.5" in found.sentence.en
    assert C6.analytic
