"""labml's annotated ResNet held against ours: the blocks are one function, the nets are not (study notes, S9).

The modules below are ours, written from facts read in `labml_nn/resnet/__init__.py` and `experiment.py` of
github.com/labmlai/annotated_deep_learning_paper_implementations (release 0.5.1, commits 0a4b5b6 and 1b870c5): every
convolution has a bias, and BN behind it, the projection too; a block projects where its stride is not 1 or its
channels change; ReLU stands between the layers and after the addition; a bottleneck strides in its 3x3. The stem is
convolution and BN alone (stride 2; 1 in commit 1b870c5). The one block of stride 2 is the net's very first.
"""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import reslab
from reslab.nets.model import Note


def conv_bn(c_in, c_out, kernel, stride=1):
    """A convolution with a bias, padded to keep the size, and BN."""
    return [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2), nn.BatchNorm2d(c_out)]


class LabmlBlock(nn.Module):
    """Two 3x3 layers, or 1x1-3x3-1x1 through `narrow` channels; then the addition and a ReLU."""

    def __init__(self, c_in, c_out, stride, narrow=None):
        super().__init__()
        if narrow is None:
            layers = [*conv_bn(c_in, c_out, 3, stride), nn.ReLU(), *conv_bn(c_out, c_out, 3)]
        else:
            layers = [*conv_bn(c_in, narrow, 1), nn.ReLU(), *conv_bn(narrow, narrow, 3, stride), nn.ReLU()]
            layers += conv_bn(narrow, c_out, 1)
        self.branch = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(*(conv_bn(c_in, c_out, 1, stride) if stride != 1 or c_in != c_out else ()))

    def forward(self, x):
        return (self.branch(x) + self.shortcut(x)).relu()


