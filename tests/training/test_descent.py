"""Muon against singular value decomposition, torch's own Muon and a slow loop; the state of both optimizers."""

import copy

import pytest
import torch
from torch import nn

from reslab.nets.model import build
from reslab.runs.recipe import Recipe, changed
from reslab.training.descent import Descent, Muon, orthogonal

MUON = {"optimizer": "muon", "momentum_form": "nesterov", "muon_lr": 0.05, "lr": 0.2}
GENERATOR = torch.Generator().manual_seed(11)


def drawn(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def cosine(a, b) -> float:
    return float((a * b).sum() / a.norm() / b.norm())


@pytest.mark.parametrize("shape", [(3, 16, 144), (1, 64, 27), (2, 40, 80)])
def test_orthogonal_against_the_singular_value_decomposition(shape):
    matrices = drawn(*shape)
    found = orthogonal(matrices)
    assert found.shape == matrices.shape
    for one, matrix in zip(found, matrices, strict=True):
        u, singular, v = torch.linalg.svd(matrix, full_matrices=False)
        assert singular.max() / singular.min() > 1.5  # there is something to do
        assert cosine(one, u @ v) > 0.97
        assert torch.linalg.svdvals(one).min() > 0.5
        assert torch.linalg.svdvals(one).max() < 1.3


def test_orthogonal_of_nothing_and_of_any_size():
    assert not orthogonal(torch.zeros(2, 3, 4)).any()
    matrices = drawn(2, 8, 20)
    for factor in (1e-20, 1e12):
        assert torch.allclose(orthogonal(matrices * factor), orthogonal(matrices), atol=1e-4)


@pytest.mark.parametrize("nesterov", [False, True])
def test_directions_are_those_of_torchs_own_muon(nesterov):
    """torch.optim.Muon works in bf16 and on matrices alone; three updates with the same gradients go the same way."""
    ours, theirs = nn.Parameter(torch.zeros(16, 8, 3, 3)), nn.Parameter(torch.zeros(16, 72))
    mine = Muon([ours], momentum=0.9, nesterov=nesterov, lr=0.1)
    peer = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=nesterov)
    for _ in range(3):
        gradient = drawn(16, 8, 3, 3)
        with torch.no_grad():
            ours.copy_(torch.ones_like(ours))  # our update is measured by the weights' norm: keep it away from zero
            before = theirs.detach().clone()
        ours.grad, theirs.grad = gradient.clone(), gradient.flatten(1).clone()
        mine.step()
        peer.step()
        turned = ours.detach() / ours.detach().norm() - 1 / ours.numel() ** 0.5
        across = turned - (turned * ours.detach()).sum() / ours.detach().norm() ** 2 * ours.detach()
        other = (theirs.detach() - before).view_as(ours)
        other = other - (other * ours.detach()).sum() / ours.detach().norm() ** 2 * ours.detach()
        assert cosine(across, other) > 0.995


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_updates_against_a_slow_loop(layout):
    """Several banks, two of one shape, in float64: each for itself by the docstring's words."""
    shapes = [(8, 4, 3, 3), (8, 4, 3, 3), (4, 8, 1, 1), (20, 2, 3, 3)]
    banks = [nn.Parameter(drawn(*s).double().contiguous(memory_format=layout)) for s in shapes]
    twins = [b.detach().clone() for b in banks]
    velocities = [torch.zeros_like(t) for t in twins]
    optimizer = Muon(banks, momentum=0.8, nesterov=True)
    for lr in (0.1, 0.1, 0.03):
        optimizer.set_rate(lr)
        for k, bank in enumerate(banks):
            bank.grad = drawn(*shapes[k]).double()
            velocities[k] = 0.8 * velocities[k] + bank.grad
            u = orthogonal((bank.grad + 0.8 * velocities[k]).reshape(1, shapes[k][0], -1)).reshape(shapes[k])
            w = twins[k] / twins[k].norm() - lr * u / u.norm()
            twins[k] = twins[k].norm() * w / w.norm()
        optimizer.step()
        for bank, twin in zip(banks, twins, strict=True):
            assert torch.allclose(bank, twin, rtol=1e-9, atol=1e-12)
            assert bank.is_contiguous(memory_format=layout)


def test_the_rate_is_the_angle_and_the_norm_stays():
    bank = nn.Parameter(drawn(16, 16, 3, 3))
    before = bank.detach().clone()
    optimizer = Muon([bank], momentum=0.9, nesterov=False, lr=0.02)
    across = drawn(16, 16, 3, 3)
    bank.grad = across - (across * before).sum() / before.norm() ** 2 * before
    optimizer.step()
    assert float(bank.detach().norm()) == pytest.approx(float(before.norm()), rel=1e-5)
    assert torch.arccos(torch.tensor(cosine(bank.detach(), before))) == pytest.approx(0.02, rel=0.05)


def trained(updates, resumed_after=None, **choices):
    """Weights after `updates` of a net whose gradients are drawn; set down and taken up once."""
    generator = torch.Generator().manual_seed(4)
    recipe = changed(Recipe(), {**MUON, **choices})
    net = build("cifar_resnet8", in_channels=1, image_size=8, widths=(4, 4, 8))
    descent = Descent(net, recipe, "cpu")
    for number in range(updates):
        for p in net.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        descent.step(0.2 / (number + 1))
        if number == resumed_after:
            kept, rate = copy.deepcopy(descent.momentum()), descent.rate
            descent = Descent(net, recipe, "cpu")
            descent.restore(kept, rate)
    return net, descent


@pytest.mark.parametrize("form", ["torch", "caffe", "nesterov"])
def test_state_survives_a_round_trip(form):
    whole, descent = trained(5, momentum_form=form)
    parted, _ = trained(5, resumed_after=2, momentum_form=form)
    assert set(descent.momentum()) == {n for n, _ in whole.named_parameters()}
    for (key, a), (_, b) in zip(whole.state_dict().items(), parted.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


def test_who_updates_what():
    """Convolutions turn and keep their norms; BN and the head follow SGD, one schedule for both."""
    net, descent = trained(1, momentum_form="torch", weight_decay=0.0)
    fresh = build("cifar_resnet8", in_channels=1, image_size=8, widths=(4, 4, 8))
    generator = torch.Generator().manual_seed(4)
    for (name, p), q in zip(net.named_parameters(), fresh.parameters(), strict=True):
        gradient = torch.randn(p.shape, generator=generator)
        if p.dim() == 4:
            assert float(p.detach().norm()) == pytest.approx(float(q.detach().norm()), rel=1e-5), name
            assert not torch.allclose(p, q - 0.2 * gradient)
        else:
            assert torch.allclose(p, q - 0.2 * gradient), name
    assert descent.muon is not None
    descent.step(0.1)
    assert descent.muon.lr == pytest.approx(0.025)  # half of muon_lr, as 0.1 is half of lr


def test_sgd_alone_has_no_muon():
    net = build("mlp_resnet20")
    assert Descent(net, changed(Recipe(), MUON), "cpu").muon is None  # no convolution
    assert Descent(build("cifar_resnet8"), Recipe(), "cpu").muon is None
