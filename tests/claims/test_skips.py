"""C17: receptive fields by autograd, counts of the built nets, every verdict by way of files."""

from dataclasses import replace

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.claims.experiments import skips
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.model import Block, Note, build

(C17,) = skips.claims(DIGITS)
ONE, TWO, THREE = skips.skipping(20).values()


def seen(block: str, only_block: bool, depth: int = 20) -> int:
    """Side of the square of input pixels by which the middle value after the last layer has a derivative."""
    net = build(
        f"cifar_resnet{depth}", block=block, batch_norm=False, activation="identity", in_channels=1, image_size=129
    )
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(1e-2)
    channels = 16 if only_block else 1
    x = torch.zeros((1, channels, 129, 129), requires_grad=True)
    h = x
    if only_block:
        h = net.get_submodule("conv2_1").branch(x, Note())
    else:
        for part in [c for n, c in net.named_children() if n == "stem" or isinstance(c, Block)]:
            h = part(h, Note())
    h[0, 0, h.shape[2] // 2, h.shape[3] // 2].backward()
    rows = (x.grad[0, 0] != 0).any(1).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("block", "inside"), [("single", 3), ("basic", 5), ("triple", 7)])
def test_receptive_fields_by_autograd(block, inside):
    """A longer skip sees more in its block, the whole net does not."""
    spec = skips.skipping(20)[block].spec()
    assert skips.receptive_field(spec, "conv2_1") == seen(block, True) == inside
    assert skips.receptive_field(spec) == seen(block, False) == 81
    assert skips.receptive_field(replace(spec, shortcut="C")) == 81  # projections are not on the way
    # 2x2 poolings at steps of 1 and 2 come in, and the 3x3 layers after them go by steps of 2 and 4, no more 1 and 2
    assert skips.receptive_field(replace(spec, downsample="pool")) == 81 + (1 + 2) + 2 * (1 + 2)


@pytest.mark.parametrize("depth", [20, 56])
def test_equal_depth_parameters_and_macs(depth):
    made = skips._equal(depth).make(None, None)
    nets = [build(n.spec()) for n in skips.skipping(depth).values()]
    assert made["parameters"] == [sum(p.numel() for p in n.parameters()) for n in nets]
    assert len(set(made["parameters"])) == len(set(made["macs"])) == len(set(made["net"])) == 1
    assert made["cost_apart"] == [0, 0, 0, 0]
    skipped = [sum(isinstance(m, torch.nn.Conv2d) for m in n.get_submodule("conv2_1").branch.children()) for n in nets]
    assert skipped == [1, 2, 3]


@pytest.mark.parametrize(
    ("depths", "depth", "deep"), [((8, 20, 56), 20, 2), ((20, 56), 20, 2), ((8, 14), 20, 1), ((56, 110), 56, 2)]
)
def test_depths_that_exist(depths, depth, deep):
    """14 = 2·6+2 has no blocks of three; 110 = 12·9+2 has."""
    setting = replace(DIGITS, depths=depths)
    claim = skips.claims(setting)[0]
    assert skips.equal_depth(setting) == depth
    assert len(claim.statements) == 6 + deep
    assert canonical(claim.nets)


def written(folder, single, triple=0.0, changes=None) -> Shelf:
    shelf = Shelf(folder)
    shelf.measured("skips-equal", C17.measurements[0].make(None, None) | (changes or {}))
    for seed, gap in enumerate(single):
        for of, error in ((TWO, 50.0), (ONE, 50.0 + gap), (THREE, 50.0 + triple)):
            shelf.run(of, seed, 1.0 + error, error)
    return shelf


@pytest.mark.parametrize(
    ("single", "changes", "verdict"),
    [
        ((0.5, 0.6, 0.4), {}, CONDITION),  # no better, but not for the receptive field
        ((-0.5, -0.6, -0.4), {}, CONDITION),  # better by 1 % of the error, less than the margin
        ((0.5, 0.6, 0.4), {"net_apart": [-16, 16]}, HOLDS),
        ((-2.0, -2.1, -2.2), {}, FAILS),
        ((-3.0, 3.0, 0.0), {}, UNDECIDED),
        ((-1.4, -1.5, -1.6), {}, UNDECIDED),  # 3 %: at the margin
        ((0.5, 0.6), {}, UNDECIDED),
        ((), {}, NOT_RUN),
    ],
)
def test_verdicts_of_c17(tmp_path, single, changes, verdict):
    found = written(tmp_path / "study", single, 3.0, changes).judge(C17)
    assert found.verdict == verdict
    if single:
        skip3, train = found.findings[3:5]
        assert (skip3.figure.mean, skip3.verdict) == (pytest.approx(6.0), FAILS if len(single) > 2 else UNDECIDED)
        assert found.findings[0].figure.mean == pytest.approx(2 * sum(single) / len(single))
        assert train.figure.mean == pytest.approx(sum(single) / len(single))
        assert [f.verdict for f in found.findings[6:]] == [NOT_RUN] * 2  # the deep nets
    assert found.findings[5].figure.values == (3.0, 5.0, 7.0)  # a block's own receptive field
    assert [f.verdict for f in found.findings[1:3]] == [FAILS if changes else HOLDS, HOLDS]


def test_form():
    assert canonical(C17.nets)
    assert unanswered(C17) == []
