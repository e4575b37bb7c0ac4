"""The walk: study note 002's way of reading the table, literally; every number from the plan."""

from __future__ import annotations

import json
import re

import pytest

from reslab.nets.cost import cost
from reslab.nets.names import listed, spec_of
from reslab.nets.plan import plan
from reslab.show.terminal.walk import describe_json, describe_text, list_rows, list_text

# Note 002, "how to read the table", RGB image into the 50-layer net, in the one fixed form (the note leaves out the
# channels after the 3x3 of the first block of conv2_x; a block here always has channels in and after each layer).
NOTE_002 = """\
[RGB] 3
[conv1] 3 → 64
[conv2_x] 64 → (64 → 64 → 64 → 256) dotted → (256 → 64 → 64 → 256) solid → (256 → 64 → 64 → 256) solid
[conv3_x] 256 → (256 → 128 → 128 → 512) dotted → (512 → 128 → 128 → 512) solid ×3
[conv4_x] 512 → (512 → 256 → 256 → 1024) dotted → (1024 → 256 → 256 → 1024) solid ×5
[conv5_x] 1024 → (1024 → 512 → 512 → 2048) dotted → (2048 → 512 → 512 → 2048) solid → (2048 → 512 → 512 → 2048) solid
[GAP] 7x7 → 1x1, 2048
[fc] 2048 → 1000
[softmax] 1000"""

VARIANTS = [
    ("cifar_resnet20", {}),
    ("cifar_plain56", {}),
    ("cifar_resnet1202", {}),
    ("cifar_resnet20", {"in_channels": 1, "image_size": 8, "shortcut": "C"}),
    ("cifar_resnet29", {"block": "bottleneck", "shortcut": "B"}),
    ("cifar_resnet32", {"block": "basic,bottleneck"}),
    ("cifar_resnet14", {"order": "pre", "batch_norm": False, "downsample": "pool", "activation": "tanh"}),
    ("resnet18", {"shortcut": "A"}),
    ("resnet34", {"order": "pre", "downsample": "pool"}),
    ("resnet50", {}),
    ("resnet152", {"stride_in": "3x3"}),
    ("plain34", {}),
    ("vgg19", {}),
    ("mlp_resnet20", {"widths": (64, 32)}),
    ("mlp_plain10", {}),
]


def lines(name: str, **switches: object) -> list[str]:
    return describe_text(spec_of(name, **switches)).splitlines()


def test_resnet50_reads_as_in_the_note():
    found = [line for line in lines("resnet50") if line.startswith("[") and not line.startswith("[pool1]")]
    assert len(found) == len(NOTE_002.splitlines())
    for line, wanted in zip(found, NOTE_002.splitlines(), strict=True):
        assert line == wanted or line.startswith(wanted + ",")


def test_sizes_strides_and_costs_of_resnet50():
    found = {line.split("]")[0][1:]: line for line in lines("resnet50") if line.startswith("[")}
    assert found["conv1"] == "[conv1] 3 → 64, 7x7 /2, 224 → 112, 9,536 parameters, 118.01M MACs"
    assert found["pool1"] == "[pool1] 64, max 3x3 /2, 112 → 56"
    assert ", 56x56, 215,808 parameters" in found["conv2_x"]
    assert ", 56 → 28 (/2 in conv3_1.conv1 and conv3_1.shortcut), 1,219,584 parameters" in found["conv3_x"]


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_parameters_of_the_lines_add_up_to_the_total(name, switches):
    spec = spec_of(name, **switches)
    text = describe_text(spec)
    parts = [int(n.replace(",", "")) for n in re.findall(r"^\[.*, ([\d,]+) parameters", text, re.MULTILINE)]
    assert sum(parts) == cost(spec).parameters
    assert f"parameters  {cost(spec).parameters:,} (" in text
    assert f"MACs        {cost(spec).macs:,} (" in text
    assert f"layers      {spec.depth:,} with weights" in text


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_a_walk_is_short_and_goes_from_pixels_to_softmax(name, switches):
    walk = [line for line in lines(name, **switches) if line.startswith("[")]
    assert walk[0].startswith(("[RGB] 3", "[grey] 1"))
    assert walk[-1] == "[softmax] " + str(spec_of(name, **switches).classes)
    assert len(walk) <= 14
    assert max(map(len, walk)) < 320


