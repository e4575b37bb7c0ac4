"""Every figure of a probe against a slow direct computation: the network run by hand, row by row, in float64."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import some
from torch import Tensor, nn

import reslab
from reslab.errors import UserError
from reslab.measure.findings import Probe, Subject
from reslab.measure.jacobian import MOST, blocks_of, jacobian, spectrum
from reslab.measure.probe import Moments, batch_size, layer_rows, probe, response_rows
from reslab.nets.model import Network, build
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.row import path_of
from reslab.nets.spec import Spec
from reslab.options.scoring import PARTS

HERE = Subject("a net", None, None, "noise", "train", 0)

SMALL = {"widths": (3, 4, 5), "image_size": 8, "in_channels": 1}
NETS = {
    "digits": ("cifar_resnet14", SMALL),
    "colour, option B": ("cifar_resnet8", SMALL | {"in_channels": 3, "shortcut": "B", "image_size": 9}),
    "option C, pooled": ("cifar_resnet8", SMALL | {"shortcut": "C", "downsample": "pool"}),
    "option A on both sides": ("cifar_resnet8", SMALL | {"pad_at": "both"}),
    "plain": ("cifar_plain8", SMALL),
    "bottleneck": ("cifar_resnet11", SMALL | {"block": "bottleneck", "shortcut": "B", "widths": (2, 3, 4)}),
    "bottleneck, 3x3 strides": (
        "cifar_resnet11",
        SMALL | {"block": "bottleneck", "stride_in": "3x3", "widths": (2, 3, 4)},
    ),
    "pre-activation": ("cifar_resnet14", SMALL | {"order": "pre", "shortcut": "B"}),
    "plain pre-activation": ("cifar_plain8", SMALL | {"order": "pre"}),
    "no BN, tanh": ("cifar_resnet8", SMALL | {"batch_norm": False, "activation": "tanh"}),
    "MLP": ("mlp_resnet6", {"widths": (6, 7), "image_size": 4, "in_channels": 1}),
    "plain MLP with BN": ("mlp_plain6", {"widths": (6,), "image_size": 4, "in_channels": 1, "batch_norm": True}),
    "7x7 stem": ("resnet18", {"widths": (2, 3, 4, 5), "image_size": 33, "classes": 10}),
    "VGG": ("vgg19", {"widths": (2, 2, 3, 3, 3), "image_size": 32, "classes": 10}),
}


@dataclass
class Pair:
    images: Tensor
    labels: Tensor


def net_of(case: str, **more: object) -> Network:
    """In float64, its BN as if trained: statistics, γ and β that are not 0 and 1."""
    name, switches = NETS[case]
    net = build(name, seed=3, **{**switches, **more}).double()
    maker = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                size = module.running_mean.shape
                module.running_mean.copy_(torch.randn(size, generator=maker) * 0.3)
                module.running_var.copy_(torch.rand(size, generator=maker) + 0.5)
                module.weight.mul_(torch.rand(size, generator=maker) + 0.5)
                module.bias.copy_(torch.randn(size, generator=maker) * 0.2)
                module.num_batches_tracked.fill_(9)
    return net


def samples(net: Network, n: int = 12) -> Pair:
    spec, maker = net.spec, torch.Generator().manual_seed(5)
    shape = (n, spec.in_channels, spec.image_size, spec.image_size)
    images = torch.randn(shape, generator=maker, dtype=torch.float64)
    return Pair(images, torch.randint(0, spec.classes, (n,), generator=maker))


def cut(whole: Pair, size: int):
    """`batches` of a probe: the same samples at every call."""
    return lambda: [
        Pair(whole.images[i : i + size], whole.labels[i : i + size]) for i in range(0, len(whole.labels), size)
    ]


def probed(net: Network, size: int = 5, n: int = 12, **more: object) -> Probe:
    return probe(net, cut(samples(net, n), size), HERE, **more)


def by_hand(net: Network, images: Tensor, training: bool = False) -> dict[str, Tensor]:
    """Every row's output from the weights and plain functions, without a module's forward."""
    held = dict(net.named_parameters()) | dict(net.named_buffers())
    spec, found, x = net.spec, {}, images
    block_input = activated = shortcut = branch = x
    block, path = "", ""
    for row in net.rows:
        if row.block != block:
            block, path, block_input = row.block, "", x
            activated = branch = shortcut = x
        if row.block and row.path != path:
            if row.path == "shortcut":
                branch = x
                projected = (
                    row.kind == "conv" or row.kind == "linear" or (row.kind == "maxpool" and spec.shortcut != "A")
                )
                x = activated if projected else block_input
            elif row.path == "after":
                if path == "shortcut":
                    shortcut = x
                else:
                    branch, shortcut = x, block_input
            elif row.path == "branch":
                activated = x
            path = row.path
        key = path_of(row)
        if row.kind == "conv":
            x = F.conv2d(x, held[f"{key}.weight"], held.get(f"{key}.bias"), row.stride, row.padding)
        elif row.kind == "linear":
            x = x @ held[f"{key}.weight"].T + held.get(f"{key}.bias", 0)
        elif row.kind == "bn":
            axes = (0, 2, 3) if x.dim() == 4 else (0,)
            shape = (1, -1, 1, 1) if x.dim() == 4 else (1, -1)
            mean, var = held[f"{key}.running_mean"], held[f"{key}.running_var"]
            if training:
                mean = x.mean(axes)
                var = ((x - mean.view(shape)) ** 2).mean(axes)
            x = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5)
            x = x * held[f"{key}.weight"].view(shape) + held[f"{key}.bias"].view(shape)
        elif row.kind == "act":
            x = torch.tanh(x) if spec.activation == "tanh" else x * (x > 0)
        elif row.kind == "pad":
            kept = x[:, :, :: row.stride, :: row.stride] if x.dim() == 4 else x
            zeros = torch.zeros_like(kept[:, :1])
            missing = row.c_out - row.c_in
            first = missing // 2 if spec.pad_at == "both" else 0
            x = torch.cat([*[zeros] * first, kept, *[zeros] * (missing - first)], 1)
        elif row.kind == "maxpool":
            x = F.max_pool2d(x, row.kernel, row.stride, row.padding, ceil_mode=row.size_out * 2 > row.size_in)
        elif row.kind == "add":
            x = branch + shortcut
        elif row.kind == "gap":
            x = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
        elif row.kind == "flatten":
            x = x.reshape(len(x), -1)
        else:
            assert row.kind == "dropout"
        found[row.name] = x
    return found


OFTEN = ("pre-activation", "VGG", "MLP", "digits", "option C, pooled")


@pytest.fixture(scope="module", params=some(sorted(NETS, key=lambda name: name not in OFTEN), quick=len(OFTEN)))
def case(request):
    """(net, its probe over 12 samples in batches of 5, 5, 2; the same 12 by hand, evaluated at once)."""
    net = net_of(request.param)
    with torch.no_grad():
        block = "conv4_1" if request.param == "VGG" else None  # its first one has 2,048 entries
        return net, probed(net, block=block), by_hand(net, samples(net).images)


# -- against the network run by hand


def test_responses(case):
    net, found, hand = case
    assert [(r.layer, r.at) for r in found.responses] == list(response_rows(net.spec))
    for r in found.responses:
        assert r.std == pytest.approx(np.std(hand[r.at].numpy()), rel=1e-10)
    stds = [r.std for r in found.responses]
    assert [r.std for r in found.responses_sorted] == sorted(stds, reverse=True)


def test_activations(case):
    net, found, hand = case
    assert [a.block for a in found.activations] == list(dict.fromkeys(r.block for r in net.rows if r.block))
    for a in found.activations:
        last = [r.name for r in net.rows if r.block == a.block][-1]
        assert a.rms == pytest.approx(np.sqrt(np.mean(hand[last].numpy() ** 2)), rel=1e-10)


def test_layers(case):
    """What a layer hands on: its own output, or that of the BN and the activation that come next on its path."""
    net, found, hand = case
    batch = Pair(*(x[:5] for x in vars(samples(net)).values()))
    trained = by_hand(net, batch.images, training=True)
    loss = F.cross_entropy(trained[net.rows[-1].name], batch.labels)
    assert [x.layer for x in found.layers] == [r.name for r in net.rows if r.kind in ("conv", "linear")]
    kinds = {r.name: r.kind for r in net.rows}
    for x in found.layers:
        assert kinds[x.at] in ("conv", "linear", "bn", "act")
        assert x.activation == pytest.approx(np.sqrt(np.mean(hand[x.at].numpy() ** 2)), rel=1e-10)
        (slope,) = torch.autograd.grad(loss, trained[x.at], retain_graph=True)
        assert x.gradient == pytest.approx(float(slope.square().mean().sqrt()), rel=1e-8, abs=1e-18)


@pytest.mark.parametrize(
    ("name", "switches", "read"),
    [
        ("cifar_resnet8", {}, {"conv1": "act", "conv2_1.conv1": "act", "conv2_1.conv2": "bn", "fc": "linear"}),
        ("cifar_resnet8", {"batch_norm": False}, {"conv2_1.conv1": "act", "conv2_1.conv2": "conv"}),
        ("cifar_resnet8", {"order": "pre"}, {"conv2_1.conv1": "act", "conv2_1.conv2": "conv"}),
        ("cifar_plain8", {}, {"conv2_1.conv2": "bn"}),
    ],
)
def test_where_layers_are_read(name, switches, read):
    spec = spec_of(name, **switches)
    kinds = {r.name: r.kind for r in plan(spec)}
    found = dict(layer_rows(spec))
    for layer, kind in read.items():
        assert kinds[found[layer]] == kind, layer


def test_residual_ratios(case):
    """‖F(x)‖ over the norm of H(x) − F(x), which is the shortcut's value whatever it is."""
    net, found, hand = case
    if not net.spec.residual:
        assert found.residuals == ()
        assert any("no shortcuts" in note for note in found.notes)
        return
    assert [r.block for r in found.residuals] == [r.block for r in net.rows if r.kind == "add"]
    for r in found.residuals:
        branch = hand[[row.name for row in net.rows if row.block == r.block and row.path == "branch"][-1]]
        shortcut = hand[f"{r.block}.add"] - branch
        assert r.branch == pytest.approx(float(branch.norm()), rel=1e-10)
        assert r.shortcut == pytest.approx(float(shortcut.norm()), rel=1e-10)
        assert r.ratio == pytest.approx(float(branch.norm() / shortcut.norm()), rel=1e-10)