class LabmlNet(nn.Module):
    """`counts` basic blocks of `widths` channels in the stages, and the classifier of its experiment.

    `strides` (of each stage's first block: 2, 1, 1, …) and `stem_end` (nothing) are labml's unless given.
    """

    def __init__(self, counts, widths, kernel, classes, stem_stride=2, strides=None, stem_end=()):
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, widths[0], kernel, stem_stride), *stem_end)
        self.stages, c_in = nn.ModuleList(), widths[0]
        for count, width, stride in zip(counts, widths, strides or (2, *[1] * (len(widths) - 1)), strict=True):
            first = LabmlBlock(c_in, width, stride)
            self.stages.append(nn.Sequential(first, *(LabmlBlock(width, width, 1) for _ in range(count - 1))))
            c_in = width
        self.head = nn.Linear(c_in, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


def weighted(module, kinds=(nn.Conv2d, nn.BatchNorm2d, nn.Linear)):
    """The layers with weights, in the order of computation; a block's branch before its shortcut, in both."""
    return [m for m in module.modules() if isinstance(m, kinds)]


@torch.no_grad()
def copy_into(theirs, ours):
    """Give ours random BN parameters and statistics, copy all its weights into theirs, and put biases at 0."""
    generator = torch.Generator().manual_seed(5)
    for mine, other in zip(weighted(ours), weighted(theirs), strict=True):
        if isinstance(mine, nn.BatchNorm2d):
            for scale in (mine.weight, mine.running_var):
                scale.uniform_(0.5, 1.5, generator=generator)
            for shift in (mine.bias, mine.running_mean):
                shift.normal_(0, 0.1, generator=generator)
        if isinstance(mine, nn.Conv2d):
            assert (mine.stride, mine.padding, mine.bias) == (other.stride, other.padding, None)
            other.bias.zero_()
        other.load_state_dict(mine.state_dict(), strict=not isinstance(mine, nn.Conv2d))  # which has no bias to load


def numbers(module):
    return sum(p.numel() for p in module.parameters())


def gap(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


# (model, switches, our block, labml's block): identity and projection, of either kind
THIN = {"block": "bottleneck", "stride_in": "3x3"}
BLOCKS = {
    "identity": ("cifar_resnet8", {}, "conv2_1", (16, 16, 1)),
    "projection": ("cifar_resnet8", {}, "conv3_1", (16, 32, 2)),
    "bottleneck identity": ("cifar_resnet20", THIN, "conv2_2", (64, 64, 1, 16)),
    "bottleneck projection": ("cifar_resnet11", THIN, "conv3_1", (64, 128, 2, 32)),
}


def pair(which):
    """Our block and labml's with the same weights and biases 0, both in float64, and an input for them."""
    model, switches, name, shape = BLOCKS[which]
    ours = reslab.build(model, shortcut="B", **switches).get_submodule(name).double()
    theirs = LabmlBlock(*shape).double()
    copy_into(theirs, ours)
    x = torch.randn(4, shape[0], 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return ours, theirs, x


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("which", BLOCKS)
def test_the_block_is_the_same_function(which, train):
    ours, theirs, x = pair(which)
    assert bool(len(theirs.shortcut)) == ours.projected == ("projection" in which)
    with torch.no_grad():
        assert gap(ours.train(train)(x, Note()), theirs.train(train)(x)) <= 1e-12
    for mine, other in zip(weighted(ours, nn.BatchNorm2d), weighted(theirs, nn.BatchNorm2d), strict=True):
        assert gap(mine.running_mean, other.running_mean) <= 1e-12
        assert gap(mine.running_var, other.running_var) <= 1e-12


def test_the_bottlenecks_stride_is_not_the_papers():
    """labml strides in the 3x3; our default, the paper's, is the 1x1 and another function of the same weights."""
    _, theirs, x = pair("bottleneck projection")
    ours = reslab.build("cifar_resnet11", shortcut="B", block="bottleneck").get_submodule("conv3_1").double()
    for mine, other in zip(weighted(ours), weighted(theirs), strict=True):
        mine.load_state_dict({k: v for k, v in other.state_dict().items() if k in mine.state_dict()})
    with torch.no_grad():
        assert gap(ours.eval()(x, Note()), theirs.eval()(x)) > 0.1


@pytest.mark.parametrize("which", BLOCKS)
def test_what_it_has_more_are_biases(which):
    ours, theirs, _ = pair(which)
    biases = sum(conv.bias.numel() for conv in weighted(theirs, nn.Conv2d))
    assert numbers(theirs) - numbers(ours) == biases


@pytest.mark.parametrize("which", BLOCKS)
def test_a_bias_before_bn_does_nothing_in_training(which):
    """BN subtracts the batch's mean, and the bias with it: equal outputs, gradient 0; the running mean takes it in."""
    ours, theirs, x = pair(which)
    generator = torch.Generator().manual_seed(3)
    convs = weighted(theirs, nn.Conv2d)
    with torch.no_grad():
        for conv in convs:
            conv.bias.normal_(0, 1, generator=generator)
    out = theirs.train()(x)
    assert gap(out, ours.train()(x, Note())) <= 1e-12
    (out * torch.randn(out.shape, dtype=out.dtype, generator=generator)).sum().backward()
    for conv in convs:
        assert conv.bias.grad.abs().max() <= 1e-12 * conv.weight.grad.abs().max()
    layers = list(zip(convs, weighted(theirs, nn.BatchNorm2d), weighted(ours, nn.BatchNorm2d), strict=True))
    with torch.no_grad():
        for conv, other, mine in layers:
            # one step of the running mean took in a tenth of the bias (PyTorch's momentum 0.1)
            assert torch.allclose(other.running_mean - mine.running_mean, 0.1 * conv.bias, rtol=0, atol=1e-12)
        assert gap(theirs.eval()(x), ours.eval()(x, Note())) > 0.1  # not yet all of it
        for conv, other, mine in layers:
            other.running_mean.copy_(mine.running_mean + conv.bias)
        assert gap(theirs.eval()(x), ours.eval()(x, Note())) <= 1e-12  # where the mean has it all, nothing again


# -- the whole net

# Stages, widths, the stem's kernel, classes. The first is labml's default for CIFAR-10 and our 20 layers; the second
# its default kernel of 7, with the blocks and widths of Table 1's 18 layers.
CIFAR = ((3, 3, 3), (16, 32, 64), 3, 10)
LARGE = ((2, 2, 2, 2), (64, 128, 256, 512), 7, 1000)


def measured(net, stem, stages, side):
    """Map sizes after the stem's convolution and each stage, and MACs of one image (torch counts 2 for each)."""
    sizes = []
    for module in (stem, *stages):
        module.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.shape[-1]))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, 3, side, side, device="meta"))
    return sizes, counter.get_total_flops() // 2