def test_1202_layers_are_folded():
    assert "[conv2_x] 16 → (16 → 16 → 16) solid ×200, 32x32" in describe_text(spec_of("cifar_resnet1202"))
    mixed = describe_text(spec_of("cifar_resnet122", block="basic,bottleneck"))
    assert "[(32 → 32 → 32 → 128) dotted → (128 → 32 → 32) dotted] ×7 → (32 → 32 → 32 → 128) dotted" in mixed


def test_two_equal_blocks_are_not_folded_three_are():
    found = lines("cifar_resnet20")
    assert any(line.startswith("[conv2_x] 16 → (16 → 16 → 16) solid ×3,") for line in found)
    assert any("(32 → 32 → 32) solid → (32 → 32 → 32) solid," in line for line in found)


def test_plain_nets_have_neither_solid_nor_dotted():
    for name in ("plain34", "cifar_plain20", "vgg19", "mlp_plain10"):
        text = describe_text(spec_of(name))
        assert ") plain" in text
        assert "solid" not in text
        assert "dotted" not in text


def test_padded_and_projected_shortcuts_are_told_apart():
    padded, projected = (describe_text(spec_of("resnet34", shortcut=s)) for s in "AB")
    assert "dotted  3 padded (option A)" in padded
    assert "projected" not in padded
    assert "dotted  3 projected: a 1x1 convolution W_s and BN" in projected
    assert "padded" not in projected
    assert "solid" not in describe_text(spec_of("resnet34", shortcut="C"))


def test_v15_says_where_its_stride_is():
    assert any("(/2 in conv3_1.conv2 and conv3_1.shortcut)" in line for line in lines("resnet50", stride_in="3x3"))
    assert "stride  in a bottleneck's 1x1 (the paper)" in lines("resnet50")
    assert 'stride  in a bottleneck\'s 3x3 ("v1.5")' in lines("resnet50", stride_in="3x3")


def test_pooling_and_preactivation_are_read_from_the_rows():
    text = describe_text(spec_of("resnet34", order="pre", downsample="pool"))
    assert "(/2 in conv3_1.conv1_pool and conv3_1.shortcut_pool)" in text
    assert "block   BN → relu → conv → BN → relu → conv → +\n" in text
    assert "[bn_last] 512, 7x7, 1,024 parameters" in text


def test_vgg19_and_mlp():
    vgg = lines("vgg19")
    assert any(
        line.startswith("[conv3_x] 128 → (128 → 256) plain → (256 → 256) plain ×3 → max 2x2, 56 → 28") for line in vgg
    )
    assert "[flatten] 512 x 7x7 → 25088" in vgg
    mlp = lines("mlp_resnet20", widths=(64, 32), in_channels=1, image_size=8)
    assert "[flatten] 1 x 8x8 → 64" in mlp
    assert any(line.startswith("[fc3_x] 64 → (64 → 32 → 32) dotted → (32 → 32 → 32) solid ×3,") for line in mlp)
    assert "dotted  1 projected: W_s" in mlp


def test_the_papers_figure_stands_beside_ours():
    assert "paper       FLOPs (multiply-adds): 3.8×10⁹ (Table 1); ours 3.858G" in lines("resnet50")
    assert "paper       parameters: 0.27M (Table 6); ours 0.27M" in lines("cifar_resnet20")
    assert not any(line.startswith("paper") for line in lines("cifar_plain20"))


@pytest.mark.parametrize(("name", "switches"), VARIANTS)
def test_json_is_plain_and_sums_to_its_totals(name, switches):
    spec = spec_of(name, **switches)
    found = json.loads(json.dumps(describe_json(spec)))
    assert (found["name"], found["depth"]) == (name, spec.depth)
    assert found["parameters"] == sum(r["parameters"] for r in found["rows"]) == cost(spec).parameters
    assert found["macs"] == sum(r["macs"] for r in found["rows"]) == cost(spec).macs
    assert [r["name"] for r in found["rows"]] == [r.name for r in plan(spec)]
    assert set(found["switches"]) >= set(switches) - {"shortcut"}


def test_list():
    rows = list_rows(listed())
    assert [r["name"] for r in rows] == list(listed())
    text = list_text(rows).splitlines()
    assert len(text) == len(rows) + 1
    assert re.search(r"^resnet50 +50 +3x224x224 +1000 +25,557,032 +3\.858G$", "\n".join(text), re.MULTILINE)
