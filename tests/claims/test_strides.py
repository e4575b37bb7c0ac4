"""C13 and C14: strides and poolings of the built modules, GMACs of truth, every verdict by way of files."""

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered
from torch import nn

from reslab.claims.experiments import strides
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.model import Note, build
from reslab.nets.names import spec_of

C13, C14 = strides.claims(DIGITS)
POOL, STRIDE = C14.nets


# -- C13


@pytest.mark.parametrize(
    ("name", "switches", "kernel"),
    [
        ("resnet18", {}, 3), ("resnet34", {}, 3), ("resnet50", {}, 1), ("resnet152", {}, 1),
        ("resnet50", {"stride_in": "3x3"}, 3), ("cifar_resnet29", {"block": "bottleneck", "stride_in": "3x3"}, 3),
    ],
)  # fmt: skip
def test_the_modules_have_their_stride_there(name, switches, kernel):
    net = build(name, device="meta", **switches)
    found = {
        n: m for n, m in net.named_modules()
        if isinstance(m, nn.Conv2d) and m.stride == (2, 2) and ".branch." in n
    }  # fmt: skip
    assert [int(n[-1]) for n in found] == strides.strided(spec_of(name, **switches))
    assert len(found) == len(net.spec.widths) - 1
    assert {m.kernel_size for m in found.values()} == {(kernel, kernel)}


def test_places_and_gmacs():
    made = C13.measurements[0].make(None, None)
    assert (made["basic"], made["v1"], made["v15"]) == ([1] * 6, [1] * 9, [2] * 9)
    assert (round(made["gmacs_v1"], 3), round(made["gmacs_v15"], 3)) == (3.858, 4.089)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, CONDITION), ({"v1": [2, 2]}, HOLDS), ({"v1": [1, 2]}, CONDITION), ({"basic": [2]}, FAILS)],
)
@pytest.mark.parametrize(
    ("gaps", "same"),
    [  # points at an error of 50 %: the margin of 3 % of it is 1.5 points
        ((0.1, -0.1, 0.2), HOLDS),
        ((1.4, 1.3, 1.2), UNDECIDED),
        ((1.8, 1.9, 2.0), FAILS),
        ((0.1, 0.1), UNDECIDED),
        ((-3.0, 3.0, 0.0), UNDECIDED),
        ((), NOT_RUN),
    ],
)
def test_verdicts_of_c13(tmp_path, changes, verdict, gaps, same):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C13).verdict == NOT_RUN
    shelf.measured("strides-place", C13.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        shelf.run(strides.V1, seed, 1.0, 50.0)
        shelf.run(strides.V15, seed, 1.0, 50.0 + gap)
    found = shelf.judge(C13)
    assert found.verdict == verdict  # the errors stand beside
    assert found.findings[5].verdict == same
    assert found.flat


# -- C14


def test_poolings_and_macs():
    made = C14.measurements[0].make(None, None)
    assert (made["stem"], made["between"], made["macs_ratio"]) == (1, 0, [1.0, 1.0])
    assert made["macs_stride"] == made["macs_pool"]
    assert round(made["macs_stride"][0] / 1e9, 3) == 3.664
    assert round(made["macs_stride"][1] / 1e6, 2) == 40.55
    pools = [m for m in build("resnet34", device="meta").modules() if isinstance(m, nn.MaxPool2d)]
    assert len(pools) == 1
    assert strides.poolings(spec_of("vgg19")) == (0, 5)  # and it can count them where there are some
    assert strides.poolings(POOL.spec()) == (0, 4)


def test_with_pooling_only_the_halving_differs():
    """Same weights; the block that halves is max-pooling and a branch of stride 1, and the padding shortcut."""
    stride, pool = build("cifar_resnet20"), build("cifar_resnet20", downsample="pool")
    weights = stride.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in pool.state_dict().items())
    x = torch.rand((2, 16, 8, 8), generator=torch.Generator().manual_seed(0))
    ours, block = (n.eval().get_submodule("conv3_1") for n in (pool, stride))
    small = nn.functional.max_pool2d(x, 2)
    branch = nn.functional.conv2d(small, block.branch.conv1.weight, padding=1)
    branch = block.branch.bn2(block.branch.conv2(block.branch.relu1(block.branch.bn1(branch))))
    wanted = nn.functional.relu(branch + torch.cat([small, torch.zeros_like(small)], 1))
    torch.testing.assert_close(ours(x, Note()), wanted)


@pytest.mark.parametrize(
    ("changes", "gaps", "verdict"),
    [
        ({}, (0.1, -0.1, 0.2), HOLDS),
        ({}, (3.0, 3.1, 3.2), HOLDS),  # which of the two is better the note does not say
        ({}, (), HOLDS),
        ({"between": 3}, (3.0, 3.1, 3.2), CONDITION),
        ({"between": 3, "macs_ratio": [1.2, 1.2]}, (3.0, 3.1, 3.2), FAILS),
    ],
)
def test_verdicts_of_c14(tmp_path, changes, gaps, verdict):
    shelf = Shelf(tmp_path / "study")
    shelf.measured("shortcuts-pooling", C14.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        shelf.run(STRIDE, seed, 1.0, 5.0)
        shelf.run(POOL, seed, 1.0, 5.0 + gap)
    assert shelf.judge(C14).verdict == verdict


def test_form():
    for claim, depth in ((C13, 29), (C14, DIGITS.middle)):
        assert canonical(claim.nets)
        assert unanswered(claim) == []
        assert {n.spec().depth for n in claim.nets} == {depth}
