"""Logits against torchvision with the weights copied over, in evaluation and training mode, fp32 and float64."""

import itertools

import pytest
import torch
import torchvision

from reslab.nets.model import build
from reslab.nets.plan import plan
from reslab.nets.row import path_of


def copied(name, dtype, **switches):
    """Our net and torchvision's with the same random weights and BN statistics, paired layer by layer in order.

    torchvision registers a block's projection after its branch, as our plan does, so both lists run alike.
    """
    ours = build(name, **switches)
    theirs = getattr(torchvision.models, name)(weights=None)
    generator = torch.Generator().manual_seed(0)
    weighted = [m for m in theirs.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.BatchNorm2d | torch.nn.Linear)]
    rows = [r for r in plan(ours.spec) if r.kind in ("conv", "bn", "linear")]
    if name.startswith("resnet"):
        # torchvision's modules() order inside a block: conv1 conv2 (conv3) with BNs apart; take them by attribute
        weighted = [theirs.conv1, theirs.bn1]
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            for block in stage:
                for i in (1, 2, 3):
                    if hasattr(block, f"conv{i}"):
                        weighted += [getattr(block, f"conv{i}"), getattr(block, f"bn{i}")]
                if block.downsample is not None:
                    weighted += list(block.downsample)
        weighted.append(theirs.fc)
    assert len(weighted) == len(rows)
    with torch.no_grad():
        for row, module in zip(rows, weighted, strict=True):
            mine = ours.get_submodule(path_of(row))
            for key, value in mine.state_dict().items():
                if (key == "weight" and row.kind == "bn") or key == "running_var":
                    value.uniform_(0.5, 1.5, generator=generator)
                elif key in ("bias", "running_mean"):
                    value.normal_(0, 0.1, generator=generator)
            module.load_state_dict(mine.state_dict())
            if row.kind == "conv":
                assert module.stride == mine.stride
                assert module.padding == mine.padding
    return ours.to(dtype), theirs.to(dtype)


BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
# one net of each kind of block; the others, and VGG, whose weights are 576 MB, are left to `make reliability`
QUICK = ("resnet18", "resnet50")
PAIRS = [
    pytest.param(*case, marks=[] if case[0] in QUICK else [pytest.mark.slow])
    for case in itertools.product(
        ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg19"), (False, True), BOUNDS
    )
]


@pytest.mark.parametrize(("name", "train", "dtype"), PAIRS)
def test_torchvision_logits(name, train, dtype):
    switches = {"stride_in": "3x3", "shortcut": "B"} if name.startswith("resnet") else {}
    ours, theirs = copied(name, dtype, **switches)
    # 64 pixels keep training mode fast; VGG's fully connected layers need 224
    side = 224 if name == "vgg19" else 64
    images = torch.randn(2, 3, side, side, dtype=dtype, generator=torch.Generator().manual_seed(1))
    logits = []
    for net in (ours, theirs):
        net.train(train)
        torch.manual_seed(0)  # VGG's dropout
        with torch.no_grad():
            logits.append(net(images))
    gap = (logits[0] - logits[1]).abs().max() / logits[1].abs().max()
    assert gap <= BOUNDS[dtype]


def test_v1_differs():
    """The stride in the 1x1 is another function: the parity above would fail if the switch did nothing."""
    v1 = build("resnet50", stride_in="1x1").double().eval()
    v15 = build("resnet50", stride_in="3x3").double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        assert (v1(images) - v15(images)).abs().max() > 1e-3


def test_resnet18_at_224_with_224_maps():
    ours, theirs = copied("resnet18", torch.float32)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        a, b = ours.eval()(images), theirs.eval()(images)
    assert (a - b).abs().max() / b.abs().max() <= 1e-5
