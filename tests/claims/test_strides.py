"""C13: where the modules have their stride, GMACs of truth, every verdict by way of files."""

import pytest
from shelf import DIGITS, Shelf
from torch import nn

from reslab.claims import strides
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.model import build
from reslab.nets.names import spec_of, switches_of

(C13,) = strides.claims(DIGITS)


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


def test_figures():
    made = C13.measurements[0].make(None, None)
    assert (made["basic"], made["v1"], made["v15"]) == ([1] * 6, [1] * 9, [2] * 9)
    assert (round(made["gmacs_v1"], 3), round(made["gmacs_v15"], 3)) == (3.858, 4.089)


@pytest.mark.parametrize("net", C13.nets)
def test_nets_are_canonical(net):
    spec = net.spec()
    assert dict(net.switches) == switches_of(spec)
    assert spec.depth == 29


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, CONDITION), ({"v1": [2, 2]}, HOLDS), ({"v1": [1, 2]}, CONDITION), ({"basic": [2]}, FAILS)],
)
@pytest.mark.parametrize(
    ("gaps", "same"),
    [((0.1, -0.1, 0.2), HOLDS), ((3.0, 3.1, 3.2), FAILS), ((-3.0, 3.0, 0.0), UNDECIDED), ((), NOT_RUN)],
)
def test_verdicts(tmp_path, changes, verdict, gaps, same):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C13).verdict == NOT_RUN
    shelf.measured("strides-place", C13.measurements[0].make(None, None) | changes)
    for seed, gap in enumerate(gaps):
        shelf.run(strides.V1, seed, 1.0, 5.0)
        shelf.run(strides.V15, seed, 1.0, 5.0 + gap)
    found = shelf.judge(C13)
    assert found.verdict == verdict  # the errors stand beside
    assert found.findings[5].verdict == same
    assert found.flat
