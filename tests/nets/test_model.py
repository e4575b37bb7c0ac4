"""The module: equations, twins, initial weights, intermediates, building without memory."""

import math

import pytest
import torch

from reslab.errors import UserError
from reslab.nets.model import Network, build, layer_seed
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.row import path_of


def test_block_is_the_papers_equation():
    """relu(W2 relu(W1 x) + x), with BN, computed by hand from the block's own weights (Eq. 1, Fig. 2)."""
    net = build("cifar_resnet8", seed=3).double().eval()
    block = net.get_submodule("conv2_1")
    x = torch.randn(2, 16, 8, 8, dtype=torch.float64).relu()

    def norm(bn, z):
        return (z - bn.running_mean[:, None, None]) / torch.sqrt(bn.running_var[:, None, None] + bn.eps)

    import torch.nn.functional as F

    b = block.branch
    y = F.relu(norm(b.bn1, F.conv2d(x, b.conv1.weight, padding=1)))
    y = F.relu(norm(b.bn2, F.conv2d(y, b.conv2.weight, padding=1)) + x)
    from reslab.nets.model import Note

    assert torch.allclose(block(x, Note()), y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_pre_activation_is_he_2016s(shortcut):
    """x + F(relu(BN(x))), the first activation right after conv1 and before the paths part; a last one at the end."""
    import torch.nn.functional as F

    net = build("cifar_resnet8", order="pre", shortcut=shortcut, seed=3).double().train()
    w = dict(net.named_parameters())
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)

    def relu_norm(name, z):
        mean, var = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, unbiased=False)
        scale, shift = (w[f"{name}.{k}"][:, None, None] for k in ("weight", "bias"))
        return ((z - mean) / torch.sqrt(var + 1e-5) * scale + shift).relu()

    x = relu_norm("stem.bn1", F.conv2d(images, w["stem.conv1.weight"], padding=1))
    for block in ("conv2_1", "conv3_1", "conv4_1"):
        a = x if block == "conv2_1" else relu_norm(f"{block}.before.bn1", x)
        stride = 1 if block == "conv2_1" else 2
        y = F.conv2d(a, w[f"{block}.branch.conv1.weight"], stride=stride, padding=1)
        y = F.conv2d(relu_norm(f"{block}.branch.bn2", y), w[f"{block}.branch.conv2.weight"], padding=1)
        if stride == 2 and shortcut == "A":
            more = y.shape[1] - x.shape[1]
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, more))
        elif stride == 2:
            x = F.conv2d(a, w[f"{block}.shortcut.shortcut.weight"], stride=2)
        x = x + y
    x = relu_norm("conv4_x_end.bn_last", x) if "conv4_x_end.bn_last.weight" in w else relu_norm("head.bn_last", x)
    logits = F.linear(x.mean((2, 3)), w["head.fc.weight"], w["head.fc.bias"])
    assert torch.allclose(net(images), logits, rtol=0, atol=1e-10)


def test_mlp_is_note_001():
    """a[l+2] = g(z[l+2] + a[l]), and + W_s a[l] where the widths differ."""
    net = build("mlp_resnet6", widths=(24, 40), activation="tanh", in_channels=1, image_size=8).double()
    _, seen = net(torch.randn(3, 1, 8, 8, dtype=torch.float64), names="all")
    parameters = dict(net.named_parameters())

    def affine(row, a):
        return a @ parameters[f"{row}.weight"].T + parameters[f"{row}.bias"]

    a = seen["relu1"]
    first = torch.tanh(affine("fc2_1.branch.fc2", torch.tanh(affine("fc2_1.branch.fc1", a))) + a)
    assert torch.allclose(seen["fc2_1.relu"], first, rtol=0, atol=1e-12)
    z = affine("fc3_1.branch.fc2", torch.tanh(affine("fc3_1.branch.fc1", first)))
    second = torch.tanh(z + affine("fc3_1.shortcut.shortcut", first))
    assert torch.allclose(seen["fc3_1.relu"], second, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at", ["end", "both"])
def test_option_a_by_hand(at):
    """Every second pixel, 16 channels kept, 16 zeros after them or 8 on each side."""
    net = build("cifar_resnet8", pad_at=at)
    x = torch.randn(2, 16, 8, 8)
    out = net.get_submodule("conv3_1.shortcut.shortcut")(x)
    expected = torch.zeros(2, 32, 4, 4)
    start = 8 if at == "both" else 0
    for c in range(16):
        for i in range(4):
            for j in range(4):
                expected[:, start + c, i, j] = x[:, c, 2 * i, 2 * j]
    assert torch.equal(out, expected)


def test_circular_padding_by_hand():
    """A 3x3 convolution which reads the opposite edge: each tap is the map rolled by one pixel."""
    conv = build("cifar_resnet8", padding="circular").get_submodule("conv2_1.branch.conv1")
    x = torch.randn(2, 16, 8, 8)
    expected = sum(
        torch.einsum("oc,bchw->bohw", conv.weight[:, :, i, j], torch.roll(x, (1 - i, 1 - j), (2, 3)))
        for i in range(3)
        for j in range(3)
    )
    assert torch.allclose(conv(x), expected, rtol=0, atol=1e-5)


def weights(name, **switches):
    return dict(build(name, seed=7, **switches).named_parameters())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("cifar_plain20", {}), ("cifar_resnet20", {})),
        (("cifar_resnet20", {"shortcut": "A"}), ("cifar_resnet20", {"shortcut": "C"})),
        (("cifar_resnet20", {"shortcut": "B"}), ("cifar_resnet20", {"shortcut": "C"})),
        (("resnet50", {"stride_in": "1x1"}), ("resnet50", {"stride_in": "3x3"})),
        (("mlp_plain10", {}), ("mlp_resnet10", {})),
    ],
)
def test_twins_share_all_they_have_in_common(one, other):
    a, b = weights(one[0], **one[1]), weights(other[0], **other[1])
    common = a.keys() & b.keys()
    assert common == min((a.keys(), b.keys()), key=len)
    for key in common:
        assert torch.equal(a[key], b[key]), key


