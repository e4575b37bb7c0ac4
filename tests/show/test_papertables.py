"""Tables 1, 2, 3, 4 and 6 beside ours: every cell against the paper, written out here by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from reslab.runs.runlog import read
from reslab.show.charts.costs import size_table
from reslab.show.drawings.table import draw_table
from reslab.show.pages.papertables import table1, table2, table3, table4, table6
from reslab.store import jsonl
from reslab.store.sealed import write_sealed

# The paper, by hand: Table 1's blocks, Table 3's rows, Table 6's.
STAGES = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip
SIXTH = {
    "cifar_resnet20": ("269,722", "0.27M", "8.75 %"), "cifar_resnet32": ("464,154", "0.46M", "7.51 %"),
    "cifar_resnet44": ("658,586", "0.66M", "7.17 %"), "cifar_resnet56": ("853,018", "0.85M", "6.97 %"),
    "cifar_resnet110": ("1,727,962", "1.7M", "6.43 %\n(6.61±0.16 over 5 runs)"),
    "cifar_resnet1202": ("19,421,274", "19.4M", "7.93 %"),
}  # fmt: skip


def test_table_1_is_the_papers():
    table = table1()
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["conv1"] == ["112×112", *["7×7, 64,\nstride 2"] * 5]
    for stage, (part, size) in enumerate((("conv2_x", 56), ("conv3_x", 28), ("conv4_x", 14), ("conv5_x", 7))):
        width = 64 * 2**stage
        assert rows[part][0] == f"{size}×{size}"
        for (depth, blocks), cell in zip(STAGES.items(), rows[part][1:], strict=True):
            basic = [f"3×3, {width}"] * 2
            lines = basic if depth < 50 else [f"1×1, {width}", f"3×3, {width}", f"1×1, {4 * width}"]
            pool = ["3×3 max pool,", "stride 2"] if stage == 0 else []
            assert cell.split("\n") == [*pool, *lines, f"× {blocks[stage]}"]
    assert rows["head"] == ["1×1", *["average pool,\n1000-d fc,\nsoftmax"] * 5]
    assert rows["FLOPs,\npaper"][1:] == ["1.8×10⁹", "3.6×10⁹", "3.8×10⁹", "7.6×10⁹", "11.3×10⁹"]
    assert rows["MACs,\nours"][1:] == ["1.814G", "3.664G", "3.858G", "7.570G", "11.282G"]


def test_table_2_is_the_papers():
    assert table2().rows == [
        ["plain18", "11,515,688", "1.795G", "1.8×10⁹", "27.94 %", "not run"],
        ["plain34", "21,623,848", "3.644G", "3.6×10⁹", "28.54 %", "not run"],
        ["resnet18 A", "11,515,688", "1.795G", "1.8×10⁹", "27.88 %", "not run"],
        ["resnet34 A", "21,623,848", "3.644G", "3.6×10⁹", "25.03 %", "not run"],
    ]


def test_table_3_is_the_papers():
    errors = {row[0]: tuple(row[4:]) for row in table3().rows}
    assert errors == {
        "VGG-16": ("28.07 %", "9.33 %", "–"),
        "plain34": ("28.54 %", "10.02 %", "not run"),
        "resnet34 A": ("25.03 %", "7.76 %", "not run"),
        "resnet34 B": ("24.52 %", "7.46 %", "not run"),
        "resnet34 C": ("24.19 %", "7.40 %", "not run"),
        "resnet50 B": ("22.85 %", "6.71 %", "not run"),
        "resnet101 B": ("21.75 %", "6.05 %", "not run"),
        "resnet152 B": ("21.43 %", "5.71 %", "not run"),
    }
    counts = {row[0]: (row[1], row[2]) for row in table3().rows}
    assert counts["resnet34 C"] == ("22,716,840", "3.831G")
    assert counts["resnet152 B"] == ("60,192,808", "11.282G")


def test_table_4_is_the_papers():
    assert {row[0]: row[4:8] for row in table4().rows} == {
        "resnet34 B": ["21.84 %", "5.71 %", "–", "–"],
        "resnet34 C": ["21.53 %", "5.60 %", "–", "–"],
        "resnet50 B": ["20.74 %", "5.25 %", "24.7 %", "7.8 %"],
        "resnet101 B": ["19.87 %", "4.60 %", "23.6 %", "7.1 %"],
        "resnet152 B": ["19.38 %", "4.49 %", "23.0 %", "6.7 %"],
    }
    assert "3.57 %" in table4().caption.en
    assert "3.57 %" in table4("ko").caption.ko


def cifar10(folder, model, seed, error, iterations=64_000, **switches):
    """A finished record of a net on CIFAR-10 with one test error."""
    from reslab.nets.names import spec_of, switches_of
    from reslab.runs.recipes import recipe

    spec = spec_of(model, **switches)
    run = {
        "model": model, "switches": switches_of(spec), "spec": spec.to_dict(), "seed": seed,
        "recipe": recipe("paper-cifar").to_dict() | {"iterations": iterations}, "settings": {}, "environment": {},
        "data": {"name": "cifar10", "source": "cifar10:PATH", "notes": ["103 images are inexact"]},
    }  # fmt: skip
    lines = [{"kind": "eval", "iteration": iterations, "split": "test", "n": 10_000, "top1_error": error},
             {"kind": "end", "iteration": iterations}]  # fmt: skip
    out = folder / f"{model}-{seed}-{iterations}-{len(list(folder.iterdir()))}"
    out.mkdir()
    write_sealed(out / "run.json", run)
    for line in lines:
        jsonl.append(out / "metrics.jsonl", line)
    return read(out)


def test_table_6_without_records_is_the_papers_and_not_run():
    rows = {row[0]: row[1:] for row in table6().rows}
    for name, (ours, parameters, error) in SIXTH.items():
        assert rows[name] == [ours, parameters, error, "not run", "–"]
    for depth in (20, 32, 44, 56, 110):  # the paper prints no figure of a plain CIFAR net
        assert rows[f"cifar_plain{depth}"][1:] == ["–", "–", "not run", "–"]
        assert rows[f"cifar_plain{depth}"][0] == rows[f"cifar_resnet{depth}"][0]


def test_table_6_takes_the_records_of_the_papers_nets_alone(tmp_path, study):
    records = [
        cifar10(tmp_path, "cifar_resnet20", 0, 8.5),
        cifar10(tmp_path, "cifar_resnet20", 1, 9.0),
        cifar10(tmp_path, "cifar_resnet20", 0, 11.0, iterations=16_000),
        cifar10(tmp_path, "cifar_resnet20", 0, 1.0, shortcut="B"),
        cifar10(tmp_path, "cifar_plain20", 0, 2.0, batch_norm=False),
        cifar10(tmp_path, "cifar_plain20", 0, 9.75),
        cifar10(tmp_path, "cifar_resnet32", 0, 3.0, classes=100),
        *study(depths=(20,), seeds=(0,)),  # digits
    ]
    unfinished = cifar10(tmp_path, "cifar_resnet44", 0, 4.0)
    records.append(replace(unfinished, metrics=unfinished.metrics[:1]))
    table = table6(records)
    rows = {row[0]: row[4:] for row in table.rows}
    nb = "\u00a0"
    assert rows["cifar_resnet20"] == [
        f"8.75 [5.57,{nb}11.93] (n{nb}={nb}2)\n11.00 (n{nb}={nb}1)", "64,000 of 64,000 it.\n16,000 of 64,000 it."
    ]  # fmt: skip
    assert rows["cifar_plain20"] == [f"9.75 (n{nb}={nb}1)", "64,000 of 64,000 it."]
    assert {name for name, row in rows.items() if row != ["not run", "–"]} == {"cifar_resnet20", "cifar_plain20"}
    assert "103 images are inexact" in table.caption.en
    assert "103 images are inexact" in table.caption.ko


def test_table_6_takes_no_folder_for_the_set(tmp_path):
    """A folder that is called cifar10 holds whatever its owner put there."""
    one = cifar10(tmp_path, "cifar_resnet20", 0, 1.0)
    for data in ({"kind": "folder", "source": "cifar10:PATH"}, {"source": "./cifar10"}):
        of_folder = replace(one, run=one.run | {"data": one.run["data"] | data})
        row = next(row for row in table6([of_folder]).rows if row[0] == "cifar_resnet20")
        assert row[4:] == ["not run", "–"]


def test_table_6_averages_no_precisions_and_counts_a_copy_once(tmp_path):
    one, two = (cifar10(tmp_path, "cifar_resnet20", 0, error) for error in (8.5, 9.0))
    quick = replace(two, run=two.run | {"settings": {"precision": "bf16"}})
    exact = replace(one, run=one.run | {"settings": {"precision": "fp32"}})
    nb = "\u00a0"
    row = next(row for row in table6([exact, quick, exact]).rows if row[0] == "cifar_resnet20")
    assert row[4:] == [
        f"8.50 (n{nb}={nb}1)\n9.00 (n{nb}={nb}1)",
        "64,000 of 64,000 it., fp32\n64,000 of 64,000 it., bf16",
    ]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_row_and_every_column_has_a_name(language):
    for table in (table1(language), table2(language), table3(language), table4(language), table6((), language)):
        assert all(table.head)
        assert all(row[0] for row in table.rows)
    assert all(row[0] for row in size_table(language=language))


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("made", [table1, table2, table3, table4, lambda language: table6((), language)])
def test_as_pictures_every_cell_is_text_inside_the_frame_and_none_overlap(language, made):
    table = made(language)
    found = draw_table(table.title(language), table.head, table.rows, table.caption(language))
    root = ET.fromstring(found.svg)
    width, height = float(root.get("width")), float(root.get("height"))
    texts = [e for e in root.iter() if e.tag.endswith("text")]
    cells = [e.text or "" for e in texts if e.get("class") in ("cell", "head")]
    assert cells == [line for row in [table.head, *table.rows] for cell in row for line in cell.split("\n")]
    boxes = []
    for e in (e for e in texts if e.text):
        x, y, size = float(e.get("x")), float(e.get("y")), float(e.get("font-size"))
        wide = sum(2 if ord(c) > 0x1100 and c not in "–×±⁹" else 1 for c in e.text) * size * 0.55
        left = x if e.get("text-anchor") == "start" else x - wide / 2
        assert left >= 0
        assert left + wide <= width
        assert 0 < y < height
        boxes.append((left, y - size * 0.8, left + wide, y))
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
