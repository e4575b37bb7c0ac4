"""Hugging Face transformers' `ResNetForImageClassification`, as `microsoft/resnet-50` stores it."""

from __future__ import annotations

from reslab.convert.layouts.layout import IMAGENET_MEAN, IMAGENET_STD, Input, Layout, StageNames
from reslab.convert.layouts.torchvision import V15, not_imagenet

BLOCK = "resnet.encoder.stages.{stage}.layers.{block}"
NAMES = StageNames(
    stem="resnet.embedder.embedder.convolution", stem_bn="resnet.embedder.embedder.normalization",
    conv=f"{BLOCK}.layer.{{layer}}.convolution", bn=f"{BLOCK}.layer.{{layer}}.normalization",
    shortcut=f"{BLOCK}.shortcut.convolution", shortcut_bn=f"{BLOCK}.shortcut.normalization",
    head="classifier.1", first=(0, 0, 0),
)  # fmt: skip
TRANSFORMERS = Layout(
    "transformers",
    NAMES,
    lambda spec: Input(spec.image_size, spec.image_size * 256 // 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD),
    V15,
    not_imagenet,
)
