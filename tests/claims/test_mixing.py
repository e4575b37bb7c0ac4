"""C18: costs of the built nets by hooks, the base width by brute force, every verdict by way of files."""

from dataclasses import replace

import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.claims.experiments import mixing
from reslab.claims.rules import FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.model import Block, build

(C18,) = mixing.claims(DIGITS)
MIXED, BASIC, BOTTLENECK = mixing.compared(DIGITS).values()


def test_the_mixed_net_and_its_pure_ones():
    made = C18.measurements[0].make(None, None)
    nets = [build(n.spec()) for n in (MIXED, BASIC, BOTTLENECK)]
    assert made["parameters"] == [sum(p.numel() for p in n.parameters()) for n in nets]
    assert made["blocks"] == [2, 2, 2]
    assert {n.spec.shortcut for n in nets} == {"B"}
    assert [sum(isinstance(m, Block) for m in n.children()) for n in nets] == [6, 6, 6]
    assert [n.spec.depth for n in nets] == [17, 14, 20]
    assert [{k for stage in n.spec.blocks for k in stage} for n in nets] == [
        {"basic", "bottleneck"}, {"basic"}, {"bottleneck"}
    ]  # fmt: skip
    assert made["macs_ratio"] == pytest.approx([m / made["macs"][0] for m in made["macs"][1:]])
    assert made["macs"] == [macs_by_hooks(n) for n in nets]


def macs_by_hooks(net) -> int:
    """Multiply-adds of a forward pass: each output value of a convolution is a sum over its kernel and channels."""
    total = 0

    def count(module, args, out):
        nonlocal total
        total += out.numel() * module.weight[0].numel()

    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 32, 32))
    return total


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (8,), (44, 56), (56, 110), (110, 128)])
def test_no_width_is_nearer(depths):
    setting = replace(DIGITS, depths=depths)
    nets = mixing.compared(setting)
    assert canonical(nets.values())
    target = mixing.cost(nets["mixed"].spec()).macs
    for key in mixing.PURE:
        spec = nets[key].spec()
        base = spec.widths[0]
        off = {
            w: abs(mixing.cost(replace(spec, widths=(w, 2 * w, 4 * w))).macs - target)
            for w in (base - 1, base, base + 1)
        }
        assert min(off, key=off.get) == base
        assert off[base] <= mixing.NEAR_COST * target
        assert len(spec.blocks[0]) == len(nets["mixed"].spec().blocks[0])


@pytest.mark.parametrize(
    ("basic", "bottleneck", "verdict", "mean"),
    [
        # points, where the mixed net ends at 50 %: a margin of 3 % of the error is 1.5 points
        ((2.5, 2.6, 2.4), (1.0, 1.1, 0.9), HOLDS, 2.0),  # the better one counts
        ((-2.0, -2.1, -1.9), (3.0, 3.0, 3.0), HOLDS, -4.0),
        ((1.9, 1.8, 2.0), (2.3, 2.5, 2.4), FAILS, 3.8),
        ((-3.0, 3.0, 0.0), (4.0, 4.0, 4.0), UNDECIDED, 0.0),
        ((2.0, 1.9, 2.1), (1.8, 2.6, 2.6), FAILS, 4.0),  # by its mean, not seed by seed
        ((), (), NOT_RUN, None),
    ],
)
def test_verdicts_of_c18(tmp_path, basic, bottleneck, verdict, mean):
    shelf = Shelf(tmp_path / "study")
    shelf.measured("mixing-cost", C18.measurements[0].make(None, None))
    for seed, (a, b) in enumerate(zip(basic, bottleneck, strict=True)):
        for of, gap in ((MIXED, 0.0), (BASIC, a), (BOTTLENECK, b)):
            shelf.run(of, seed, 1.0, 50.0 + gap)
    shelf.run(MIXED, 4, 1.0, 90.0)  # a seed that the others lack has no say
    found = shelf.judge(C18)
    assert found.verdict == verdict
    if basic:
        assert found.findings[0].figure.mean == pytest.approx(mean)
        assert [f.figure.n for f in found.findings[2:]] == [3, 3]
        assert [f.figure.mean for f in found.findings[2:]] == pytest.approx(
            [2 * sum(v) / 3 for v in (basic, bottleneck)]
        )
        alone = found.findings[2].figure.mean
        assert f"{abs(alone):.3g} % {'lower' if alone < 0 else 'higher'} with basic blocks alone" in found.sentence.en
    assert found.findings[1].verdict == HOLDS


def test_form():
    assert canonical(C18.nets)
    assert unanswered(C18) == []