def test_depths_share_their_common_layers_and_seeds_differ():
    shallow, deep = weights("cifar_resnet20"), weights("cifar_resnet56")
    for key in shallow:
        assert torch.equal(shallow[key], deep[key]), key
    assert layer_seed(0, "conv1") != layer_seed(1, "conv1") != layer_seed(1, "conv2")
    other = dict(build("cifar_resnet20", seed=8).named_parameters())
    assert not torch.equal(shallow["stem.conv1.weight"], other["stem.conv1.weight"])


@pytest.mark.parametrize("fan", ["in", "out"])
def test_he_initialisation(fan):
    """std = sqrt(2 / fan) for every convolution, 1/fan_in for the head, γ = 1, β = 0; four standard errors of room."""
    net = build("resnet18", fan=fan, classes=1000)
    for row in net.rows:
        if row.kind not in ("conv", "linear"):
            continue
        w = net.get_submodule(path_of(row)).weight
        expected = 2 / (row.kernel**2 * (row.c_in if fan == "in" else row.c_out))
        if row is net.rows[-1]:
            expected = 1 / row.c_in
        n = w.numel()
        assert abs(w.var().item() / expected - 1) < 4 * math.sqrt(2 / n), row.name
        assert abs(w.mean().item()) < 4 * math.sqrt(expected / n), row.name


def test_zero_init_starts_at_the_identity():
    net = build("cifar_resnet20", zero_init=True).train()
    _, seen = net(torch.randn(4, 3, 32, 32), names="all")
    assert torch.equal(seen["conv2_1.relu"], seen["relu1"])  # F(x) = 0 exactly, x >= 0
    assert not torch.equal(build("cifar_resnet20").train()(torch.randn(4, 3, 32, 32)), torch.zeros(4, 10))


def test_intermediates_do_not_change_the_logits_and_unknown_names_are_refused():
    net = build("cifar_resnet20").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits, seen = net(x, names=("conv2_1.bn2", "gap"))
        assert torch.equal(net(x), logits)
    assert set(seen) == {"conv2_1.bn2", "gap"}
    assert torch.equal(seen["gap"], net(x, names="all")[1]["conv4_3.relu"].mean((2, 3)))
    with pytest.raises(UserError, match=r"did you mean conv2_1\.bn2"):
        net(x, names=("conv2_1.bn22",))


def test_1202_layers_on_the_meta_device():
    net = build("cifar_resnet1202", device="meta")
    assert all(p.is_meta for p in net.parameters())
    assert sum(p.numel() for p in net.parameters()) == 19_421_274
    assert sum(1 for r in net.rows if r.kind in ("conv", "linear")) == 1202


def test_depth_is_the_number_of_weight_layers():
    """Projections are not counted, as in the paper."""
    for name in (
        "cifar_resnet20",
        "cifar_plain110",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet152",
        "vgg19",
        "mlp_plain10",
    ):
        rows = [r for r in plan(spec_of(name)) if r.kind in ("conv", "linear") and r.path != "shortcut"]
        assert len(rows) == spec_of(name).depth


def test_repr_is_one_short_line():
    assert repr(build("cifar_resnet20", shortcut="C")) == (
        "Network('cifar_resnet20', shortcut='C': 0.28M parameters, 42.65M MACs)"
    )
    assert isinstance(build(spec_of("cifar_resnet8")), Network)
