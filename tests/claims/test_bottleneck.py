"""C12: both pairs against the built modules and truth; the clock's figures; every verdict by way of files."""

import pytest
from shelf import DIGITS, Shelf

from reslab.claims.experiments import bottleneck
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.nets.plan import plan

(C12,) = bottleneck.claims(DIGITS)


@pytest.fixture(scope="module")
def costs():
    return C12.measurements[0].make(None, None)


def test_counts_are_those_of_fig_5(costs):
    assert costs["figure5_parameters"] == [73_984, 70_400]
    assert costs["equal_parameters"] == [1_180_672, 70_400]
    assert costs["figure5_macs"] == [2 * 9 * 64 * 64 * 56**2, (2 * 64 * 256 + 9 * 64 * 64) * 56**2]
    assert costs["equal_macs"] == [2 * 9 * 256 * 256 * 56**2, costs["figure5_macs"][1]]
    assert costs["figure5_parameters_ratio"] == pytest.approx(73_984 / 70_400)
    assert costs["equal_macs_ratio"] == pytest.approx(costs["equal_macs"][0] / costs["equal_macs"][1])


def test_the_blocks_are_those_of_table_1():
    """Fig. 5's pair stands in conv2_x of 34 and of 50 layers."""
    for name, kind in (("resnet34", "basic"), ("resnet50", "bottleneck")):
        theirs = [r for r in plan(spec_of(name)) if r.block == "conv2_2"]
        assert [r for r in plan(bottleneck.stack(kind, 64, 56)) if r.block == "conv2_2"] == theirs


@pytest.mark.parametrize(("pair", "key"), [(p, k) for p in bottleneck.PAIRS for k in (0, 1)])
def test_the_modules_have_as_many(costs, pair, key):
    block = build(bottleneck.stack(*bottleneck.PAIRS[pair][key], 14)).get_submodule("conv2_2")
    assert sum(p.numel() for p in block.parameters()) == costs[f"{pair}_parameters"][key]
    assert len(list(block.get_submodule("shortcut").children())) == 0


def test_the_clock(monkeypatch):
    monkeypatch.setattr(bottleneck, "MAP", 4)
    monkeypatch.setattr(bottleneck, "BATCH", 2)
    monkeypatch.setattr(bottleneck, "REPEATS", 3)
    made = C12.measurements[1].make(None, None)
    for name in bottleneck.PAIRS:
        times = zip(made[f"{name}_seconds_basic"], made[f"{name}_seconds_bottleneck"], strict=True)
        assert made[f"{name}_time_ratio"] == pytest.approx([a / b for a, b in times], rel=1e-2)
        assert len(made[f"{name}_time_ratio"]) == 3
        assert min(made[f"{name}_seconds_basic"]) > 0


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, CONDITION),
        ({"figure5_parameters_ratio": 2.0, "figure5_macs_ratio": 2.0}, HOLDS),
        ({"equal_parameters_ratio": 1.0}, CONDITION),
        ({"equal_parameters_ratio": 1.0, "equal_macs_ratio": 0.9}, FAILS),
    ],
)
@pytest.mark.parametrize(
    ("times", "faster"), [((9.0, 10.0, 11.0), HOLDS), ((0.5, 0.6, 0.7), FAILS), ((0.2, 3.0), UNDECIDED)]
)
def test_verdicts(tmp_path, costs, changes, verdict, times, faster):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C12).verdict == NOT_RUN
    shelf.measured("bottleneck-cost", costs | changes)
    shelf.measured("bottleneck-time", {"equal_time_ratio": list(times), "figure5_time_ratio": [1.0, 1.1]})
    found = shelf.judge(C12)
    assert found.verdict == verdict  # whatever the clock says
    assert found.findings[4].verdict == faster
    assert found.findings[4].figure.n == len(times)
