"""The nets that imported weights come from: installed libraries' own, and two of GitHub's in our words.

`cifar6n2` has the structure and the names of github.com/akamaster/pytorch_resnet_cifar10, `cifar_wide` those of
github.com/kuangliu/pytorch-cifar.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn


def _conv(c_in: int, c_out: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, side, stride, side // 2, bias=False)


class _Padded(nn.Module):
    """Option A: every second pixel, and as many zero channels before as after."""

    def forward(self, x: Tensor) -> Tensor:
        extra = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))


class _Pair(nn.Module):
    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(c_in, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3), nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1 or c_in != width:
            projection = (_conv(c_in, width, 1, stride), nn.BatchNorm2d(width))
            self.shortcut = nn.Sequential(*projection) if option == "B" else _Padded()

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class _Neck(nn.Module):
    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(c_in, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.shortcut = nn.Sequential()
        if stride > 1 or c_in != 4 * width:
            self.shortcut = nn.Sequential(_conv(c_in, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.shortcut(x))


class Staged(nn.Module):
    """A 3x3 convolution, stages of blocks named layer1, layer2 …, the map's mean, one layer named linear."""

    def __init__(self, block: type, counts: list[int], widths: list[int], option: str = "B", classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, widths[0], 3), nn.BatchNorm2d(widths[0])
        channels, self.stages = widths[0], len(counts)
        for number, (count, width) in enumerate(zip(counts, widths, strict=True), start=1):
            blocks = []
            for k in range(count):
                blocks.append(block(channels, width, 2 if number > 1 and k == 0 else 1, option))
                channels = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.linear(F.avg_pool2d(x, x.shape[-1]).flatten(1))


def cifar6n2(depth: int, option: str = "A") -> Staged:
    return Staged(_Pair, [(depth - 2) // 6] * 3, [16, 32, 64], option)


def cifar_wide(depth: int) -> Staged:
    block, counts = {
        18: (_Pair, [2, 2, 2, 2]), 34: (_Pair, [3, 4, 6, 3]), 50: (_Neck, [3, 4, 6, 3]),
    }[depth]  # fmt: skip
    return Staged(block, counts, [64, 128, 256, 512])


class _Logits(nn.Module):
    """A net of transformers, which returns an object, as one that returns logits."""

    def __init__(self, depths: list[int], kind: str) -> None:
        super().__init__()
        from transformers import ResNetConfig, ResNetForImageClassification

        sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
        config = ResNetConfig(depths=depths, layer_type=kind, hidden_sizes=sizes, num_labels=1000)
        self.inner = ResNetForImageClassification(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).logits

    def state_dict(self, *args, **kwargs):
        return self.inner.state_dict(*args, **kwargs)


# name: (the layout, the origin's net, pixels of its input)
ORIGINS: dict[str, tuple[str, Callable[[], nn.Module], int]] = {
    **{f"torchvision-resnet{n}": ("torchvision", getattr(torchvision.models, f"resnet{n}"), 64)
       for n in (18, 34, 50, 101, 152)},
    "torchvision-vgg19": ("torchvision", torchvision.models.vgg19, 224),
    **{f"timm-resnet{n}": ("timm", lambda n=n: timm.create_model(f"resnet{n}"), 64) for n in (18, 34, 50, 101, 152)},
    "transformers-resnet50": ("transformers", lambda: _Logits([3, 4, 6, 3], "bottleneck"), 64),
    "transformers-resnet18": ("transformers", lambda: _Logits([2, 2, 2, 2], "basic"), 64),
    **{f"akamaster-{n}": ("akamaster", lambda n=n: cifar6n2(n), 32) for n in (20, 32, 44, 56, 110, 1202)},
    "akamaster-20-B": ("akamaster", lambda: cifar6n2(20, "B"), 32),
    **{f"kuangliu-{n}": ("kuangliu", lambda n=n: cifar_wide(n), 32) for n in (18, 34, 50)},
}  # fmt: skip


def randomised(net: nn.Module, seed: int = 0) -> nn.Module:
    """The net with BN weights and statistics that no initialisation has."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.num_batches_tracked.fill_(7)
    return net


def differences(theirs: nn.Module, ours: nn.Module, side: int, mode: str, dtype: torch.dtype) -> list[float]:
    """Return the largest difference of the logits, of the images' gradient and of the first weights' gradient.

    Each relative to the largest value of the origin's. `mode` is "evaluation" or "training".
    """
    images = torch.randn(2, 3, side, side, dtype=dtype, generator=torch.Generator().manual_seed(1))
    results = []
    for kept in (theirs, ours):
        net = copy.deepcopy(kept).to(dtype).train(mode == "training")
        torch.manual_seed(0)  # VGG's dropout
        x = images.clone().requires_grad_()
        logits = net(x)
        F.cross_entropy(logits, torch.tensor([0, 3])).backward()
        first = next(p for p in net.parameters() if p.dim() == 4)
        results.append((logits.detach(), x.grad, first.grad))
    return [float((b - a).abs().max() / a.abs().max()) for a, b in zip(*results, strict=True)]
