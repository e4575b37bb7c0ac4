"""The networks of tests/conformance/expected.toml, by the names of its tables, and the parts that tests build of."""

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from reslab.nets.model import build

CIFAR = {"counts": (3, 3, 3), "widths": (16, 32, 64), "stem": "3x3", "classes": 10}


def he(module):
    """Initialise the convolutions as in He et al. 2015, by fan-in, with biases of 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def zero_padded(x, channels, stride):
    """Option A: every stride-th pixel, then channels of zeros."""
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, channels - x.shape[1]))


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 16, 1), nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Block(nn.Module):
    """conv-BN-ReLU …, the addition, ReLU. `kernels` has the branch, `shortcut` is A, B, C, none, or a function."""

    def __init__(self, c_in, width, stride, kernels=(3, 3), bias=False, act=nn.ReLU, inner=True, after=True,
                 shortcut="B", squeeze=False):  # fmt: skip
        super().__init__()
        c_out = width * 4 if len(kernels) == 3 else width
        layers, channels = [], c_in
        for i, kernel in enumerate(kernels):
            out = c_out if i == len(kernels) - 1 else width
            layers.append(nn.Conv2d(channels, out, kernel, stride if i == 0 else 1, kernel // 2, bias=bias))
            layers.append(nn.BatchNorm2d(out))
            layers += [act()] if inner and i < len(kernels) - 1 else []
            channels = out
        self.branch = nn.Sequential(*layers, *([Squeeze(c_out)] if squeeze else []))
        self.kind, self.stride, self.channels = shortcut, stride, c_out
        self.after = act() if after else nn.Identity()
        changes = stride > 1 or c_in != c_out
        self.projection = None
        if shortcut == "C" or (shortcut == "B" and changes):
            self.projection = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=bias), nn.BatchNorm2d(c_out))

    def forward(self, x):
        if self.kind == "none":
            return self.after(self.branch(x))
        if self.projection is not None:
            return self.after(self.branch(x) + self.projection(x))
        if x.shape[1] != self.channels:
            x = (zero_padded if self.kind == "A" else self.kind)(x, self.channels, self.stride) + self.branch(x)
            return self.after(x)
        return self.after(self.branch(x).add_(x))


class PreActivation(nn.Module):
    """BN-ReLU-conv twice, then the addition, with option A; the shortcut begins before the first BN."""

    def __init__(self, c_in, width, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, width, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.stride, self.width = stride, width

    def forward(self, x):
        f = self.conv1(F.relu(self.bn1(x)))
        f = self.conv2(F.relu(self.bn2(f)))
        return f + (x if x.shape[1] == self.width else zero_padded(x, self.width, self.stride))


class ResNet(nn.Module):
    """Stem, blocks, global average and a linear layer. `pool`: side of a fixed average pooling, for one image size."""

    def __init__(self, counts=(2, 2, 2, 2), widths=(64, 128, 256, 512), stem="7x7", classes=1000, block=Block,
                 halve=True, bias=False, act=nn.ReLU, head=(), pool=0, **how):  # fmt: skip
        super().__init__()
        if block is Block:
            how = {"bias": bias, "act": act} | how
        large = stem == "7x7"
        self.conv = nn.Conv2d(3, widths[0], 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=bias)
        self.norm = nn.Identity() if block is PreActivation else nn.BatchNorm2d(widths[0])
        self.act = nn.Identity() if block is PreActivation else act()
        self.stem_pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        blocks, channels = [], widths[0]
        for stage, (count, width) in enumerate(zip(counts, widths, strict=True)):
            for number in range(count):
                blocks.append(block(channels, width, 2 if halve and stage and not number else 1, **how))
                channels = width * 4 if len(how.get("kernels", ())) == 3 else width
        self.blocks = nn.Sequential(*blocks)
        self.head, self.fc, self.pool = nn.Sequential(*head), nn.Linear(channels, classes), pool

    def forward(self, x):
        x = self.blocks(self.stem_pool(self.act(self.norm(self.conv(x)))))
        x = F.avg_pool2d(x, self.pool) if self.pool else F.adaptive_avg_pool2d(x, 1)
        return self.fc(self.head(torch.flatten(x, 1)))


def resnet34(**how):
    return he(ResNet((3, 4, 6, 3), **how))


NETS = {
    "ours_resnet50": lambda: build("resnet50"),
    "ours_cifar_resnet20": lambda: build("cifar_resnet20"),
    "torchvision_resnet50": torchvision.models.resnet50,
    "torchvision_resnet18": torchvision.models.resnet18,
    "timm_resnet18": lambda: timm.create_model("resnet18"),
    "cifar_resnet18_64_wide": lambda: he(ResNet(stem="3x3", classes=10, pool=4)),
    "cifar_resnet18_64_wide_by_default": lambda: ResNet(stem="3x3", classes=10, pool=4),
    "later_stages_not_halved": lambda: resnet34(halve=False),
    "convolution_biases": lambda: he(ResNet(bias=True)),
    "no_relu_after_the_addition": lambda: he(ResNet(after=False)),
    "no_relu_in_the_branch": lambda: he(ResNet(inner=False)),
    "projection_in_every_block": lambda: resnet34(shortcut="C"),
    "pre_activation": lambda: he(ResNet(**CIFAR, block=PreActivation)),
    "squeeze_and_excitation": lambda: he(ResNet((3, 4, 6, 3), kernels=(1, 3, 1), squeeze=True)),
    "plain_twin": lambda: he(ResNet(**CIFAR, shortcut="none")),
    "option_b": lambda: he(ResNet(**CIFAR)),
    "resnext50": torchvision.models.resnext50_32x4d,
    "wide_resnet50": torchvision.models.wide_resnet50_2,
    "other_activation": lambda: he(ResNet(act=nn.GELU)),
    "one_block_less": lambda: he(ResNet((2, 2, 2, 1))),
    "dropout_before_the_head": lambda: he(ResNet(head=[nn.Dropout(0.5)])),
}


def built(name):
    """Return a net of NETS with the initial weights of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETS[name]()
