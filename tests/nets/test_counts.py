"""Parameters, multiply-adds and shapes against the paper's tables (docs/paper.md) and torch's own counter."""

import pytest
import torch
from cases import some
from torch.utils.flop_counter import FlopCounterMode

from reslab.errors import UserError
from reslab.nets.cost import cost
from reslab.nets.model import build
from reslab.nets.names import IMAGENET, listed, name_of, spec_of, switches_of
from reslab.nets.plan import plan, smallest_image

# He et al. 2015, Table 6: exact counts for options A, B, C (the paper prints 0.27M …) and MACs of A.
CIFAR = {
    20: ((269_722, 272_474, 283_962), "40.55M"),
    32: ((464_154, 466_906, 489_594), "68.86M"),
    44: ((658_586, 661_338, 695_226), "97.17M"),
    56: ((853_018, 855_770, 900_858), "125.49M"),
    110: ((1_727_962, 1_730_714, 1_826_202), "252.89M"),
    1202: ((19_421_274, 19_424_026, 20_538_714), "2829.24M"),
}
# Table 1 to 4: (name, switches, parameters, GMACs to the digit given).
LARGE = [
    ("plain18", {}, 11_515_688, "1.795"),
    ("plain34", {}, 21_623_848, "3.644"),
    ("resnet18", {"shortcut": "A"}, 11_515_688, "1.795"),
    ("resnet18", {"shortcut": "B"}, 11_689_512, "1.814"),
    ("resnet34", {"shortcut": "A"}, 21_623_848, "3.644"),
    ("resnet34", {"shortcut": "B"}, 21_797_672, "3.664"),
    ("resnet34", {"shortcut": "C"}, 22_716_840, "3.831"),
    ("resnet50", {}, 25_557_032, "3.858"),
    ("resnet50", {"stride_in": "3x3"}, 25_557_032, "4.089"),
    ("resnet101", {}, 44_549_160, "7.570"),
    ("resnet101", {"stride_in": "3x3"}, 44_549_160, "7.801"),
    ("resnet152", {}, 60_192_808, "11.282"),
    ("resnet152", {"stride_in": "3x3"}, 60_192_808, "11.514"),
    ("vgg19", {}, 143_667_240, "19.632"),
]


@pytest.mark.parametrize("depth", CIFAR)
def test_cifar_counts(depth):
    counts, macs = CIFAR[depth]
    for shortcut, expected in zip("ABC", counts, strict=True):
        assert cost(spec_of(f"cifar_resnet{depth}", shortcut=shortcut)).parameters == expected
    assert cost(spec_of(f"cifar_plain{depth}")).parameters == counts[0]
    assert f"{cost(spec_of(f'cifar_resnet{depth}')).macs / 1e6:.2f}M" == macs


@pytest.mark.parametrize(("name", "switches", "parameters", "gmacs"), LARGE)
def test_imagenet_and_vgg_counts(name, switches, parameters, gmacs):
    found = cost(spec_of(name, **switches))
    assert found.parameters == parameters
    assert f"{found.macs / 1e9:.3f}" == gmacs