def by_hand(counts, widths, kernel, classes, sizes):
    """MACs of labml's net: the sum of k² c_in c_out s², with a projection in the first stage and where widths grow."""
    total, c_in = kernel**2 * 3 * widths[0] * sizes[0] ** 2, widths[0]
    for stage, (count, width, size) in enumerate(zip(counts, widths, sizes[1:], strict=True)):
        projected = stage == 0 or c_in != width
        total += (9 * c_in * width + 9 * width**2 * (2 * count - 1) + projected * c_in * width) * size**2
        c_in = width
    return total + c_in * classes


@pytest.mark.parametrize(
    ("form", "side", "stem_stride", "sizes", "macs"),
    [(CIFAR, 32, 2, [16, 8, 8, 8], 17_396_352), (CIFAR, 32, 1, [32, 16, 16, 16], 69_583_488),
     (LARGE, 224, 2, [112, 56, 56, 56, 56], 35_121_303_552)],
)  # fmt: skip
def test_its_later_stages_never_halve(form, side, stem_stride, sizes, macs):
    """Its comment gives stride 2 to every new map size but the first; its condition does the reverse."""
    with torch.device("meta"):
        net = LabmlNet(*form, stem_stride=stem_stride)
    assert measured(net, net.stem[0], net.stages, side) == (sizes, macs)
    assert by_hand(*form, sizes) == macs


@pytest.mark.parametrize(
    ("name", "side", "sizes", "macs"),
    [("cifar_resnet20", 32, [32, 32, 16, 8], 40_813_184), ("resnet18", 224, [112, 56, 28, 14, 7], 1_814_073_344)],
)
def test_ours_halve(name, side, sizes, macs):
    net = reslab.build(name, shortcut="B", device="meta")
    last = {row.part: row.block for row in net.rows if row.block}
    stages = [net.get_submodule(block) for block in last.values()]
    assert measured(net, net.get_submodule("stem.conv1"), stages, side) == (sizes, macs)
    assert sum(row.macs for row in net.rows) == macs


@pytest.mark.parametrize(
    ("name", "form", "told"),
    [("cifar_resnet20", CIFAR, (273_562, 272_474)), ("resnet18", LARGE, (11_698_600, 11_689_512))],
)
def test_the_nets_parameters(name, form, told):
    """More than ours: a bias for each convolution, and a projection in the first block, which strides."""
    ours, theirs = reslab.build(name, shortcut="B"), LabmlNet(*form)
    biases, width = sum(conv.out_channels for conv in weighted(theirs, nn.Conv2d)), form[1][0]
    assert numbers(theirs) - numbers(ours) == biases + width**2 + 2 * width
    assert (numbers(theirs), numbers(ours)) == told


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("name", "form", "side", "changes"),
    [
        ("cifar_resnet20", CIFAR, 32, {"stem_stride": 1, "strides": (1, 2, 2), "stem_end": [nn.ReLU()]}),
        ("resnet18", LARGE, 40, {"strides": (1, 2, 2, 2), "stem_end": [nn.ReLU(), nn.MaxPool2d(3, 2, 1)]}),
    ],
)
def test_nothing_else_differs(name, form, side, changes, train):
    """With our strides, and ReLU (and max-pooling) in the stem, labml's net gives our logits; without the ReLU not."""
    ours, theirs = reslab.build(name, shortcut="B").double(), LabmlNet(*form, **changes).double()
    copy_into(theirs, ours)
    images = torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = ours.train(train)(images)
        assert gap(theirs.train(train)(images), logits) <= 1e-12
        theirs.stem[2] = nn.Identity()
        assert gap(theirs(images), logits) > 1e-3
