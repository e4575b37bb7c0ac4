"""The folded forward against the network's own, which is its slow twin; bf16 against fp32 on nets that were trained."""

import pytest
import torch
from torch import Tensor, nn

from reslab.data.sets.digits import digits
from reslab.engines import inference
from reslab.engines.folding import folded
from reslab.engines.inference import Inference, close_calls
from reslab.nets.model import Network, build

NETS = [
    ("cifar_resnet8", {"shortcut": "A"}),
    ("cifar_resnet8", {"shortcut": "B"}),
    ("cifar_resnet8", {"shortcut": "C", "order": "pre"}),
    ("cifar_resnet8", {"shortcut": "A", "order": "pre", "downsample": "pool"}),
    ("cifar_plain8", {}),
    ("cifar_plain8", {"batch_norm": False}),
    ("cifar_resnet8", {"padding": "circular"}),
    ("cifar_resnet8", {"batch_norm": False}),
    ("cifar_resnet8", {"activation": "tanh"}),
    ("cifar_resnet8", {"activation": "identity"}),
    ("cifar_resnet11", {"block": "bottleneck"}),
    ("resnet50", {"image_size": 33, "in_channels": 1, "widths": (16, 16, 32, 32), "stride_in": "3x3"}),
    ("vgg19", {"image_size": 32, "widths": (8, 8, 16, 16, 16)}),
]


@torch.no_grad()
def ready(model: str, seed: int = 0, **switches: object) -> tuple[Network, Tensor]:
    """A net in evaluation mode whose every BN has constants of its own, and images."""
    net, maker = build(model, classes=7, seed=seed, **switches), torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, centre in ((module.weight, 1.0), (module.bias, 0.0), (module.running_mean, 0.0)):
                values.copy_(centre + 0.3 * torch.randn(values.shape, generator=maker))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=maker))
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=maker))
    size = net.spec.image_size
    return net.eval(), torch.randn(5, net.spec.in_channels, size, size, generator=maker)


def off(found: Tensor, wanted: Tensor) -> float:
    """The largest difference in units of the wanted logits' spread."""
    return float((found - wanted).abs().max() / wanted.std())


@torch.no_grad()
@pytest.mark.parametrize(("model", "switches"), NETS)
def test_fp32_as_the_networks_own_forward(model, switches):
    net, images = ready(model, **switches)
    fast = Inference(net, "fp32")
    assert fast.fallback is None
    assert off(fast(images), net(images)) < 2e-4
    assert off(fast(images), net.double()(images.double()).float()) < 2e-4


@torch.no_grad()
@pytest.mark.parametrize(("model", "switches"), NETS)
def test_bf16_within_its_rounding_and_nothing_else(model, switches, monkeypatch):
    """Without the second look: no further from fp32 than torch's own bf16 is, by half."""
    monkeypatch.setattr(inference, "CLOSE", -1.0)
    net, images = ready(model, **switches)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = net(images).float()
    wanted, found = net(images), Inference(net)(images)
    assert found.dtype == torch.float32
    assert 0 < off(found, wanted) < 1.5 * off(theirs, wanted) + 0.01


@torch.no_grad()
def test_weights_of_a_convolution_with_its_bn():
    """In float64 the two are the same function."""
    conv, norm = nn.Conv2d(3, 4, 3, bias=True).double(), nn.BatchNorm2d(4).double().eval()
    for values in (norm.weight, norm.bias, norm.running_mean):
        values.normal_()
    norm.running_var.uniform_(0.1, 3)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(nn.functional.conv2d(x, *folded(conv, norm)), norm(conv(x)))


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pieces_and_batches_change_nothing(precision, monkeypatch):
    net, images = ready("cifar_resnet8", shortcut="A")
    images = torch.cat([images, images.flip(0)])
    whole, before = Inference(net, precision)(images), images.clone()
    monkeypatch.setattr(inference, "PIECE", 3 * 32 * 32)
    torch.testing.assert_close(Inference(net, precision)(images), whole, rtol=1e-5, atol=1e-5)
    assert torch.equal(images, before)
    strided = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(Inference(net, precision)(strided), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_another_size_goes_the_networks_own_way():
    net, _ = ready("cifar_resnet8", shortcut="A")
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(Inference(net, "fp32")(images), net(images))


@torch.no_grad()
def test_a_net_without_convolutions_goes_its_own_way_and_says_so():
    net = build("mlp_resnet8", in_channels=1, image_size=8).eval()
    images, fast = torch.randn(4, 1, 8, 8), Inference(net, "fp32")
    assert fast.fallback == "not folded, as the net has no convolutions: slower, not broken"
    assert torch.equal(fast(images), net(images))


def test_no_network_in_training_mode():
    with pytest.raises(AssertionError, match="evaluation mode"):
        Inference(build("cifar_resnet8"))


def test_no_gradient_is_kept():
    net, images = ready("cifar_resnet8")
    assert not Inference(net)(images).requires_grad


# -- close calls


def test_which_calls_are_close():
    """Unit vectors as weights: the unit is the norm of the two highest features."""
    features = torch.tensor([[3.0, 4.0, 0.0], [4.0, 3.9, 0.0], [4.0, 4.0, 0.0], [float("nan"), 0.0, 0.0]])
    assert close_calls(features, features, torch.eye(3), 1 / 16).tolist() == [False, True, True, True]
    assert close_calls(features[:, :1], features, torch.ones(1, 3), 1 / 16).tolist() == [False] * 4


@torch.no_grad()
def test_close_calls_are_computed_again_in_fp32(monkeypatch):
    net, images = ready("cifar_resnet8")
    monkeypatch.setattr(inference, "CLOSE", 1e9)
    assert torch.equal(Inference(net)(images), Inference(net, "fp32")(images))


def trained() -> tuple[Network, Tensor, Tensor]:
    """A bottleneck net trained for 60 updates on the digits, and the digits' test split: real margins, many small."""
    data, maker = digits(), torch.Generator().manual_seed(0)
    train, test = data.split("train"), data.split("test")

    def tensors(part):
        images = torch.from_numpy(part.images).permute(0, 3, 1, 2).float()
        return images / 127.5 - 1, torch.from_numpy(part.labels)

    (images, labels), (held, held_labels) = tensors(train), tensors(test)
    net = build("cifar_resnet11", block="bottleneck", in_channels=images.shape[1], image_size=images.shape[2])
    rule = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    for _ in range(60):
        chosen = torch.randint(0, len(labels), (64,), generator=maker)
        nn.functional.cross_entropy(net(images[chosen]), labels[chosen]).backward()
        rule.step()
        rule.zero_grad()
    return net.eval(), held, held_labels


def test_a_trained_net_in_bf16_answers_as_in_fp32():
    """Every answer of 500, with a clear majority of them right; and without the second look some logits do differ."""
    net, images, labels = trained()
    with torch.no_grad():
        wanted = net(images)
    found = Inference(net)(images)
    assert (wanted.argmax(1) == labels).double().mean() > 0.8
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    assert 0 < off(found, wanted) < 0.1
