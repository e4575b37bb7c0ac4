"""C25: a net without one of its blocks, against blocks skipped by hand; every verdict by way of files."""

import pytest
import torch
from shelf import DIGITS, Shelf

from reslab.claims.experiments import removal
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.measure.removal import error, errors_without, removable, without
from reslab.nets.model import Block, Note, build

(C25,) = removal.claims(DIGITS)
SEEDS = (10, 11, 12, 13, 14)


def small(kind="resnet", **switches):
    return build(f"cifar_{kind}14", in_channels=1, image_size=8, widths=(4, 4, 8), **switches).eval()


def test_blocks_that_keep_their_shape():
    """With widths 4, 4, 8 stage 3 keeps the channels of stage 2, but halves the map."""
    assert removable(small()) == ["conv2_1", "conv2_2", "conv3_2", "conv4_2"]
    assert removable(small("plain")) == removable(small())
    assert len(removable(build("cifar_resnet56"))) == 27 - 2
    assert len(removable(build("resnet50"))) == 16 - 4  # conv2_1 widens, the others halve


@torch.no_grad()
@pytest.mark.parametrize("kind", ["resnet", "plain"])
@pytest.mark.parametrize("order", ["post", "pre"])
def test_without_a_block_against_the_parts_by_hand(kind, order):
    network = small(kind, order=order)
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = network(images)
    for block in removable(network):
        x = images
        for name in network.parts:
            x = x if name == block else network.get_submodule(name)(x, Note())
        with without(network, block) as less:
            assert torch.equal(less(images), x)
        assert not torch.equal(x, whole)
        assert isinstance(network.get_submodule(block), Block)
    assert torch.equal(network(images), whole)


@torch.no_grad()
def test_a_residual_block_that_computes_nothing_costs_nothing():
    network = small()
    block = network.get_submodule("conv3_2")
    block.branch.bn2.weight.zero_()  # F(x) = 0, and what comes in is not negative
    images = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = network(images).argmax(1)
    assert error(network, images, labels) == 0
    costs = errors_without(network, images, labels)
    assert costs["conv3_2"] == 0
    assert max(costs.values()) > 5
    assert error(network, images, (labels + 1) % 10) == 100


def test_figures():
    made = removal.figures("deep", 3.0, {"a": 4.0, "b": 3.0, "c": 50.0})
    assert made == {
        "deep_error": 3.0, "deep_median": 1.0, "deep_most": 47.0, "deep_little": pytest.approx(200 / 3),
        "deep_without": {"a": 4.0, "b": 3.0, "c": 50.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("deep", "plain", "most", "verdict"),
    [
        (1.0, 80.0, 10.0, HOLDS),
        (1.0, 80.0, 60.0, CONDITION),  # some block matters all the same
        (1.0, 10.0, 10.0, CONDITION),  # the plain net stands it too
        (40.0, 80.0, 60.0, CONDITION),
        (40.0, 10.0, 60.0, FAILS),
        (5.0, 80.0, 10.0, UNDECIDED),
    ],
)
def test_verdicts(tmp_path, deep, plain, most, verdict):
    shelf = Shelf(tmp_path / "study", removal_setting())
    assert shelf.judge(C25).verdict == NOT_RUN
    for seed in SEEDS:
        apart = 0.2 * (seed - 12)
        made = removal.figures("middle", 3.0, {"a": 5.0}) | {
            "deep_median": deep + apart, "plain_median": plain + apart, "deep_most": most + apart, "deep_little": 90.0,
        }  # fmt: skip
        shelf.measured("block-removal", made, seed=seed)
    found = shelf.judge(C25)
    assert found.verdict == verdict
    assert "one block" in found.sentence.en


def removal_setting():
    from dataclasses import replace

    return replace(DIGITS, seeds=SEEDS)
