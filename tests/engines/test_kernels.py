"""The kernels against torch's own batch norm in float64; the fused forward against the model's."""

import copy

import pytest
import torch
import torch.nn.functional as F
from cases import some
from torch import nn

from reslab.engines import fused, kernels
from reslab.engines.kernels import normalise, supported, unavailable_reason
from reslab.nets.model import build
from reslab.store.native import compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine: no kernels")


def drawn(*shape, seed=0, dtype=torch.float32):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return values.to(memory_format=torch.channels_last).requires_grad_()


def norm(channels: int) -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(channels, momentum=0.3)
    with torch.no_grad():
        bn.weight.copy_(torch.linspace(-1, 2, channels))
        bn.bias.copy_(torch.linspace(1, -1, channels))
    return bn.train()


# channels: several rows in one line of 64 columns, exactly one, more than one, and odd multiples of 16;
# sizes: a few rows, maps whose rows do not fill a line or a chunk, and several chunks
CHANNELS, SIZES = (16, 32, 48, 64, 80, 192), ((3, 2), (3, 5), (5, 32))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("images", "size"), SIZES)
def test_result_gradients_and_statistics_against_torch_in_float64(images, size, channels, twice, added, relu):
    shape = (images, channels, size, size)
    bn, twin = norm(channels), norm(channels).double()
    x, s = drawn(*shape, seed=1), drawn(*shape, seed=2) if added else None
    assert supported(bn, x)
    y, again = normalise(bn, x, s, relu=relu, twice=twice)
    assert y.data_ptr() == again.data_ptr()
    assert (y is not again) is twice
    x64, s64 = x.detach().double().requires_grad_(), s.detach().double().requires_grad_() if added else None
    expected = twin(x64) + (s64 if added else 0)
    expected = expected.relu() if relu else expected
    one, two = drawn(*shape, seed=3).detach(), drawn(*shape, seed=4).detach()
    (y * one + again * two).sum().backward()
    (expected * (one + two).double()).sum().backward()
    pairs = {"y": (y, expected), "dx": (x.grad, x64.grad), "weight": (bn.weight.grad, twin.weight.grad)}
    pairs |= {"bias": (bn.bias.grad, twin.bias.grad)}
    pairs |= {"mean": (bn.running_mean, twin.running_mean), "var": (bn.running_var, twin.running_var)}
    if added:
        pairs["shortcut"] = (s.grad, s64.grad)
    for name, (found, wanted) in pairs.items():
        assert torch.allclose(found.double(), wanted, rtol=1e-4, atol=1e-4), name
    assert bn.num_batches_tracked == twin.num_batches_tracked == 1


@pytest.mark.parametrize("added", [True, False])
def test_bf16_is_nearer_to_the_truth_than_torchs_own(added):
    """Against float64 on the same bf16 values: our rounding error is at most that of torch's separate operators."""
    shape = (16, 32, 16, 16)
    x, s = drawn(*shape, seed=1, dtype=torch.bfloat16), drawn(*shape, seed=2, dtype=torch.bfloat16) if added else None
    upper = drawn(*shape, seed=3, dtype=torch.bfloat16).detach()

    def run(how, dtype):
        bn = norm(32).to(torch.float64 if dtype == torch.float64 else torch.float32)
        a, b = x.detach().to(dtype).requires_grad_(), s.detach().to(dtype).requires_grad_() if added else None
        y = how(bn, a, b)
        y.backward(upper.to(dtype))
        return [v.double() for v in (y.detach(), a.grad, bn.weight.grad, bn.bias.grad)]

    def plainly(bn, a, b):
        y = bn(a)
        return (y if b is None else y + b).relu()

    truth = run(plainly, torch.float64)
    ours = run(lambda bn, a, b: normalise(bn, a, b, relu=True)[0], torch.bfloat16)
    theirs = run(plainly, torch.bfloat16)
    for name, true, mine, other in zip(("y", "dx", "weight", "bias"), truth, ours, theirs, strict=True):
        assert (mine - true).norm() <= 1.05 * (other - true).norm() + 1e-6 * true.norm(), name
        assert (mine - true).norm() < 0.01 * true.norm(), name


