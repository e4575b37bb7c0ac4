"""C11: dotted shortcuts in the built modules, counts of truth, every verdict by way of files."""

import pytest
from shelf import DIGITS, Shelf, canonical, unanswered
from torch import nn

from reslab.claims.experiments import shortcuts
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.cost import cost
from reslab.nets.model import Block, build
from reslab.nets.modules import PadShortcut
from reslab.nets.names import spec_of

(C11,) = shortcuts.claims(DIGITS)
A, B, C = shortcuts.options(DIGITS).values()


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
    [  # points at an error of 50 %: the margin of 3 % of it is 1.5 points
        ((0.1, -0.1, 0.2), HOLDS),
        ((1.4, 1.3, 1.2), UNDECIDED),
        ((1.8, 1.9, 2.0), FAILS),
        ((-3.0, 3.0, 0.0), UNDECIDED),
        ((0.1, 0.1), UNDECIDED),
        ((), NOT_RUN),
    ],
)
def test_verdicts_of_c11(tmp_path, changes, verdict, gaps, same):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C11).verdict == NOT_RUN
    shelf.measured("shortcuts-dotted", C11.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        for of, error in ((A, 50.0), (B, 50.0), (C, 50.0 + gap)):
            shelf.run(of, seed, 1.0, error)
    found = shelf.judge(C11)
    assert found.verdict == verdict  # the errors stand beside
    b_a, c_a, c_b = (f.verdict for f in found.findings[-3:])
    equal = {0: NOT_RUN, 2: UNDECIDED, 3: HOLDS}[len(gaps)]
    assert (b_a, c_a, c_b) == (equal, same, same)
    if gaps:
        assert found.findings[-1].figure.mean == pytest.approx(2 * sum(gaps) / len(gaps))


def test_form():
    assert canonical(C11.nets)
    assert unanswered(C11) == []
    assert len(C11.nets) == 3
    assert {n.spec().depth for n in C11.nets} == {DIGITS.middle}
