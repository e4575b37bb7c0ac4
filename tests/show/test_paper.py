"""The paper's printed figures: there for the paper's nets alone, and near our exact counts."""

from __future__ import annotations

import re

import pytest

from reslab.nets.cost import cost
from reslab.nets.names import listed, spec_of
from reslab.nets.paper import WORDS, published


@pytest.mark.parametrize(
    ("name", "switches", "wanted"),
    [
        ("cifar_resnet20", {}, {"parameters": ("0.27M", "Table 6"), "cifar10_test_error": ("8.75 %", "Table 6")}),
        ("cifar_resnet1202", {}, {"parameters": ("19.4M", "Table 6"), "cifar10_test_error": ("7.93 %", "Table 6")}),
        ("plain18", {}, {"macs": ("1.8×10⁹", "Table 1"), "imagenet_top1_error": ("27.94 %", "Table 2")}),
        ("resnet18", {}, {"macs": ("1.8×10⁹", "Table 1")}),
        ("vgg19", {}, {"macs": ("19.6×10⁹", "Fig. 3")}),
        (
            "resnet34",
            {"shortcut": "C"},
            {"imagenet_top1_error": ("24.19 %", "Table 3"), "imagenet_top5_error": ("7.40 %", "Table 3")},
        ),
    ],
)
def test_figures(name, switches, wanted):
    assert published(spec_of(name, **switches)) == wanted


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("cifar_plain56", {}),
        ("cifar_resnet8", {}),
        ("cifar_resnet20", {"shortcut": "B"}),
        ("cifar_resnet20", {"classes": 100}),
        ("cifar_resnet20", {"in_channels": 1, "image_size": 8}),
        ("resnet50", {"stride_in": "3x3"}),
        ("resnet50", {"shortcut": "A"}),
        ("resnet50", {"image_size": 160}),
        ("resnet50", {"order": "pre"}),
        ("plain50", {}),
        ("mlp_resnet20", {}),
        ("vgg19", {"batch_norm": True}),
    ],
)
def test_nets_that_are_not_the_papers_have_none(name, switches):
    assert published(spec_of(name, **switches)) == {}


def test_choices_that_the_paper_leaves_open_take_nothing_away():
    assert published(spec_of("resnet50", fan="out")) == published(spec_of("resnet50"))
    assert published(spec_of("cifar_resnet56", pad_at="both")) == published(spec_of("cifar_resnet56"))
    assert published(spec_of("resnet34", stride_in="3x3")) == published(spec_of("resnet34"))


@pytest.mark.parametrize("name", listed())
def test_counts_are_near_ours(name):
    """Printed FLOPs are partly truncated (3.86 to 3.8), parameters rounded."""
    spec = spec_of(name)
    for key, (text, _) in published(spec).items():
        assert key in WORDS
        printed = float(re.match(r"[\d.]+", text)[0])
        if key == "macs":
            assert abs(cost(spec).macs / 1e9 - printed) < 0.1
        if key == "parameters":
            digits = len(text.split(".")[1].rstrip("M"))
            assert abs(cost(spec).parameters / 1e6 - printed) <= 0.55 * 10**-digits