VARIANTS = [
    ("cifar_resnet20", {}),
    ("cifar_resnet20", {"shortcut": "B"}),
    ("cifar_resnet20", {"shortcut": "C", "downsample": "pool"}),
    ("cifar_resnet20", {"image_size": 8, "in_channels": 1}),
    ("cifar_resnet20", {"image_size": 33, "downsample": "pool"}),
    ("cifar_resnet20", {"order": "pre", "shortcut": "B"}),
    ("cifar_resnet20", {"batch_norm": False}),
    ("cifar_resnet20", {"stem": "7x7", "image_size": 64}),
    ("cifar_resnet20", {"widths": (8, 12, 40)}),
    ("cifar_plain20", {"activation": "tanh"}),
    ("cifar_resnet29", {"block": "bottleneck", "shortcut": "B", "stride_in": "3x3"}),
    ("cifar_resnet14", {"block": "single"}),
    ("cifar_resnet20", {"block": "triple"}),
    ("cifar_resnet32", {"block": "basic,bottleneck"}),
    ("cifar_resnet128", {}),
    ("cifar_resnet128", {"block": "bottleneck"}),
    ("resnet18", {"image_size": 65, "classes": 7}),
    ("resnet50", {"image_size": 64, "order": "pre"}),
    ("resnet50", {"image_size": 64, "stride_in": "3x3", "downsample": "pool"}),
    ("plain34", {"image_size": 64, "stem": "3x3"}),
    ("vgg19", {"image_size": 64, "classes": 10}),
    ("mlp_resnet20", {}),
    ("mlp_resnet10", {"widths": (32, 48), "shortcut": "C", "activation": "sigmoid"}),
    ("mlp_resnet10", {"widths": (32, 48), "shortcut": "A"}),
    ("mlp_plain8", {"block": "triple", "batch_norm": True}),
    ("mlp_resnet8", {"block": "single", "order": "pre"}),
]


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_plan_agrees_with_torch(name, switches):
    """The plan's sums and sizes against the module's own parameters, torch's counter and every real tensor."""
    spec = spec_of(name, **switches)
    net = build(spec).eval()
    assert sum(p.numel() for p in net.parameters()) == cost(spec).parameters
    images = torch.randn(2, spec.in_channels, spec.image_size, spec.image_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        logits, seen = net(images, names="all")
    assert counter.get_total_flops() == 2 * 2 * cost(spec).macs  # two per multiply-add, two images
    assert logits.shape == (2, spec.classes)
    rows = plan(spec)
    assert len({r.name for r in rows}) == len(rows)
    assert list(seen) == [r.name for r in rows]
    for row in rows:
        shape = tuple(seen[row.name].shape)
        flat = row.kind in ("gap", "flatten", "linear", "dropout") or len(shape) == 2
        assert shape == ((2, row.c_out) if flat else (2, row.c_out, row.size_out, row.size_out)), row.name


@pytest.mark.parametrize(("name", "switches"), some(VARIANTS[::-1], quick=9, names=2))
def test_variants_train(name, switches):
    """Every parameter gets a finite gradient that is not zero throughout."""
    net = build(name, **switches)
    images = torch.randn(4, net.spec.in_channels, net.spec.image_size, net.spec.image_size)
    torch.nn.functional.cross_entropy(net(images), torch.arange(4) % net.spec.classes).backward()
    for key, p in net.named_parameters():
        assert p.grad is not None, key
        assert torch.isfinite(p.grad).all(), key
        bias_before_bn = key.endswith("bias") and net.spec.batch_norm
        assert bias_before_bn or p.grad.abs().sum() > 0, key


def test_table_1_sizes():
    """Output sizes of Table 1: 112, 56, 28, 14, 7, 1, and 64 … 512 or 256 … 2048 channels."""
    for depth in IMAGENET:
        for name in (f"resnet{depth}", f"plain{depth}"):
            rows = plan(spec_of(name))
            at = {part: [r for r in rows if r.part == part][-1] for part in dict.fromkeys(r.part for r in rows)}
            wide = 4 if depth >= 50 else 1
            found = [(p, r.size_out, r.c_out) for p, r in at.items()]
            stages = [(f"conv{i}_x", 112 >> (i - 1), 64 * wide << (i - 2)) for i in range(2, 6)]
            assert found == [("stem", 56, 64), *stages, ("head", 1, 1000)]


def test_stride_place():
    """v1 has stride 2 in the first 1x1 of conv3_1, conv4_1, conv5_1; v1.5 in their 3x3 (§3.4, footnote)."""
    for stride_in, layer in (("1x1", "conv1"), ("3x3", "conv2")):
        rows = plan(spec_of("resnet50", stride_in=stride_in))
        strided = [r.name for r in rows if r.stride == 2 and r.path == "branch"]
        assert strided == [f"conv{s}_1.{layer}" for s in (3, 4, 5)]


def test_dotted_shortcuts():
    """Fig. 3 and §3.4: in 34 the dotted ones change the size; conv2_1 of 50 and deeper is dotted with stride 1."""

    def dotted(name, **switches):
        return [r.block for r in plan(spec_of(name, **switches)) if r.line == "dotted"]

    assert dotted("resnet34") == ["conv3_1", "conv4_1", "conv5_1"]
    assert dotted("resnet50") == ["conv2_1", "conv3_1", "conv4_1", "conv5_1"]
    assert len(dotted("resnet34", shortcut="C")) - len(dotted("resnet34")) == 13  # "thirteen" in §4.1
    assert dotted("plain34") == []


def test_every_listed_name_round_trips():
    for name in listed():
        spec = spec_of(name)
        assert name_of(spec) == name
        assert switches_of(spec) == {}


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_switches_round_trip(name, switches):
    spec = spec_of(name, **switches)
    assert spec_of(name_of(spec), **switches_of(spec)) == spec
    assert type(spec).from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("name", "switches"),
    [("cifar_resnet20", {}), ("resnet18", {}), ("resnet50", {"stem": "3x3"}), ("vgg19", {}), ("mlp_plain4", {})],
)
def test_smallest_image(name, switches):
    """The size named in the refusal works, one pixel less is refused."""
    smallest = smallest_image(spec_of(name, **switches))
    plan(spec_of(name, image_size=smallest, **switches))
    if smallest > 1:
        with pytest.raises(UserError, match=f"smallest that works is {smallest}"):
            plan(spec_of(name, image_size=smallest - 1, **switches))


