"""Loss and error around the weights: a copy of the net for every point, its weights set by hand."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from measure.test_lesions import NETS, lively, quiet
from measure.test_probe import Pair, cut, samples

import reslab
from reslab.measure.surface import POINTS, direction, scores_along, steps_of, surface


def by_hand(net, lines, point, pair):
    """Loss and error in percent of a copy whose weights are moved."""
    moved = copy.deepcopy(net)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    for step, line in zip(point, lines, strict=True):
        for name, value in line.items():
            state[name] = state[name] + step * value
    moved.load_state_dict(state)
    with torch.no_grad():
        logits = moved(pair.images)
    wrong = (logits.argmax(1) != pair.labels).double().mean()
    return float(F.cross_entropy(logits, pair.labels)), 100 * float(wrong)


@pytest.mark.parametrize("case", NETS)
def test_a_filter_has_the_norm_of_the_weights_filter(case):
    net = lively(*NETS[case])
    line = direction(net, 5, 0)
    for name, weight in net.named_parameters():
        is_filter = name.endswith(".weight") and weight.dim() > 1  # else a bias, or γ and β of BN
        assert (name in line) == is_filter
        if is_filter:
            for filter_, own in zip(line[name], weight.detach(), strict=True):
                assert float(filter_.norm()) == pytest.approx(float(own.norm()), rel=1e-12)
    again, other, seed = direction(net, 5, 0), direction(net, 5, 1), direction(net, 6, 0)
    assert all(torch.equal(value, again[name]) for name, value in line.items())
    assert not any(torch.equal(value, other[name]) or torch.equal(value, seed[name]) for name, value in line.items())


def test_a_direction_is_normal_and_keeps_a_dead_filter_dead():
    net = lively("cifar_resnet8", {"widths": (32, 32, 64)})
    with torch.no_grad():
        net.get_parameter("conv4_1.branch.conv2.weight")[3].zero_()
    drawn = direction(net, 0, 0)["conv4_1.branch.conv2.weight"]
    assert float(drawn[3].abs().max()) == 0
    rest = drawn.flatten(1)[torch.arange(64) != 3]
    values = (rest / rest.std(1, keepdim=True)).flatten()
    assert abs(float(values.mean())) < 0.03
    assert float((values**4).mean()) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("case", NETS)
@pytest.mark.parametrize("directions", [1, 2])
def test_points_by_hand(case, directions):
    net = lively(*NETS[case])
    pair = samples(net, 15)
    lines = [direction(net, 2, number) for number in range(directions)]
    points = [(0.0,) * directions, (0.3, -1.0)[:directions], (-0.7, 0.2)[:directions]]
    for point, scores in zip(points, scores_along(net, lines, points, cut(pair, 4), 15, quiet), strict=True):
        loss, error = by_hand(net, lines, point, pair)
        assert scores.loss == pytest.approx(loss, rel=1e-9)
        assert scores.top1_error == pytest.approx(error)


@pytest.mark.parametrize("directions", [1, 2])
def test_the_grid(directions, monkeypatch):
    monkeypatch.setitem(POINTS, 2, 5)
    net = lively(*NETS["residual"])
    pair = samples(net, 15)
    found = surface(net, cut(pair, 15), 15, "running", 2, directions, quiet)
    lines = [direction(net, 2, number) for number in range(directions)]
    n = POINTS[directions]
    assert found.steps == steps_of(directions)
    assert (len(found.steps), found.steps[0], found.steps[n // 2], found.steps[-1]) == (n, -1, 0, 1)
    for i in (0, 1, n - 1):
        for j in (0, 2) if directions == 2 else (0,):
            point = (found.steps[i], found.steps[j])[:directions]
            loss, error = (x[i][j] if directions == 2 else x[i] for x in (found.loss, found.error))
            assert (loss, error) == pytest.approx(by_hand(net, lines, point, pair), rel=1e-9)
    if directions == 2:
        one, other = (torch.cat([v.flatten() for v in line.values()]) for line in lines)
        assert found.cosine == pytest.approx(float(F.cosine_similarity(one, other, dim=0)))
        assert abs(found.cosine) < 0.2


@pytest.mark.parametrize("fails", [False, True])
def test_the_weights_are_restored_bit_for_bit(fails):
    net = lively(*NETS["residual"]).float()
    pair = samples(net, 8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    calls = []

    def batches():
        yield Pair(pair.images, pair.labels)
        calls.append(len(calls))
        if fails:
            yield Pair(pair.images[:, :, :0], pair.labels)  # cannot be computed

    try:
        surface(net, batches, 8, "running", 0, 1, quiet)
    except (RuntimeError, ValueError):
        assert fails
    assert calls == [0]
    for name, value in net.state_dict().items():
        assert value.numpy().tobytes() == before[name].numpy().tobytes()


def test_bn_keeps_its_averages():
    """With fixed averages a scaled filter changes the loss; with a batch's own it would not."""
    net = lively(*NETS["residual"])
    pair = samples(net, 12)
    own = {name: torch.zeros_like(value) for name, value in direction(net, 0, 0).items()}
    name = "conv2_1.branch.conv1.weight"
    own[name] = net.get_parameter(name).detach().clone()
    there, here = scores_along(net, [own], [(1.0,), (0.0,)], cut(pair, 12), 12, quiet)
    assert abs(there.loss - here.loss) > 1e-4 * here.loss


def test_imported_weights(tmp_path):
    """Points set in torchvision's own module."""
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    net = reslab.load(tmp_path / "resnet18.pth").network.eval()
    x = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    pair = Pair(x, torch.tensor([0, 1, 2, 0, 1, 2]))
    line = direction(net, 0, 0)
    theirs_by_ours = dict(zip([n for n, p in net.named_parameters() if p.dim() > 1],
                              [n for n, p in theirs.named_parameters() if p.dim() > 1], strict=True))  # fmt: skip
    moved = {theirs_by_ours[name]: value for name, value in line.items()}
    for name, value in moved.items():
        assert value.shape == theirs.get_parameter(name).shape
    (scores,) = scores_along(net, [line], [(-0.4,)], lambda: [pair], 6, quiet)
    loss, error = by_hand(theirs, [moved], (-0.4,), pair)
    assert math.isfinite(loss)
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.top1_error == pytest.approx(error)
