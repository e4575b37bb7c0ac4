"""The paper's printed figures for a network, each with its table, for `describe` and reports.

He et al. 2015, arXiv 1512.03385v1. Figures are text, as printed (the authors rounded or truncated them), and are never
computed with. A network has figures only if the paper describes exactly it: not with another number of classes or
image size, nor with a switch that departs from the paper. Plain CIFAR nets have none: the paper only plots them.
"""

from __future__ import annotations

from reslab.nets.names import name_of, switches_of
from reslab.nets.spec import Spec

FIG_3 = ("vgg19", "plain34", "resnet34")  # the nets drawn in Fig. 3

# The figures' names; the keys are those of `published`.
WORDS: dict[str, str] = {
    "parameters": "parameters",
    "macs": "FLOPs (multiply-adds)",
    "cifar10_test_error": "CIFAR-10 test error",
    "imagenet_top1_error": "ImageNet top-1 error, 10-crop",
    "imagenet_top5_error": "ImageNet top-5 error, 10-crop",
}

# Table 6: parameters and CIFAR-10 test error in percent, option A; 110 layers: the best of five and mean ± std.
TABLE_6: dict[int, tuple[str, str]] = {
    20: ("0.27M", "8.75 %"),
    32: ("0.46M", "7.51 %"),
    44: ("0.66M", "7.17 %"),
    56: ("0.85M", "6.97 %"),
    110: ("1.7M", "6.43 % (6.61±0.16 over 5 runs)"),
    1202: ("19.4M", "7.93 %"),
}

# Table 1, last line: FLOPs, the same for the plain net and for options A and B (C has more projections).
TABLE_1: dict[int, str] = {18: "1.8×10⁹", 34: "3.6×10⁹", 50: "3.8×10⁹", 101: "7.6×10⁹", 152: "11.3×10⁹"}

# Fig. 3, left.
FIGURE_3_VGG19 = "19.6×10⁹"

# ImageNet validation, 10-crop: (name, option; "" for plain) to top-1, top-5, table. Table 2 prints only top-1.
TEN_CROP: dict[tuple[str, str], tuple[str, str | None, str]] = {
    ("plain18", ""): ("27.94 %", None, "Table 2"),
    ("plain34", ""): ("28.54 %", "10.02 %", "Table 3"),
    ("resnet18", "A"): ("27.88 %", None, "Table 2"),
    ("resnet34", "A"): ("25.03 %", "7.76 %", "Table 3"),
    ("resnet34", "B"): ("24.52 %", "7.46 %", "Table 3"),
    ("resnet34", "C"): ("24.19 %", "7.40 %", "Table 3"),
    ("resnet50", "B"): ("22.85 %", "6.71 %", "Table 3"),
    ("resnet101", "B"): ("21.75 %", "6.05 %", "Table 3"),
    ("resnet152", "B"): ("21.43 %", "5.71 %", "Table 3"),
}


# ImageNet, other authors' nets in the paper. VGG-16: 10-crop, tested by the paper's authors.
VGG_16: tuple[str, str, str] = ("28.07 %", "9.33 %", "Table 3")

# ImageNet validation, one net tested at several scales, fully convolutional: (name, option) to top-1, top-5; Table 4.
MULTI_SCALE: dict[tuple[str, str], tuple[str, str]] = {
    ("resnet34", "B"): ("21.84 %", "5.71 %"),
    ("resnet34", "C"): ("21.53 %", "5.60 %"),
    ("resnet50", "B"): ("20.74 %", "5.25 %"),
    ("resnet101", "B"): ("19.87 %", "4.60 %"),
    ("resnet152", "B"): ("19.38 %", "4.49 %"),
}

# ImageNet validation, one 224x224 crop: top-1, top-5; from the README of the authors' release, not from the paper.
ONE_CROP: dict[tuple[str, str], tuple[str, str]] = {
    ("resnet50", "B"): ("24.7 %", "7.8 %"),
    ("resnet101", "B"): ("23.6 %", "7.1 %"),
    ("resnet152", "B"): ("23.0 %", "6.7 %"),
}

# Table 5: ensemble of six nets, top-5 error on the test set.
ENSEMBLE = "3.57 %"


def published(spec: Spec) -> dict[str, tuple[str, str]]:
    """Return the paper's figures for `spec`: key of `WORDS` to (figure as printed, its table); {} if it has none.

    Figures also hold for any value of a switch that the paper leaves open (fan, pad_at) or that does not affect this
    net (the shortcut of a plain net, stride_in without bottlenecks).
    """
    irrelevant = {"fan", "pad_at", "shortcut"}
    if not any("bottleneck" in stage for stage in spec.blocks):
        irrelevant.add("stride_in")
    if set(switches_of(spec)) - irrelevant:
        return {}
    if spec.family == "vgg":
        return {"macs": (FIGURE_3_VGG19, "Fig. 3")}
    if spec.family == "cifar" and spec.residual and spec.shortcut == "A" and spec.depth in TABLE_6:
        parameters, error = TABLE_6[spec.depth]
        return {"parameters": (parameters, "Table 6"), "cifar10_test_error": (error, "Table 6")}
    return _imagenet(spec) if spec.family == "imagenet" else {}


def _imagenet(spec: Spec) -> dict[str, tuple[str, str]]:
    """Return the figures of Tables 1 to 3. The paper builds nets of 50 layers and more only with option B."""
    option = spec.shortcut if spec.residual else ""
    options = ("", "A", "B") if spec.depth < 50 else ("B",)
    figures: dict[str, tuple[str, str]] = {}
    if option in options:
        figures["macs"] = (TABLE_1[spec.depth], "Table 1")
    errors = TEN_CROP.get((name_of(spec), option))
    if errors:
        top1, top5, table = errors
        figures["imagenet_top1_error"] = (top1, table)
        if top5 is not None:
            figures["imagenet_top5_error"] = (top5, table)
    return figures