@pytest.mark.parametrize(
    ("name", "switches", "words"),
    [
        ("cifar_resnet21", {}, "21 is not 6n\\+2.*20 and 26"),
        ("cifar_resnet29", {}, "with --block bottleneck \\(9n\\+2\\) 29 exists"),
        ("cifar_resnet2", {}, "nearest that exist are 8"),
        ("resnet20", {}, "cifar_resnet20"),
        ("resnet51", {}, "18, 34, 50, 101, 152"),
        ("cifar_resnt20", {}, "did you mean cifar_resnet20"),
        ("vgg16", {}, "vgg19"),
        ("resnet50", {"block": "basic"}, "built of bottleneck"),
        ("resnet50", {"shortcut": "D"}, "none of A, B, C"),
        ("resnet50", {"shorcut": "C"}, "did you mean shortcut"),
        ("cifar_resnet32", {"block": "basic,bottleneck", "shortcut": "A"}, "cannot shrink"),
        ("cifar_resnet20", {"zero_init": True, "batch_norm": False}, "zero_init"),
        ("cifar_resnet20", {"zero_init": True, "order": "pre"}, "zero_init"),
        ("cifar_plain20", {"zero_init": True}, "zero_init: a plain net has no shortcuts"),
        ("mlp_plain10", {"zero_init": True, "batch_norm": True}, "zero_init: a plain net has no shortcuts"),
        ("cifar_plain20", {"shortcut": "B"}, "cifar_plain20 is a plain net .* cifar_resnet20 has"),
        ("plain34", {"shortcut": "C"}, "plain34 is a plain net .* resnet34 has"),
        ("cifar_plain20", {"pad_at": "both"}, "pad_at: cifar_plain20 is a plain net"),
        ("cifar_plain20", {"shortcut": "D"}, "none of A, B, C"),
        ("mlp_resnet20", {"padding": "circular"}, "padding: an MLP has no convolutions"),
        ("cifar_resnet20", {"padding": "reflect"}, "none of zeros, circular"),
        ("cifar_resnet20", {"widths": (16, 32)}, "3 stages"),
        ("cifar_resnet20", {"widths": 64}, "widths: 64 is not a list"),
        ("cifar_resnet20", {"widths": "16,32,64"}, "widths: '16,32,64' is not a list"),
        ("mlp_resnet20", {"widths": 64}, "widths: 64 is not a list"),
        ("cifar_resnet20", {"block": 3}, "block: 3 is not text"),
        ("mlp_resnet20", {"block": "bottleneck"}, "no bottleneck"),
        ("mlp_resnet20", {"stem": "3x3"}, "no stem"),
        ("mlp_resnet21", {}, "not 2n\\+2"),
        ("cifar_resnet20", {"classes": 0}, "at least 1"),
    ],
)
def test_refusals(name, switches, words):
    with pytest.raises(UserError, match=words):
        plan(spec_of(name, **switches))


@pytest.mark.parametrize(("name", "switches"), [
    ("cifar_plain20", {"shortcut": "A", "pad_at": "end", "zero_init": False}), ("plain34", {"shortcut": "B"}),
    ("cifar_plain32", {"block": "basic,bottleneck", "shortcut": "B"}), ("mlp_plain10", {"shortcut": "B"}),
])  # fmt: skip
def test_a_plain_net_takes_the_values_that_it_has_anyway(name, switches):
    """As its twin's command says them, and as records write them down."""
    assert spec_of(name, **switches) == spec_of(name, block=switches.get("block"))
