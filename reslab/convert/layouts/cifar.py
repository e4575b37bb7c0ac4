"""Two widely used layouts for CIFAR: akamaster's (the paper's nets, option A) and kuangliu's (Table 1's nets at 32x32).

github.com/akamaster/pytorch_resnet_cifar10 and github.com/kuangliu/pytorch-cifar.
"""

from __future__ import annotations

from reslab.convert.layouts.layout import IMAGENET_MEAN, IMAGENET_STD, Input, Layout, StageNames
from reslab.nets.spec import Spec

NAMES = StageNames(
    stem="conv1", stem_bn="bn1", head="linear",
    conv="layer{stage}.{block}.conv{layer}", bn="layer{stage}.{block}.bn{layer}",
    shortcut="layer{stage}.{block}.shortcut.0", shortcut_bn="layer{stage}.{block}.shortcut.1",
)  # fmt: skip


def _not_akamaster(spec: Spec) -> str:
    if spec.family != "cifar" or spec.stem != "3x3":
        return (
            f"it has {len(spec.blocks)} stages and a first convolution of {spec.stem}; akamaster's have three and 3x3"
        )
    return ""


def _not_kuangliu(spec: Spec) -> str:
    if spec.family != "imagenet" or spec.stem != "3x3":
        return f"it has {len(spec.blocks)} stages and a first convolution of {spec.stem}; kuangliu's have four and 3x3"
    return ""


AKAMASTER = Layout(
    "akamaster",
    NAMES,
    lambda spec: Input(spec.image_size, spec.image_size, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
    {"pad_at": "both"},
    _not_akamaster,
)
KUANGLIU = Layout(
    "kuangliu",
    NAMES,
    lambda spec: Input(
        spec.image_size, spec.image_size, "bilinear", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    ),
    {"stride_in": "3x3"},
    _not_kuangliu,
)
