"""torchvision's ResNets ("v1.5") and VGG-19, and timm's, which have the same names and another input."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from reslab.convert.layouts.layout import IMAGENET_MEAN, IMAGENET_STD, Input, Layout, Shapes, StageNames
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec

RESNET = StageNames(
    stem="conv1", stem_bn="bn1", head="fc",
    conv="layer{stage}.{block}.conv{layer}", bn="layer{stage}.{block}.bn{layer}",
    shortcut="layer{stage}.{block}.downsample.0", shortcut_bn="layer{stage}.{block}.downsample.1",
)  # fmt: skip
V15: Mapping[str, Any] = {"stride_in": "3x3"}


def not_imagenet(spec: Spec) -> str:
    """Return why a network is none of Table 1's, or ""."""
    if spec.stem != "7x7":
        return f"its first convolution is {spec.stem}; the library's nets have 7x7 of stride 2 and a max-pooling"
    return "" if spec.family == "imagenet" else f"it has {len(spec.blocks)} stages; the library's nets have four"


class VggNames:
    """torchvision's names of VGG-19: numbers of the layers in two sequences."""

    def key(self, row: Row, spec: Spec) -> str:
        names = self._names(spec)
        return names[row.name]

    def _names(self, spec: Spec) -> dict[str, str]:
        """Return the names of the convolutions and fully connected layers, by row."""
        names, features = {}, 0
        for row in plan(spec):
            if row.kind == "linear":
                names[row.name] = f"classifier.{3 * (int(row.name[2:]) - 6)}"
            elif row.kind != "flatten" and row.part != "head":
                if row.kind == "conv":
                    names[row.name] = f"features.{features}"
                features += 1
        return names

    def spec(self, shapes: Shapes) -> Spec | None:
        head, stem = shapes.get("classifier.6.weight", ()), shapes.get("features.0.weight", ())
        convolutions = [key for key, shape in shapes.items() if re.match(r"features\.", key) and len(shape) == 4]
        if len(head) != 2 or len(stem) != 4 or len(convolutions) != 16:
            return None
        return Spec(
            "vgg", 19, blocks=tuple(("single",) * n for n in (2, 2, 4, 4, 4)), widths=(64, 128, 256, 512, 512),
            residual=False, batch_norm=False, stem="none", downsample="pool", dropout=0.5, classes=head[0],
            in_channels=stem[1], image_size=224,
        )  # fmt: skip


def _input(share: float, interpolation: Any) -> Any:
    return lambda spec: Input(
        spec.image_size, math.floor(spec.image_size / share), interpolation, IMAGENET_MEAN, IMAGENET_STD
    )


TORCHVISION = Layout("torchvision", RESNET, _input(224 / 256, "bilinear"), V15, not_imagenet)
# the input of its default weights, a1_in1k
TIMM = Layout("timm", RESNET, _input(0.95, "bicubic"), V15, not_imagenet)
VGG = Layout("torchvision", VggNames(), _input(224 / 256, "bilinear"))
