"""captum's attributions of our nets, unchanged: their sum is the difference of the logits.

torchvision's nets use one ReLU module several times, which captum's DeepLift refuses (captum issue 378).
"""

from __future__ import annotations

import pytest
import torch

import reslab

NETS = [
    ("cifar_resnet8", {}),
    ("cifar_resnet8", {"order": "pre", "shortcut": "B"}),
    ("resnet18", {"image_size": 64, "classes": 10, "widths": (16, 32, 64, 128)}),
]


@pytest.mark.slow  # `make reliability` installs the other library
@pytest.mark.filterwarnings("ignore::UserWarning:captum")  # that it sets hooks and asks for gradients
@pytest.mark.parametrize("method", ["DeepLift", "IntegratedGradients"])
@pytest.mark.parametrize(("name", "switches"), NETS)
def test_attributions_sum_to_the_difference_of_logits(name, switches, method):
    attr = pytest.importorskip("captum.attr", reason="needs captum: pip install --group oracles")
    torch.use_deterministic_algorithms(False)  # a test before may have set it; DeepLift's unpooling has no such form
    net = reslab.build(name, seed=2, **switches).eval()
    size, maker = net.spec.image_size, torch.Generator().manual_seed(0)
    for module in net.modules():  # as if trained
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=maker)
            module.running_var.uniform_(0.5, 1.5, generator=maker)
    images = torch.randn(4, 3, size, size, generator=maker)
    baseline = torch.zeros_like(images)
    target = torch.tensor([0, 3, 5, 9])
    more = {"n_steps": 1000, "internal_batch_size": 200} if method == "IntegratedGradients" else {}
    found = getattr(attr, method)(net).attribute(images, baseline, target=target, **more)
    with torch.no_grad():
        wanted = (net(images) - net(baseline))[range(4), target]
    assert found.shape == images.shape
    assert float(wanted.abs().min()) > 1e-3
    torch.testing.assert_close(found.sum((1, 2, 3)).to(wanted.dtype), wanted.detach(), rtol=0.01, atol=0)
