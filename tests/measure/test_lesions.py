"""Errors of a damaged net against its blocks run by hand, in the order that the lesion leaves."""

import math

import pytest
import torch
import torchvision
from measure.test_probe import Pair, cut, net_of, samples

import reslab
from reslab.errors import UserError
from reslab.measure import passes
from reslab.measure.lesions import DRAWS, draws, lesions, swappable
from reslab.measure.removal import errors_without, removable
from reslab.measure.similarity import similarity
from reslab.measure.surface import surface
from reslab.nets.model import Network, Note, build

SMALL = {"widths": (3, 4, 5), "image_size": 8, "in_channels": 1}
NETS = {
    "residual": ("cifar_resnet20", SMALL),
    "plain": ("cifar_plain14", SMALL),
    "bottleneck": ("cifar_resnet29", SMALL | {"block": "bottleneck", "shortcut": "B"}),
    "pre-activation": ("cifar_resnet14", SMALL | {"order": "pre", "shortcut": "B"}),
    "no BN": ("cifar_resnet14", SMALL | {"batch_norm": False}),
    "7x7 stem": ("resnet18", {"widths": (2, 3, 4, 5), "image_size": 33, "classes": 10}),
    "MLP": ("mlp_resnet8", {"widths": (6, 7), "image_size": 4, "in_channels": 1}),
}


def lively(name: str, switches: dict) -> Network:
    """In float64 and evaluation mode, its BN as if trained."""
    net, maker = build(name, seed=3, **switches).double().eval(), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                size = module.running_mean.shape
                module.running_mean.copy_(torch.randn(size, generator=maker) * 0.3)
                module.running_var.copy_(torch.rand(size, generator=maker) + 0.5)
                module.bias.copy_(torch.randn(size, generator=maker) * 0.2)
                module.num_batches_tracked.fill_(9)
    return net


def quiet(line: str) -> None:
    """A `tell` for computations that are shorter than a line of progress."""
    raise AssertionError(line)


def error_by_hand(net, pair, order):
    """Part after part, from the images on."""
    x = pair.images
    with torch.no_grad():
        for name in order:
            x = net.get_submodule(name)(x, Note())
    return 100 * float((x.argmax(1) != pair.labels).double().mean())


def trained_pair(net, n=60):
    """Samples that the whole net gets right, but for every fifth."""
    pair = samples(net, n)
    with torch.no_grad():
        pair.labels = net.eval()(pair.images).argmax(1)
    pair.labels[::5] = (pair.labels[::5] + 1) % net.spec.classes
    return pair


@pytest.mark.parametrize("case", NETS)
def test_every_lesion_by_hand(case):
    net = lively(*NETS[case])
    pair = trained_pair(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = lesions(net, cut(pair, 17), 60, 3, quiet)
    assert found.error == pytest.approx(20)
    assert found.error == pytest.approx(error_by_hand(net, pair, net.parts))
    names = removable(net)
    assert [x.block for x in found.without] == names
    for x in found.without:
        assert x.error == pytest.approx(error_by_hand(net, pair, [p for p in net.parts if p != x.block]))
    assert [x.k for x in found.several] == [*range(1, len(names) + 1)]
    for some in found.several:
        for draw in some.draws:
            assert len(draw.blocks) == some.k
            assert draw.error == pytest.approx(error_by_hand(net, pair, [p for p in net.parts if p not in draw.blocks]))
        errors = [draw.error for draw in some.draws]
        assert (some.low, some.high) == (min(errors), max(errors))
        assert some.mean == pytest.approx(sum(errors) / len(errors))
    for swap in found.swaps:
        order = list(net.parts)
        one, other = order.index(swap.first), order.index(swap.second)
        assert other == one + 1
        order[one], order[other] = order[other], order[one]
        assert swap.error == pytest.approx(error_by_hand(net, pair, order))
    assert max(x.error for x in found.without) > 20
    assert found.swaps
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_errors_of_c25():
    net = lively(*NETS["residual"])
    pair = trained_pair(net)
    pair.images, net = pair.images.float(), net.float()
    found = lesions(net.eval(), cut(pair, 60), 60, 0, quiet)
    assert {x.block: x.error for x in found.without} == errors_without(net, pair.images, pair.labels)


def test_random_sets_differ_and_repeat():
    names = [f"conv2_{i}" for i in range(1, 9)]
    for k in range(1, 9):
        sets = draws(names, k, 4)
        assert len(set(sets)) == len(sets) == (8 if k == 1 else min(DRAWS, math.comb(8, k)))
        assert all(len(set(one)) == k and list(one) == sorted(one) for one in sets)
        assert sets == draws(names, k, 4)
    assert draws(names, 3, 4) != draws(names, 3, 5)
    assert {name for one in draws(names, 4, 0) for name in one} == set(names)


def test_only_neighbours_of_one_shape_are_swapped():
    assert swappable(build("cifar_resnet20")) == [
        ("conv2_1", "conv2_2"), ("conv2_2", "conv2_3"), ("conv3_2", "conv3_3"), ("conv4_2", "conv4_3"),
    ]  # fmt: skip
    assert swappable(build("cifar_resnet8")) == []


def test_a_net_without_removable_blocks():
    net = net_of("bottleneck")  # one block a stage
    with pytest.raises(UserError, match="--lesions: cifar_resnet11 has no block that keeps its input's shape"):
        lesions(net, cut(samples(net), 5), 12, 0, quiet)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """torchvision's resnet18 of random weights, as its users save it."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked.fill_(1)
    file = tmp_path_factory.mktemp("imported") / "resnet18.pth"
    torch.save(net.state_dict(), file)
    return net.eval(), file


def test_imported_weights(imported):
    """Blocks skipped in torchvision's own module."""
    theirs, file = imported
    net = reslab.load(file).network.eval()
    x = torch.randn(12, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = theirs(x).argmax(1)
    found = lesions(net, lambda: [Pair(x, labels)], 12, 0, quiet)
    assert found.error == 0
    blocks = {"conv2_1": "layer1.0", "conv2_2": "layer1.1", "conv3_2": "layer2.1", "conv4_2": "layer3.1",
              "conv5_2": "layer4.1"}  # fmt: skip
    assert [one.block for one in found.without] == [*blocks]
    for one in found.without:
        parent, place = blocks[one.block].split(".")
        kept = getattr(theirs, parent)[int(place)]
        getattr(theirs, parent)[int(place)] = torch.nn.Identity()
        with torch.no_grad():
            wanted = 100 * float((theirs(x).argmax(1) != labels).double().mean())
        getattr(theirs, parent)[int(place)] = kept
        assert one.error == pytest.approx(wanted)
    assert max(one.error for one in found.without) > 0


def test_progress_ends_at_the_whole(monkeypatch):
    """Every share is counted once: the last line of each long computation is 100 %."""
    monkeypatch.setattr(passes, "PACE", 0.0)
    net = lively(*NETS["residual"])
    pair, lines = samples(net, 20), []
    lesions(net, cut(pair, 7), 20, 0, lines.append)
    similarity(net, cut(pair, 7), 20, lines.append)
    surface(net, cut(pair, 7), 20, "running", 0, 1, lines.append)
    for word in ("lesions", "similarity", "surface"):
        own = [int(line.removesuffix(" %").partition(": ")[2]) for line in lines if line.startswith(word)]
        assert own == sorted(own)
        assert own[-1] == 100
        assert len(set(own)) > 2
