"""C11 and C14: dotted shortcuts and poolings in the built modules, counts of truth, every verdict by way of files."""

import pytest
import torch
from shelf import DIGITS, Shelf
from torch import nn
from written_study import canonical, unanswered

from reslab.claims import shortcuts
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.cost import cost
from reslab.nets.model import Block, Note, PadShortcut, build
from reslab.nets.names import spec_of

C11, C14 = shortcuts.claims(DIGITS)
A, B, C = shortcuts.options(DIGITS).values()
POOL = next(n for n in C14.nets if n.switches)


# -- C11


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("resnet18", {}), ("resnet34", {}), ("resnet50", {}), ("resnet101", {}), ("resnet152", {}),
        ("resnet34", {"shortcut": "A"}), ("resnet34", {"shortcut": "C"}), ("cifar_resnet20", {}),
        ("cifar_resnet20", {"shortcut": "B"}), ("cifar_resnet20", {"shortcut": "C"}),
    ],
)  # fmt: skip
def test_dotted_shortcuts_are_those_of_the_modules(name, switches):
    """Dotted: whatever is not the identity. Found here in the modules of the built net, not in the plan."""
    found = []
    for block, module in build(name, device="meta", **switches).named_children():
        for layer in module.shortcut.children() if isinstance(module, Block) else ():
            if isinstance(layer, nn.Conv2d):
                found.append((block, layer.kernel_size[0], layer.stride[0]))
            elif isinstance(layer, PadShortcut):
                found.append((block, 0, layer.stride))
    assert shortcuts.dotted(spec_of(name, **switches)) == found


def test_where_they_stand():
    made = C11.measurements[0].make(None, None)
    assert made["basic_dotted"] == [3, 3]
    assert made["deep_dotted"] == [4, 4, 4]  # one more than 34: conv2_x widens 64 to 256, with stride 1
    assert made["deep_in_conv2"] == made["deep_not_stride_2"] == made["deep_other"] == [1, 1, 1]
    assert made["basic_other"] == made["basic_in_conv2"] == [0, 0]
    assert made["a_not_convolution"] == made["a_dotted"] == [3, 3, 2, 2, 2, 2, 2, 2]
    assert (made["c_dotted"], made["c_not_stride_2"]) == ([16], [13])  # §4.1: "thirteen"


def test_options_have_the_parameters_of_table_6():
    assert [cost(of.spec()).parameters for of in (A, B, C)] == [269_722, 272_474, 283_962]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, CONDITION),
        ({"deep_other": [0, 0, 0], "a_not_convolution": [0]}, HOLDS),
        ({"basic_other": [0, 1]}, FAILS),
    ],
)
@pytest.mark.parametrize(
    ("gaps", "same"),
    [((0.1, -0.1, 0.2), HOLDS), ((3.0, 3.1, 3.2), FAILS), ((-3.0, 3.0, 0.0), UNDECIDED), ((), NOT_RUN)],
)
def test_verdicts_of_c11(tmp_path, changes, verdict, gaps, same):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C11).verdict == NOT_RUN
    shelf.measured("shortcuts-dotted", C11.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        for of, error in ((A, 5.0), (B, 5.0), (C, 5.0 + gap)):
            shelf.run(of, seed, 1.0, error)
    found = shelf.judge(C11)
    assert found.verdict == verdict  # the errors stand beside
    b_a, c_a, c_b = (f.verdict for f in found.findings[-3:])
    assert (b_a, c_a, c_b) == (HOLDS if gaps else NOT_RUN, same, same)


# -- C14


def test_poolings_and_macs():
    made = C14.measurements[0].make(None, None)
    assert (made["stem"], made["between"], made["macs_ratio"]) == (1, 0, [1.0, 1.0])
    assert made["macs_stride"] == made["macs_pool"]
    assert round(made["macs_stride"][0] / 1e9, 3) == 3.664
    assert round(made["macs_stride"][1] / 1e6, 2) == 40.55
    pools = [m for m in build("resnet34", device="meta").modules() if isinstance(m, nn.MaxPool2d)]
    assert len(pools) == 1
    assert shortcuts.poolings(spec_of("vgg19")) == (0, 5)  # and it can count them where there are some
    assert shortcuts.poolings(POOL.spec()) == (0, 4)


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
        ({}, (0.1, -0.1, 0.2), CONDITION),  # the stem's pooling stays
        ({"stem": 0}, (0.1, -0.1, 0.2), HOLDS),
        ({}, (3.0, 3.1, 3.2), CONDITION),  # halved by stride, but not equally good
        ({}, (-3.0, 3.0, 0.0), UNDECIDED),
        ({"between": 3, "macs_ratio": [1.2, 1.2]}, (3.0, 3.1, 3.2), FAILS),
        ({}, (), NOT_RUN),
    ],
)
def test_verdicts_of_c14(tmp_path, changes, gaps, verdict):
    shelf = Shelf(tmp_path / "study")
    shelf.measured("shortcuts-pooling", C14.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        shelf.run(A, seed, 1.0, 5.0)
        shelf.run(POOL, seed, 1.0, 5.0 + gap)
    assert shelf.judge(C14).verdict == verdict


def test_form():
    for claim in (C11, C14):
        assert canonical(claim.nets)
        assert unanswered(claim) == []
    assert len(C11.nets) == 3
    assert {n.spec().depth for n in (*C11.nets, *C14.nets)} == {DIGITS.middle}
