"""C19: copies of shallow plain nets against the nets themselves, layer by layer; every verdict by way of files."""

from dataclasses import replace

import pytest
import torch
from shelf import DIGITS, Shelf

from reslab.claims.evidence import net
from reslab.claims.experiments import deeper
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN
from reslab.errors import UserError
from reslab.nets.model import build

(C19,) = deeper.claims(DIGITS)
SMALL = replace(DIGITS, depths=(8, 14))


def used(model, **switches):
    """A net of float64 in evaluation mode whose weights, BN values and statistics are all no defaults."""
    made = build(model, **switches).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in made.state_dict().items():
            if "bn" in key and value.is_floating_point():
                value.copy_(0.5 + torch.rand(value.shape, generator=draw))
    return made.eval()


@pytest.mark.parametrize(
    ("model", "depth", "switches"),
    [
        ("cifar_plain8", 14, {}),
        ("cifar_plain20", 56, {"in_channels": 1, "image_size": 8}),
        ("cifar_plain8", 20, {"batch_norm": False}),
        ("cifar_plain5", 11, {"block": "single", "downsample": "pool"}),
        ("mlp_plain4", 10, {}),
        ("mlp_plain4", 6, {"batch_norm": True}),
    ],
)
def test_the_copy_computes_the_same(model, depth, switches):
    small = used(model, **switches)
    large = deeper.deeper_copy(small, depth)
    shape = (4, small.spec.in_channels, small.spec.image_size, small.spec.image_size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        a, seen = small(images, "all")
        b, copied = large(images, "all")
    assert large.spec.depth == depth
    assert len(large.rows) > len(small.rows)
    assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)
    ends = {}  # of each stage
    for row in small.rows:
        if row.block:
            ends[row.part] = row.name
    for part, name in ends.items():
        last = [r.name for r in large.rows if r.part == part][-1]
        assert last != name
        assert torch.allclose(seen[name], copied[last], rtol=1e-10, atol=1e-12)
    assert a.abs().max() > 0


def test_bn_passes_whatever_its_statistics_are():
    layer = torch.nn.BatchNorm2d(5).double().eval()
    draw = torch.Generator().manual_seed(0)
    layer.running_mean.copy_(torch.randn(5, generator=draw))
    layer.running_var.copy_(torch.rand(5, generator=draw))
    x = torch.randn((2, 5, 3, 3), generator=draw, dtype=torch.float64)
    assert not torch.allclose(layer(x), x)
    deeper._passing_bn(layer)
    assert torch.allclose(layer(x), x, rtol=1e-12, atol=1e-14)


def test_the_shallow_net_is_left_as_it_was():
    small = used("cifar_plain8")
    before = {k: v.clone() for k, v in small.state_dict().items()}
    large = deeper.deeper_copy(small, 14)
    with torch.no_grad():
        large.get_parameter("stem.conv1.weight").zero_()
    assert all(torch.equal(before[k], v) for k, v in small.state_dict().items())


@pytest.mark.parametrize(
    ("model", "depth", "switches", "word"),
    [
        ("cifar_resnet8", 14, {}, "only a plain"),
        ("cifar_plain8", 14, {"activation": "tanh"}, "only a plain"),
        ("cifar_plain8", 14, {"order": "pre"}, "only a plain"),
        ("plain18", 34, {}, "only a plain"),
        ("cifar_plain8", 8, {}, "greater"),
        ("cifar_plain8", 15, {}, "nearest"),
        ("cifar_plain11", 20, {"block": "bottleneck"}, "basic blocks"),
    ],
)
def test_what_cannot_be_copied_is_refused(model, depth, switches, word):
    with pytest.raises(UserError, match=word):
        deeper.deeper_copy(build(model, **switches), depth)


class TinyBench:
    """A plain net of 8 layers whose BN has seen digits, and the digits themselves."""

    def network(self, of, seed):
        made = of.spec()
        found = build(replace(made, in_channels=1, image_size=8), seed=seed)
        images, _ = self.batch(of, seed, 256)
        with torch.no_grad():
            for _ in range(3):
                found.train()(images)
        return found.eval()

    def batch(self, of, seed, count, split="train"):
        from reslab.claims.experiments.copying import images
        from reslab.data.sets.digits import digits

        return images()[:count], torch.from_numpy(digits().train.labels[:count])