def test_gradients(case):
    """The first batch alone: BN by its own statistics, mean cross entropy, autograd on the graph made by hand."""
    net, found, _ = case
    batch = Pair(*(x[:5] for x in vars(samples(net)).values()))
    hand = by_hand(net, batch.images, training=True)
    loss = -torch.log_softmax(hand[net.rows[-1].name], 1)[torch.arange(5), batch.labels].mean()
    assert (found.gradient_batch, found.loss) == (5, pytest.approx(float(loss.detach()), rel=1e-10))
    assert [g.block for g in found.gradients] == [a.block for a in found.activations]
    for g in found.gradients:
        last = [r.name for r in net.rows if r.block == g.block][-1]
        (slope,) = torch.autograd.grad(loss, hand[last], retain_graph=True)
        assert g.rms == pytest.approx(float(slope.square().mean().sqrt()), rel=1e-8, abs=1e-18)
    assert [g.layer for g in found.weight_gradients] == [r.name for r in net.rows if r.kind in ("conv", "linear")]
    for g, row in zip(found.weight_gradients, [r for r in net.rows if r.kind in ("conv", "linear")], strict=True):
        weight = net.get_parameter(f"{path_of(row)}.weight")
        (slope,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert g.norm == pytest.approx(float(slope.norm()), rel=1e-8, abs=1e-18)
        assert g.rms == pytest.approx(float(slope.norm()) / math.sqrt(weight.numel()), rel=1e-8, abs=1e-18)


def test_jacobians(case):
    """Before the last ReLU J_H = J_F + J_S, and each spectrum is numpy's of a Jacobian by autograd, row by row."""
    net, found, hand = case
    there = {b.name: b for b in blocks_of(net.rows)}
    for j in found.jacobians:
        b = there[j.block]
        x = hand[b.reads][0] if b.reads else samples(net).images[0]
        assert (x.numel(), hand[b.output][0].numel()) == (j.inputs, j.outputs)
        for row, told in ((b.before, j.before), (b.after, j.after), (b.branch, j.branch)):
            assert (told is None) == (not row)
            if not row:
                continue
            start = x.clone().requires_grad_()
            out = run_block(net, j.block, start, row)
            rows = [torch.autograd.grad(v, start, retain_graph=True)[0].flatten() for v in out]
            direct = torch.stack(rows).numpy()
            np.testing.assert_allclose(jacobian(net.get_submodule(j.block), x, row).numpy(), direct, atol=1e-12)
            values = np.linalg.svd(direct, compute_uv=False)
            assert told.n == min(direct.shape)
            assert told.below == (values < 0.1).sum()
            for mine, theirs in ((told.min, values.min()), (told.max, values.max()), (told.median, np.median(values))):
                assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-10)
            if row == b.after:
                assert j.inactive == (direct == 0).all(1).sum()
        assert j.gap is None if not net.spec.residual else j.gap < 1e-12


