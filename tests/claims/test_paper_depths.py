"""C10 and C24: layers counted in the built modules, multiply-adds by hand, every verdict by way of files."""

import pytest
from shelf import DIGITS, Shelf
from torch import nn

from reslab.claims.experiments import architecture
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN
from reslab.nets.model import build
from reslab.nets.names import spec_of

C10, C24 = architecture.claims(DIGITS)


def modules(name, **switches):
    """Convolutions and fully connected layers of the built net, without those of shortcuts."""
    net = build(name, device="meta", **switches)
    return [m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n]


@pytest.mark.parametrize(
    ("name", "switches", "layers"),
    [
        ("cifar_resnet128", {"block": "basic"}, 128),
        ("cifar_resnet128", {"block": "bottleneck"}, 128),
        ("resnet34", {"shortcut": "C"}, 34),
        ("resnet152", {}, 152),
        ("cifar_resnet110", {}, 110),
        ("vgg19", {}, 19),
    ],
)
def test_layers_are_counted_as_the_paper_does(name, switches, layers):
    assert architecture.weight_layers(spec_of(name, **switches)) == layers == len(modules(name, **switches))


def test_depths():
    made = C10.measurements[0].make(None, None)
    assert made["imagenet"] == [18, 34, 50, 101, 152]
    assert made["cifar"] == [20, 32, 44, 56, 110, 1202]
    assert (made["of_128"], made["deepest_imagenet"], made["deepest"]) == (0, 152, 1202)
    assert made["built"] == [128, 128]
    counted = [sum(p.numel() for p in build("cifar_resnet128", block=b, device="meta").parameters())
               for b in ("basic", "bottleneck")]  # fmt: skip
    assert made["parameters"] == counted


@pytest.mark.parametrize(("of_128", "verdict"), [(0, FAILS), (1, HOLDS)])
def test_verdicts_of_c10(tmp_path, of_128, verdict):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C10).verdict == NOT_RUN
    shelf.measured("architecture-depths", C10.measurements[0].make(None, None) | {"of_128": of_128})
    found = shelf.judge(C10)
    assert found.verdict == verdict
    assert [f.verdict for f in found.findings[1:]] == [HOLDS] * 3
    said = {
        FAILS: "No. No net of the paper has 128 layers: the deepest has 152 layers on ImageNet and 1,202 layers on "
        "CIFAR-10. A net of 128 layers can be built, but is not the paper's.",
        HOLDS: "Yes. 1 of the paper's nets have 128 layers.",
    }
    assert found.sentence.en == said[verdict]


# -- C24


@pytest.fixture(scope="module")
def macs():
    return C24.measurements[0].make(None, None)


def test_multiply_adds_of_plain_34_by_hand(macs):
    """Table 1: 7x7 to 112; then 3, 4, 6, 3 blocks of two 3x3 layers of 64 … 512 on maps of 56 … 7; 1000 classes."""
    wanted, c_in = [49 * 3 * 64 * 112**2], 64
    for blocks, width, size in ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)):
        for _ in range(2 * blocks):
            wanted.append(9 * c_in * width * size**2)
            c_in = width
    wanted.append(512 * 1000)
    assert macs["layers_plain34"] == macs["layers_resnet34"] == wanted
    assert sum(macs["stages_plain34"]) == macs["total_plain34"] == sum(wanted)
    assert macs["shortcuts_plain34"] == []
    assert macs["shortcuts_resnet34"] == [64 * 128 * 28**2, 128 * 256 * 14**2, 256 * 512 * 7**2]
    assert macs["total_resnet34"] == sum(wanted) + sum(macs["shortcuts_resnet34"])


def test_multiply_adds_of_vgg_19_by_hand(macs):
    """Simonyan & Zisserman, configuration E."""
    wanted, c_in, size = [], 3, 224
    for layers, width in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
        for _ in range(layers):
            wanted.append(9 * c_in * width * size**2)
            c_in = width
        size //= 2
    wanted += [512 * 7 * 7 * 4096, 4096 * 4096, 4096 * 1000]
    assert macs["layers_vgg19"] == wanted
    assert sum(macs["stages_vgg19"]) == macs["total_vgg19"] == sum(wanted)


def test_the_figures_of_the_paper(macs):
    rounded = {name: round(macs[f"total_{name}"] / 1e9, 3) for name in architecture.COMPARED}
    assert rounded == {"vgg19": 19.632, "plain34": 3.644, "resnet34": 3.664}
    assert round(macs["plain34_of_vgg19"], 1) == 18.6
    assert macs["growth_vgg19"] == macs["growth_plain34"] == macs["growth_resnet34"] == [2, 2, 2]
    assert (macs["growth_vgg19_last"], macs["level_vgg19_last"]) == (1, 4)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, CONDITION),
        ({"growth_vgg19_last": 2.0, "level_vgg19_last": 1.0}, HOLDS),
        ({"growth_resnet34": [2.0, 2.0, 1.0]}, CONDITION),
        ({f"{k}_{n}": 3.0 for k in ("growth", "level") for n in architecture.COMPARED}, FAILS),
    ],
)
def test_verdicts_of_c24(tmp_path, macs, changes, verdict):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C24).verdict == NOT_RUN
    shelf.measured("architecture-macs", macs | changes)
    found = shelf.judge(C24)
    assert found.verdict == verdict
    if verdict == CONDITION:
        assert "Plain-34 costs 18.6 % of VGG-19." in found.sentence.en
        assert "VGG-19의 18.6 %다." in found.sentence.ko
    if verdict == FAILS:
        assert found.sentence.en == "No. Channels grow 3 times in VGG-19, 3 in plain-34, 3 in residual-34."