def test_the_measurement_of_trained_nets(monkeypatch):
    monkeypatch.setattr(deeper, "SAMPLES", 200)
    (claim,) = deeper.claims(SMALL)
    made = claim.measurements[1].make(TinyBench(), 3)
    small = TinyBench().network(net("cifar_plain8"), 3)
    images, labels = TinyBench().batch(None, 3, deeper.SAMPLES)
    with torch.no_grad():
        wrong = sum(int(small(images[i : i + 1]).argmax()) != int(labels[i]) for i in range(deeper.SAMPLES))
    assert made["error"] == pytest.approx(100 * wrong / deeper.SAMPLES)
    assert made["error_copy"] == made["error"]
    assert made["fp32"] <= 1e-5


@pytest.mark.parametrize("setting", [SMALL, pytest.param(DIGITS, marks=pytest.mark.slow)])
def test_the_measurement_of_initialised_nets(setting):
    (claim,) = deeper.claims(setting)
    made = claim.measurements[0].make(None, None)
    assert max(made["fp32"]) <= 1e-5
    assert max(made["float64"]) <= 1e-10
    assert len(made["fp32"]) == len(made["float64"]) == 5


def test_a_difference_is_seen():
    a = torch.tensor([[1.0, -4.0]])
    assert deeper.difference(a, a + torch.tensor([[0.0, 0.5]])) == 0.125
    small = used("cifar_plain8")
    large = deeper.deeper_copy(small, 14)
    with torch.no_grad():
        large.get_parameter("conv3_2.branch.bn1.weight").mul_(1.01)
        images = torch.randn((4, 3, 32, 32), dtype=torch.float64)
        assert deeper.difference(small(images), large(images)) > 1e-5


@pytest.mark.parametrize(
    ("off", "error", "gap", "verdict"),
    [
        (1e-6, 2.0, [10.0, 12.0, 11.0], CONDITION),  # the solution exists, SGD does not find it
        (1e-6, 2.0, [-1.0, -1.2, -1.1], HOLDS),
        (1e-6, 2.0, [-10.0, 12.0, 1.0], HOLDS),
        (1e-3, 2.0, [10.0, 12.0, 11.0], CONDITION),
        (1e-6, 2.5, [10.0, 12.0, 11.0], CONDITION),
    ],
)
def test_verdicts(tmp_path, off, error, gap, verdict):
    shelf = fill(Shelf(tmp_path / "study"), off, off, error, gap)
    found = shelf.judge(C19)
    assert found.verdict == verdict
    assert found.flat
    assert found.findings[3].figure.mean == error - 2.0
    if (verdict, off, error) == (CONDITION, 1e-6, 2.0):
        assert "From scratch, training error rises by 11 points from 20 to 56 layers" in found.sentence.en
        assert "training error가 11%p 증가한다" in found.sentence.ko


def fill(shelf, off, trained, error, gap):
    assert shelf.judge(C19).verdict == NOT_RUN
    shelf.measured("deeper-copy", {"fp32": [off, 1e-7], "float64": [1e-14 if off <= 1e-5 else off]})
    for seed, more in enumerate(gap):
        shelf.measured("deeper-trained", {"fp32": trained, "error": 2.0, "error_copy": error}, seed)
        shelf.run(net("cifar_plain20"), seed, 2.0)
        shelf.run(net("cifar_plain56"), seed, 2.0 + more)
    return shelf


def test_a_copy_that_is_none(tmp_path):
    assert fill(Shelf(tmp_path / "study"), 1e-3, 1e-3, 3.0, [5.0, 6.0]).judge(C19).verdict == FAILS


def test_a_budget_that_is_too_short_is_a_condition_whatever_the_gap_says(tmp_path):
    """Curves that still move, and a deeper net that trains better: the answer's sign is that of the figure."""
    shelf = Shelf(tmp_path / "study")
    shelf.measured("deeper-copy", {"fp32": [0.0], "float64": [0.0]})
    for seed in range(3):
        shelf.measured("deeper-trained", {"fp32": 0.0, "error": 2.0, "error_copy": 2.0}, seed)
        shelf.run(net("cifar_plain20"), seed, 9.0, late=[12.0, 10.0])
        shelf.run(net("cifar_plain56"), seed, 7.0, late=[12.0, 10.0])
    found = shelf.judge(C19)
    assert (found.verdict, found.flat) == (CONDITION, False)
    assert found.sentence.en.startswith("For this budget, yes. A trained 20-layer plain net")
    assert found.sentence.ko.startswith("이 학습량에서는 그렇다.")
    assert found.caveat.en == "The runs have not converged: this is the answer after 400 iterations."


def test_its_depths():
    assert deeper.depths_of(DIGITS) == (20, 56)
    assert deeper.depths_of(replace(DIGITS, depths=(8, 20))) == (8, 20)
    assert deeper.depths_of(SMALL) == (8, 14)
    assert [n.model for n in C19.nets] == ["cifar_plain56", "cifar_plain20"]
