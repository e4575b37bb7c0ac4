"""Our own convolutions against torch's in float64; the engine winograd against the model's own forward."""

import pytest
import torch
import torch.nn.functional as F
from cases import some
from torch import nn

from reslab.engines import fused, winograd
from reslab.engines.winograd import convolve, convolve_natively, is_worthwhile, supported
from reslab.nets.model import build

WHY_NOT = winograd.unavailable_reason()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"no convolutions of our own here: {WHY_NOT}")

# channels in and out: one vector, two, four, odd multiples of 16, and different ones
CHANNELS = ((16, 16), (32, 32), (64, 64), (48, 48), (16, 64), (64, 16), (96, 32), (128, 80))
# images, height, width: CIFAR's maps; tiles that end outside, one column, one pixel; more blocks than one
SIZES = ((3, 8, 8), (2, 32, 32), (5, 7, 7), (2, 6, 10), (3, 5, 2), (1, 1, 1), (9, 1, 3))


def made(channels, size, seed=0, layout=torch.channels_last):
    """A convolution, an input and a gradient of its output."""
    draw = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(*channels, 3, padding=1, bias=False).to(memory_format=layout)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=draw) * (2 / (9 * channels[0])) ** 0.5)
    images, height, width = size
    x = torch.randn(images, channels[0], height, width, generator=draw).relu().bfloat16()
    dy = torch.randn(images, channels[1], height, width, generator=draw).bfloat16()
    return conv, x.contiguous(memory_format=layout), dy.contiguous(memory_format=layout)


def three(forward, conv, x, dy):
    """Output, the input's gradient, the weights' gradient, in float64."""
    conv.weight.grad = None
    x = x.detach().requires_grad_()
    y = forward(conv, x)
    y.backward(dy)
    return [t.detach().double() for t in (y, x.grad, conv.weight.grad)]


def truth(conv, x, dy):
    twin = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=False).double()
    twin.load_state_dict({"weight": conv.weight.detach().double()})
    return three(lambda c, v: c(v), twin, x.double(), dy.double())


def in_bf16(conv, x):
    """What torch computes under autocast."""
    return F.conv2d(x, conv.weight.bfloat16(), padding=1)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", SIZES)
def test_against_torch_in_float64(channels, size):
    """Off by little more than torch's own in bf16; where tiles or channels were mixed up all would be off."""
    conv, x, dy = made(channels, size)
    assert supported(conv, x)
    found, wanted, theirs = three(convolve_natively, conv, x, dy), truth(conv, x, dy), three(in_bf16, conv, x, dy)
    for name, ours, true, torchs in zip(("y", "dx", "dw"), found, wanted, theirs, strict=True):
        error = (ours - true).norm()
        assert error < 0.01 * true.norm(), name
        assert error < 3 * (torchs - true).norm() + 1e-3 * true.norm(), name


def test_the_gradient_of_the_weights_stays_in_fp32():
    conv, x, dy = made((16, 16), (2, 8, 8))
    convolve_natively(conv, x.requires_grad_()).backward(dy)
    assert conv.weight.grad.dtype == torch.float32
    assert conv.weight.grad.stride() == conv.weight.stride()
    assert (conv.weight.grad != conv.weight.grad.bfloat16().float()).any()


def test_maps_and_weights_of_another_layout():
    plain, x, dy = made((32, 16), (3, 6, 6), layout=torch.contiguous_format)
    last, *_ = made((32, 16), (3, 6, 6))
    ours = three(convolve_natively, plain, x, dy)
    same = three(convolve_natively, last, *(t.contiguous(memory_format=torch.channels_last) for t in (x, dy)))
    assert all(torch.equal(a, b) for a, b in zip(ours, same, strict=True))


def test_the_number_of_threads_changes_no_bit():
    conv, x, dy = made((32, 64), (11, 14, 14))
    ends, before = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            ends.append(three(convolve_natively, conv, x, dy))
    finally:
        torch.set_num_threads(before)
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible_where_it_is(value):
    conv, x, _ = made((16, 16), (2, 8, 8))
    x[1, 3, 2, 2] = value
    y = convolve_natively(conv, x)
    assert not y[1, :, 1:4, 1:4].isfinite().any()
    assert y[0].isfinite().all()
    assert y[1, :, 5:].isfinite().all()