def run_block(net: Network, block: str, x: Tensor, row: str) -> Tensor:
    """The outputs of `row`, flat, where the block reads `x` ([C,H,W] or [C])."""
    from reslab.nets.model import Note

    note = Note(frozenset([row]))
    net.eval().get_submodule(block)(x[None], note)
    return note.outputs[row].flatten()


# -- which rows


def rows_of(name: str, **switches: object) -> dict[str, str]:
    return dict(response_rows(build(name, device="meta", **switches).spec))


def test_the_rows_of_figure_7():
    """After BN, before the ReLU or the addition: bn2 of a block, never its add or relu."""
    assert rows_of("cifar_resnet8") == {"conv1": "bn1"} | {
        f"conv{s}_1.conv{i}": f"conv{s}_1.bn{i}" for s in (2, 3, 4) for i in (1, 2)
    }
    assert len(rows_of("cifar_resnet110")) == len(rows_of("cifar_plain110")) == 109
    assert rows_of("resnet50") == {
        f"conv{s}_{n}.conv2": f"conv{s}_{n}.bn2" for s, k in ((2, 3), (3, 4), (4, 6), (5, 3)) for n in range(1, k + 1)
    }
    assert len(rows_of("plain34")) == 32
    assert list(rows_of("cifar_resnet8", batch_norm=False).values())[:3] == ["conv1", "conv2_1.conv1", "conv2_1.conv2"]
    pre = rows_of("cifar_resnet8", order="pre")
    assert (pre["conv1"], pre["conv2_1.conv1"], pre["conv2_1.conv2"]) == ("bn1", "conv2_1.bn2", "conv2_1.conv2")
    assert rows_of("mlp_resnet6", widths=(8, 9)) == {
        n: n for n in ("fc1", "fc2_1.fc1", "fc2_1.fc2", "fc3_1.fc1", "fc3_1.fc2")
    }
    assert len(rows_of("vgg19")) == 16


