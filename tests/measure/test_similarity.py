"""CKA by the definition of HSIC, in numpy, from features that the net gives by name."""

import numpy as np
import pytest
import torch
from measure.test_lesions import NETS, lively, quiet
from measure.test_probe import Pair, cut, samples

import reslab
from reslab.errors import UserError
from reslab.measure import similarity as module
from reslab.measure.similarity import check_size, compared, gram_matrices, similarity
from reslab.nets.model import build


def hsic(x, y):
    """Gretton et al. 2005: tr(K H L H) / (n − 1)², of linear kernels, every step written out."""
    n = len(x)
    centring = np.eye(n) - np.ones((n, n)) / n
    return np.trace(x @ x.T @ centring @ y @ y.T @ centring) / (n - 1) ** 2


def cka(x, y):
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


@pytest.mark.parametrize("case", NETS)
def test_cka_by_the_definition(case):
    net = lively(*NETS[case])
    pair = samples(net, 23)
    found = similarity(net, cut(pair, 7), 23, quiet)
    rows = compared(net)
    assert found.names == tuple(rows)
    with torch.no_grad():
        values = net(pair.images, names="all")[1]
    features = [values[row].flatten(1).numpy() for row in rows.values()]
    wanted = np.array([[cka(x, y) for y in features] for x in features])
    np.testing.assert_allclose(np.array(found.cka), wanted, rtol=1e-9)
    np.testing.assert_allclose(np.diag(np.array(found.cka)), 1, rtol=1e-12)
    assert wanted.min() < 0.9


def test_cka_by_features():
    """The paper's other form: ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features."""
    net = lively(*NETS["residual"])
    pair = samples(net, 40)
    found = similarity(net, cut(pair, 40), 40, quiet)
    with torch.no_grad():
        values = net(pair.images, names=compared(net).values())[1]
    x, y = (values[compared(net)[name]].flatten(1) for name in ("stem", "gap"))
    x, y = x - x.mean(0), y - y.mean(0)
    wanted = (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert found.cka[0][-1] == pytest.approx(float(wanted), rel=1e-9)


@pytest.mark.parametrize("size", [1, 4, 9, 30])
@pytest.mark.parametrize("held", [1, 5000, 20000, 2**28])
def test_little_memory_gives_the_same_matrices(size, held):
    """If not all features fit, the samples pass several times; every pair of batches meets once."""
    net = lively(*NETS["plain"])
    pair = samples(net, 30)
    whole = gram_matrices(net, cut(pair, 30), 30, quiet)
    passes = []

    def batches():
        passes.append(held)
        return cut(pair, size)()

    for name, gram in gram_matrices(net, batches, 30, quiet, held).items():
        np.testing.assert_allclose(gram, whole[name], rtol=1e-10)
    assert (len(passes) == 1) == (size == 30 or held == 2**28)


def test_the_compared_outputs():
    assert [*compared(build("cifar_resnet8"))] == ["stem", "conv2_1", "conv3_1", "conv4_1", "gap"]
    assert compared(build("resnet18"))["stem"] == "pool1"  # after the pooling
    assert "gap" not in compared(lively(*NETS["MLP"]))


def test_an_output_that_never_changes():
    net = lively(*NETS["no BN"])
    pair = samples(net, 10)
    pair.images = pair.images[:1].repeat(10, 1, 1, 1)
    assert all(value is None for row in similarity(net, cut(pair, 10), 10, quiet).cka for value in row)


def test_too_many_samples(monkeypatch):
    net = build("cifar_resnet8", **NETS["residual"][1])
    check_size(net, 500)
    with pytest.raises(UserError, match=r"5 outputs .* matrices of 50,000 x 50,000; --samples 7327 fits"):
        check_size(net, 50_000)
    check_size(net, 7327)
    monkeypatch.setattr(module, "MOST", 100)
    with pytest.raises(UserError, match="--samples 4 fits"):
        reslab.probe(net, similarity=True, samples=20, device="cpu", threads=1)


def test_imported_weights(tmp_path):
    """Features of torchvision's own module, by hooks."""
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    features = {}
    places = {"stem": theirs.maxpool, "conv2_1": theirs.layer1[0], "conv5_2": theirs.layer4[1], "gap": theirs.avgpool}
    for name, place in places.items():
        place.register_forward_hook(lambda _, __, value, name=name: features.update({name: value}))
    x = torch.randn(9, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs(x)
    net = reslab.load(tmp_path / "resnet18.pth").network.eval()
    found = similarity(net, lambda: [Pair(x[:5], x[:5]), Pair(x[5:], x[5:])], 9, quiet)
    assert len(found.names) == 10
    for one in places:
        for other in places:
            wanted = cka(*(features[name].flatten(1).double().numpy() for name in (one, other)))
            assert found.cka[found.names.index(one)][found.names.index(other)] == pytest.approx(wanted, rel=1e-5)