@pytest.mark.parametrize(
    "case",
    ["fp32", "double", "bias", "stride", "dilation", "groups", "no padding", "reflect", "1x1", "channels", "wide"],
)
def test_what_is_not_served_is_left_to_torch(case):
    how = {
        "bias": {"bias": True}, "stride": {"stride": 2}, "dilation": {"dilation": 2}, "groups": {"groups": 2},
        "no padding": {"padding": 0}, "reflect": {"padding_mode": "reflect"}, "1x1": {"kernel_size": 1, "padding": 0},
        "channels": {"in_channels": 10}, "wide": {"out_channels": 256},
    }.get(case, {})  # fmt: skip
    words = {"in_channels": 32, "out_channels": 32, "kernel_size": 3, "padding": 1, "bias": False, **how}
    conv = nn.Conv2d(**words)
    x = torch.randn(2, conv.in_channels, 8, 8)
    if case == "double":
        conv, x = conv.double(), x.double()
    assert not supported(conv, x if case in ("fp32", "double") else x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16, enabled=case not in ("fp32", "double")):
        assert torch.equal(convolve(conv, x), conv(x))


@pytest.mark.parametrize(("images", "size", "enough"), [(8, 16, True), (7, 16, False), (32, 7, True), (2, 33, True)])
def test_few_tiles_are_left_to_torch(monkeypatch, images, size, enough):
    """Transforming the weights takes as long whatever there is to multiply them with."""
    conv, x, _ = made((16, 16), (images, size, size))
    assert supported(conv, x)
    assert is_worthwhile(x) is enough
    called = []
    monkeypatch.setattr(winograd, "convolve_natively", lambda *a: called.append(a))
    with torch.autocast("cpu", torch.bfloat16):
        convolve(conv, x)
    assert bool(called) is enough


NETS = {
    "residual, option A": ("cifar_resnet20", {}),
    "projections before the activation": ("cifar_resnet20", {"order": "pre", "shortcut": "C"}),
    "plain": ("cifar_plain20", {}),
    "for larger images": ("resnet18", {"image_size": 64, "classes": 10}),
    "single layers": ("cifar_resnet20", {"block": "single"}),
}


def backward_of(model, switches, engine, dtype):
    net = build(model, seed=3, **switches).to(memory_format=torch.channels_last, dtype=dtype).train()
    side = net.spec.image_size
    images = torch.randn(32, 3, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
        logits = fused.forward(net, images, engine=engine) if engine else net(images)
    F.cross_entropy(logits.to(dtype), torch.arange(32) % 10).backward()
    return {n: p.grad.double() for n, p in net.named_parameters()} | {"logits": logits.detach().double()}


@pytest.mark.parametrize("name", some(NETS, quick=2))
def test_a_whole_net_is_as_near_to_the_truth_as_with_torchs_convolutions(name):
    """All gradients together, against float64; bf16 alone is off by 1 to 40 percent (plain, 20 layers)."""
    model, switches = NETS[name]
    true = backward_of(model, switches, None, torch.float64)
    size = sum(v.square().sum() for v in true.values()).sqrt()
    errors = {}
    for engine in ("winograd", "fused"):
        found = backward_of(model, switches, engine, torch.float32)
        errors[engine] = sum((found[k] - v).square().sum() for k, v in true.items()).sqrt() / size
    assert errors["winograd"] < 1.25 * errors["fused"], errors
    assert 0 < errors["winograd"] < 0.5


def test_they_are_really_used(monkeypatch):
    """The comparison above would also pass if every layer were left to torch."""
    seen = []
    real = winograd._convolved
    monkeypatch.setattr(winograd, "_convolved", lambda *a, **k: (seen.append(k["transposed"]), real(*a, **k))[1])
    backward_of("cifar_resnet20", {}, "winograd", torch.float32)
    assert (seen.count(False), seen.count(True)) == (16, 16)  # of 19: not the stem, not the two of stride 2
    backward_of("cifar_resnet20", {}, "fused", torch.float32)
    assert len(seen) == 32