# -- what is known beforehand


def test_a_last_gamma_of_zero_gives_no_residual():
    found = probed(build("cifar_resnet8", zero_init=True, **SMALL), what="residuals")
    assert [r.ratio for r in found.residuals] == [0.0, 0.0, 0.0]


def test_he_initialisation_is_not_near_the_identity():
    """Note 002's claim C7, the other way: with BN at its fresh averages of the samples, F(x) is of x's own size."""
    found = probed(build("cifar_resnet8", **SMALL), n=64, size=64, what="residuals")
    assert found.bn == "samples"
    assert all(r.ratio > 0.3 for r in found.residuals)


def test_fresh_bn_is_given_the_samples_averages():
    """Each response has the standard deviation 1 then, as γ = 1 and β = 0; the running 0 and 1 would not give it."""
    net = build("cifar_resnet8", **SMALL)
    found = probed(net, n=64, size=64)
    assert found.bn == "samples"
    assert any("no statistics yet" in note for note in found.notes)
    assert all(0.95 < r.std < 1.05 for r in found.responses)
    assert all(int(m.num_batches_tracked) == 0 for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    assert probed(net_of("digits"), what="residuals").bn == "running"
    assert probed(net_of("MLP"), what="residuals").bn == "none"


def test_identity_projection_and_option_a():
    """J_H − J_F before the last ReLU is I, W_s (with its BN), or option A's ones and zeros."""
    net = net_of("digits")
    x = torch.randn(3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    block = net.eval().get_submodule("conv2_2")
    apart = jacobian(block, x, "conv2_2.add") - jacobian(block, x, "conv2_2.bn2")
    assert float((apart - torch.eye(192, dtype=torch.float64)).abs().max()) < 1e-10
    block = net.get_submodule("conv3_1")
    apart = jacobian(block, x, "conv3_1.add") - jacobian(block, x, "conv3_1.bn2")
    kept = apart.abs() > 1e-10
    assert float((apart[kept] - 1).abs().max()) < 1e-10
    assert int(kept.sum()) == 3 * 4 * 4  # every second pixel; the channel of zeros gets nothing
    net = net_of("option C, pooled", downsample="stride")
    block = net.eval().get_submodule("conv3_1")
    weight, bn = block.get_parameter("shortcut.shortcut.weight"), block.get_submodule("shortcut.shortcut_bn")
    gain = bn.weight / torch.sqrt(bn.running_var + 1e-5)
    wanted = torch.zeros(4, 4, 4, 3, 8, 8, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            wanted[:, i, j, :, 2 * i, 2 * j] = (weight[:, :, 0, 0] * gain[:, None]).detach()
    apart = jacobian(block, x, "conv3_1.add") - jacobian(block, x, "conv3_1.bn2")
    assert float((apart - wanted.view(64, 192)).abs().max()) < 1e-10


@pytest.mark.parametrize("case", ["digits", "pre-activation", "MLP"])
def test_columns_as_finite_differences(case):
    net = net_of(case, activation="tanh")  # smooth
    b = blocks_of(net.rows)[-1]
    x = by_hand(net, samples(net).images)[b.reads][0].detach()
    whole, step = jacobian(net.eval().get_submodule(b.name), x, b.output), 1e-5
    with torch.no_grad():
        for column in range(0, x.numel(), 7):
            push = torch.zeros(x.numel(), dtype=torch.float64)
            push[column] = step
            ahead, behind = (run_block(net, b.name, x + s * push.view(x.shape), b.output) for s in (1, -1))
            np.testing.assert_allclose(whole[:, column], (ahead - behind) / (2 * step), atol=1e-8)


def test_the_derivative_can_be_zero():
    """Note 002's claim C5, the other way: J_F = −I, and an addition that the ReLU cuts off."""
    net = build("mlp_resnet4", block="single", widths=(5,), image_size=2, in_channels=1)
    with torch.no_grad():
        block = net.get_submodule("fc2_1")
        block.get_parameter("branch.fc1.weight").copy_(-torch.eye(5))
    (found,) = probed(net, what="jacobians", block="fc2_1").jacobians
    assert (found.branch.min, found.branch.max) == (1.0, 1.0)
    assert (found.before.max, found.before.below, found.inactive) == (0.0, 5, 5)
    with torch.no_grad():
        block.get_parameter("branch.fc1.weight").zero_()
        block.get_parameter("branch.fc1.bias").fill_(-1e6)
    (found,) = probed(net, what="jacobians", block="fc2_1").jacobians
    assert (found.before.min, found.before.max) == (1.0, 1.0)
    assert (found.after.max, found.inactive) == (0.0, 5)


# -- how it is summed


@pytest.mark.parametrize("case", ["digits", "pre-activation", "MLP"])
def test_the_batch_size_does_not_show(case):
    net = net_of(case)
    whole = probed(net, size=12)
    for size in (1, 5, 11):
        other = probed(net, size=size, what=("responses", "residuals"))
        assert other.n == whole.n == 12
        for mine, theirs in zip(other.responses, whole.responses, strict=True):
            assert mine.std == pytest.approx(theirs.std, rel=1e-12)
        for mine, theirs in zip(other.residuals, whole.residuals, strict=True):
            assert mine.ratio == pytest.approx(theirs.ratio, rel=1e-12)


def test_moments_in_float64_without_cancellation():
    values = torch.randn(9000, generator=torch.Generator().manual_seed(2), dtype=torch.float32) + 3000
    sums = Moments()
    for part in values.split([1, 4000, 4999]):
        sums.add(part)
    exact = values.numpy().astype(np.float64)
    assert (sums.n, sums.mean) == (9000, pytest.approx(exact.mean(), rel=1e-14))
    assert sums.std == pytest.approx(exact.std(), rel=1e-12)
    assert sums.rms == pytest.approx(np.sqrt((exact**2).mean()), rel=1e-14)
    assert sums.norm == pytest.approx(np.linalg.norm(exact), rel=1e-14)


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet1202", "resnet50", "mlp_resnet20"])
def test_no_sample_is_alone_in_its_batch(name):
    spec = build(name, device="meta").spec
    for n in (2, 3, 7, 249, 250, 251, 499, 500, 501, 1297):
        size = batch_size(spec, n)
        assert size >= 2
        assert n % size != 1
    assert batch_size(spec, 500) <= 250


def test_a_net_in_float32():
    net = net_of("digits")
    wide = probed(net)
    narrow = probed(net.float())
    for mine, theirs in zip(narrow.responses, wide.responses, strict=True):
        assert mine.std == pytest.approx(theirs.std, rel=1e-5)
    for mine, theirs in zip(narrow.weight_gradients, wide.weight_gradients, strict=True):
        assert mine.norm == pytest.approx(theirs.norm, rel=1e-3)
    assert narrow.jacobians[0].gap < 1e-12  # float64 all the same


# -- what it leaves, what it refuses


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was(training):
    net = build("cifar_resnet8", **SMALL).train(training)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    first, second = probed(net), probed(net)
    assert first == second
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(m.training is training for m in net.modules())
    assert all(p.grad is None and p.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("word", PARTS)
def test_one_part_alone(word):
    net = net_of("digits")
    found, whole = probed(net, what=word), probed(net)
    for part in PARTS:
        assert getattr(found, part) == (getattr(whole, part) if part == word else None)
    assert (found.activations is None) == (found.layers is None) == (word != "gradients")


def test_refusals():
    net = net_of("digits")
    with pytest.raises(UserError, match=r"'respones' is none of .*did you mean responses"):
        probed(net, what="respones")
    with pytest.raises(UserError, match="--only: empty"):
        probed(net, what=())
    with pytest.raises(UserError, match="has no block 'conv3_9'; did you mean conv3_"):
        probed(net, block="conv3_9")
    with pytest.raises(UserError, match="--at conv3_1: is used only for Jacobians"):
        probed(net, what="responses", block="conv3_1")


def test_blocks_that_are_too_large():
    net = build("cifar_resnet14", image_size=17, in_channels=1, widths=(15, 15, 15))  # conv2: 15 x 17 x 17 entries
    assert [j.block for j in probed(net, n=4).jacobians] == ["conv3_2", "conv4_2"]
    with pytest.raises(UserError, match=r"conv2_1: .* 4,335 x 4,335 entries, more than 4,096 a side; take a deeper"):
        probed(net, block="conv2_1")
    large = build("cifar_plain8", image_size=17, in_channels=1, widths=(16, 64, 256))
    assert min(b.inputs for b in blocks_of(large.rows)) > MOST
    found = probed(large, n=4, what=("responses", "jacobians"))
    assert found.jacobians == ()
    assert any("no Jacobian" in note for note in found.notes)
    with pytest.raises(UserError, match="no block is small enough"):
        probed(large, n=4, what="jacobians")


def test_numbers_that_are_not_finite():
    net = build("mlp_plain6", widths=(6,), image_size=4, in_channels=1)
    with torch.no_grad():
        net.get_parameter("fc2_1.branch.fc1.weight").fill_(3e38)
        net.get_parameter("stem.fc1.weight").fill_(3e38)
    found = probed(net)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["activations"][0]["rms"] is None
    assert told["loss"] is None
    assert set(told["responses_sorted"]) == {r["layer"] for r in told["responses"]}
    assert spectrum(torch.tensor([[math.nan, 1.0]])) is None


# -- through the package's face


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("probe") / "run"
    return reslab.train(
        "cifar_resnet8", "digits", recipe="digits", out=out, iterations=4, threads=1, engine="eager", device="cpu",
        set={"batch": 32, "eval_every": 4, "clean_every": 4, "log_every": 4, "drops": ()}, widths=(4, 4, 8),
        tell=lambda event: None,
    )  # fmt: skip


def test_a_run_and_its_network(run):
    """The same figures from the folder, from its checkpoint, and from the network with the same data."""
    from reslab.models import checkpoints

    more = {"samples": 40, "threads": 1, "device": "cpu"}
    found = reslab.probe(run.folder, **more)
    loaded = checkpoints.find(run.folder)
    assert found.bn == "running"
    assert (found.n, found.subject.iteration, found.subject.data, found.subject.seed) == (40, 4, "digits", 0)
    assert found.subject.checkpoint == str(loaded.folder)
    assert reslab.probe(str(loaded.folder), **more) == found
    told, other = found.to_dict(), reslab.probe(reslab.load(loaded.folder).network, **more).to_dict()
    assert {k for k in told if told[k] != other[k]} == {"checkpoint", "iteration", "seed"}
    test = reslab.probe(run.folder, split="test", only="responses", **more)
    assert test.subject.split == "test"
    assert test.responses != found.responses


def test_a_name_and_its_spec():
    """At initialisation: classes, channels and size follow from the data; the seed decides the weights."""
    more = {"samples": 20, "threads": 1, "device": "cpu", "only": "residuals"}
    found = reslab.probe("cifar_resnet8", widths=(4, 4, 8), **more)
    spec: Spec = reslab.spec("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
    assert reslab.probe(spec, **more) == found
    assert (found.subject.checkpoint, found.subject.iteration, found.bn) == (None, None, "samples")
    assert reslab.probe(spec, seed=1, **more) != found
    assert reslab.probe(reslab.build(spec), **more).residuals == found.residuals


def test_what_the_face_refuses(run):
    for words, told in (
        (("cifar_resnt8",), "unknown model 'cifar_resnt8'; did you mean cifar_resnet8"),
        ((str(run.folder.parent / "rum"),), "no such checkpoint or run; did you mean run"),
        ((run.folder / "nothing",), "no such checkpoint or run"),
        (("a\0b",), "no run of that name"),
    ):
        with pytest.raises(UserError, match=told):
            reslab.probe(*words)
    with pytest.raises(UserError, match="did you mean train"):
        reslab.probe("cifar_resnet8", split="trian")
    with pytest.raises(UserError, match="samples: 1 must be at least 2"):
        reslab.probe("cifar_resnet8", samples=1)
    with pytest.raises(UserError, match="shortcut given with a run"):
        reslab.probe(run.folder, shortcut="B")
    with pytest.raises(UserError, match="shortcut given with a network"):
        reslab.probe(reslab.spec("cifar_resnet8"), shortcut="B")
    with pytest.raises(UserError, match="in_channels: 3, but digits has 1"):
        reslab.probe(reslab.build("cifar_resnet8"))