def test_a_large_mean_does_not_cost_the_variance():
    """Mean 1,000 times the deviation: E[x²] - E[x]² in fp32 would lose all but one digit."""
    x = (drawn(8, 16, 16, 16).detach() * 0.1 + 100).requires_grad_()
    bn, twin = norm(16), norm(16).double()
    y, _ = normalise(bn, x, relu=False)
    assert torch.allclose(y.double(), twin(x.double()), atol=2e-3)
    assert torch.allclose(bn.running_var.double(), twin.running_var, rtol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_stays_visible(dtype, value):
    x = drawn(4, 16, 8, 8, dtype=dtype).detach()
    x[1, 3, 2, 2] = value
    y, _ = normalise(norm(16), x.requires_grad_(), relu=True)
    assert y[:, 3].isnan().all()
    assert y[:, 4].isfinite().all()


def test_the_number_of_threads_changes_no_bit():
    ends, before = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            bn, x, s = norm(48), drawn(9, 48, 13, 13, seed=1), drawn(9, 48, 13, 13, seed=2)
            y, again = normalise(bn, x, s, relu=True, twice=True)
            (y.sin().sum() + again.cos().sum()).backward()
            ends.append((y, x.grad, s.grad, bn.weight.grad, bn.running_mean, bn.running_var))
    finally:
        torch.set_num_threads(before)
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


@pytest.mark.parametrize(
    "case",
    ["eval", "channels", "double", "one value"],
)
def test_what_the_kernels_do_not_serve_is_left_to_torch(case):
    channels = 10 if case == "channels" else 16
    bn, x = norm(channels), drawn(3, channels, 4, 4)
    if case == "eval":
        bn.eval()
    if case == "double":
        bn, x = bn.double(), x.detach().double()
    if case == "one value":
        x = x.detach()[:1, :, :1, :1]
    twin = copy.deepcopy(bn)
    assert not supported(bn, x)
    if case == "one value":  # as torch has it: no variance
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            normalise(bn, x, relu=True)
        return
    assert torch.equal(normalise(bn, x, relu=True)[0], twin(x).relu())


NETS = {
    "residual, option A": ("cifar_resnet20", {}),
    "zeros on both sides": ("cifar_resnet20", {"pad_at": "both"}),
    "circular padding": ("cifar_resnet20", {"padding": "circular"}),
    "residual, option B": ("cifar_resnet20", {"shortcut": "B"}),
    "plain": ("cifar_plain20", {}),
    "pre-activation": ("cifar_resnet20", {"order": "pre"}),
    "pre-activation, option C": ("cifar_resnet8", {"order": "pre", "shortcut": "C"}),
    "bottleneck": ("cifar_resnet29", {"block": "bottleneck", "shortcut": "B"}),
    "tanh": ("cifar_resnet8", {"activation": "tanh"}),
    "pooling": ("cifar_resnet8", {"downsample": "pool"}),
    "VGG": ("vgg19", {"image_size": 32, "classes": 10, "batch_norm": True}),
    "without BN": ("cifar_resnet8", {"batch_norm": False}),
}


BATCH = 8


def backward_of(net, forward, dtype):
    """Logits, gradients and buffers after one forward and backward of a copy of `net` in `dtype`."""
    twin, side = copy.deepcopy(net).to(dtype), net.spec.image_size
    images = torch.randn(BATCH, 3, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)
    logits = forward(twin, images)
    F.cross_entropy(logits, torch.arange(BATCH) % 10).backward()
    gradients = {name: p.grad for name, p in twin.named_parameters()}
    return {"logits": logits.detach(), **gradients, **dict(twin.named_buffers())}


@pytest.mark.parametrize("name", some(NETS, quick=8))
def test_fused_forward_against_the_models_own(name):
    """In float64, where torch takes over from the kernels, the two are the same net, whatever the order of sums. In
    fp32 with the kernels all gradients together differ little (a ReLU whose input is nearly zero may flip)."""
    model, switches = NETS[name]
    net = build(model, seed=3, **switches).to(memory_format=torch.channels_last).train()
    for dropout in (m for m in net.modules() if isinstance(m, nn.Dropout)):
        dropout.p = 0.0
    truth, same, ours = (
        backward_of(net, *how)
        for how in ((lambda n, x: n(x), torch.float64), (fused.forward, torch.float64), (fused.forward, torch.float32))
    )
    for key, value in truth.items():
        assert torch.allclose(same[key], value, rtol=1e-9, atol=1e-12), key
    error = sum((ours[k].double() - v.double()).square().sum() for k, v in truth.items())
    assert error.sqrt() < 0.03 * sum(v.double().square().sum() for v in truth.values()).sqrt()


def test_the_kernels_are_really_used():
    """The comparison above would also pass if every layer were left to torch."""
    calls = []
    real = kernels._call
    try:
        kernels._call = lambda what, *rest: (calls.append(what), real(what, *rest))
        net = build("cifar_resnet20", seed=0).to(memory_format=torch.channels_last).train()
        fused.forward(net, torch.randn(4, 3, 32, 32)).sum().backward()
    finally:
        kernels._call = real
    assert calls.count("forward") == calls.count("backward") == 19


def test_the_kernels_are_available_here():
    assert unavailable_reason() == ""
