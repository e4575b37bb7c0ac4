"""Nets side by side and two blocks: what the SVG says, parsed, against the plan and the paper's Fig. 3 and 5."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from reslab.cli.main import main
from reslab.errors import UserError
from reslab.nets.cost import cost_of, shown
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.nets.plan import plan
from reslab.show.drawings.blocks import FIG_5, draw_blocks
from reslab.show.drawings.canvas import Canvas, text_width
from reslab.show.drawings.columns import Unit, folded, units_of
from reslab.show.drawings.nets import draw_nets, file_name
from reslab.show.pages.files import write

NS = "{http://www.w3.org/2000/svg}"


def drawn(*models, **switches):
    return ET.fromstring(draw_nets([spec_of(m, **switches) for m in models]).svg)


def of(root, *classes):
    return [e for e in root.iter() if set(classes) <= set(e.get("class", "").split())]


def texts(root, class_):
    return [e.text for e in of(root, class_)]


def number(element, key):
    return float(element.get(key))


# -- against the paper


@pytest.mark.parametrize(
    ("model", "layers", "solid", "dotted"),
    [
        ("vgg19", 19, 0, 0),
        ("plain34", 34, 0, 0),
        ("resnet34", 34, 13, 3),  # Fig. 3
        ("resnet50", 50, 12, 4),  # conv2_1 widens 64 to 256
        ("cifar_resnet20", 20, 7, 2),
        ("cifar_plain20", 20, 0, 0),
        ("mlp_resnet20", 20, 9, 0),
    ],
)
def test_layers_and_shortcuts(model, layers, solid, dotted):
    root = drawn(model)
    assert len(of(root, "layer")) == layers
    assert (len(of(root, "shortcut", "solid")), len(of(root, "shortcut", "dotted"))) == (solid, dotted)
    assert all((e.get("stroke-dasharray") is None) == ("solid" in e.get("class")) for e in of(root, "shortcut"))


def test_option_c_is_dotted_throughout():
    assert not of(drawn("resnet34", shortcut="C"), "shortcut", "solid")


def test_labels_are_the_rows():
    found = texts(drawn("resnet34"), "label")
    assert found[:4] == ["image, 3x224x224", "7x7 conv, 64, /2", "3x3 max pool, /2", "3x3 conv, 64"]
    assert found[-2:] == ["global avg pool", "fc 1000"]
    kinds = ("conv", "linear", "maxpool", "gap")
    for model in ("vgg19", "resnet152", "cifar_resnet20"):
        rows = [r.label for r in plan(spec_of(model)) if r.kind in kinds and r.path != "shortcut"]
        assert [box.label for unit in units_of(spec_of(model)) for box in unit.boxes][1:] == rows


def test_captions_are_the_costs():
    found = texts(drawn(*FIG_3), "caption")
    for model in FIG_3:
        total = cost_of(plan(spec_of(model)))
        at = found.index(model)
        assert found[at + 2 : at + 4] == [f"{shown(total.parameters)} parameters", f"{shown(total.macs)} MACs"]
    assert any("order pre" in line for line in texts(drawn("resnet18", order="pre"), "caption"))


def test_equal_sizes_stand_at_equal_heights():
    root = drawn(*FIG_3)
    assert texts(root, "size") == ["224", "112", "56", "28", "14", "7", "1"]
    firsts = {}  # (column, output size) to the highest box's y
    for box in [*of(root, "layer"), *of(root, "pool")]:
        key = (box.get("x"), box.get("data-size"))
        firsts[key] = min(firsts.get(key, 1e9), number(box, "y"))
    assert len({x for x, _ in firsts}) == 3
    for size in ("112", "56", "28", "14", "7", "1"):
        heights = [y for (_, s), y in firsts.items() if s == size]
        assert len(heights) == 3
        assert len(set(heights)) == 1
    bands = of(root, "band")
    for box in of(root, "layer"):
        band = bands[texts(root, "size").index(box.get("data-size"))]
        assert number(band, "y") < number(box, "y") < number(band, "y") + number(band, "height") - 20


def test_one_colour_for_a_stage():
    root = drawn("resnet34", "resnet50", "cifar_resnet20")
    fills = {}
    for box in of(root, "layer"):
        fills.setdefault(box.get("data-part"), set()).add(box.get("fill"))
    assert all(len(found) == 1 for found in fills.values())
    assert len({next(iter(f)) for f in fills.values()}) == len(fills) == 6


# -- folding


@pytest.mark.parametrize(
    ("model", "switches"),
    [
        ("resnet152", {}),
        ("cifar_resnet110", {}),
        ("cifar_plain110", {}),
        ("cifar_resnet1202", {}),
        ("cifar_resnet122", {"block": "basic,bottleneck"}),
        ("cifar_resnet110", {"shortcut": "C"}),
        ("cifar_resnet164", {"block": "bottleneck", "order": "pre"}),
    ],
)
def test_folds_add_up_to_the_depth(model, switches):
    root, spec = drawn(model, **switches), spec_of(model, **switches)
    assert sum(int(box.get("data-times")) for box in of(root, "layer")) == spec.depth
    lines = [r.line for r in plan(spec) if r.kind == "add"]
    for line in ("solid", "dotted"):
        assert sum(int(e.get("data-times")) for e in of(root, "shortcut", line)) == lines.count(line)
    assert len(of(root, "layer")) <= 35
    assert of(root, "times")


def test_the_mark_of_a_fold():
    assert texts(drawn("resnet152"), "times") == ["×2", "×7", "×35", "×2"]
    assert not of(drawn("resnet50"), "times")
    assert len(of(drawn("resnet50", "resnet152"), "times")) == 8  # where one is folded, all are


def test_unfolding_gives_the_net_back():
    units = units_of(spec_of("cifar_resnet122", block="basic,bottleneck"))
    runs = folded(units)
    assert any(len(pattern) == 2 and times > 1 for pattern, times in runs)
    assert [unit for pattern, times in runs for unit in pattern * times] == units
    assert all(times == 1 for _, times in folded(units, fold=False))
    assert folded([Unit(()), Unit(())]) == (((Unit(()),), 1), ((Unit(()),), 1))  # no blocks, hence never folded


# -- the picture as a picture


PICTURES = {
    "default": lambda: draw_nets([spec_of(m) for m in FIG_3]),
    "deep": lambda: draw_nets([spec_of("resnet50"), spec_of("resnet152")]),
    "stride in 3x3": lambda: draw_nets([spec_of("resnet50", stride_in="3x3")]),
    "kinds": lambda: draw_nets([spec_of("mlp_resnet20"), spec_of("cifar_resnet1202"), spec_of("resnet18")]),
    "mixed": lambda: draw_nets([spec_of("cifar_resnet32", block="basic,bottleneck", downsample="pool")]),
    "many switches": lambda: draw_nets(
        [spec_of("cifar_resnet8", order="pre", shortcut="B", activation="tanh", widths=(123456, 234567, 345678))]
    ),
    "small": lambda: draw_nets([spec_of("mlp_plain4", in_channels=1, image_size=8)]),
    "Korean": lambda: draw_nets([spec_of("resnet50"), spec_of("vgg19")], "ko"),
    "blocks": draw_blocks,
    "blocks, Korean": lambda: draw_blocks({"shortcut": "C"}, "ko"),
    "blocks, pre, C": lambda: draw_blocks({"order": "pre", "shortcut": "C"}),
    "blocks, wide": lambda: draw_blocks({"widths": (1234, 2468, 4936, 9872)}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_no_overlap_and_nothing_outside(name):
    root = ET.fromstring(PICTURES[name]().svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    boxes = []
    for e in root.iter(f"{NS}rect"):
        if e.get("class") in ("layer", "pool", "sample"):
            x, y = number(e, "x"), number(e, "y")
            boxes.append((x, y, x + number(e, "width"), y + number(e, "height")))
    lines = []
    for e in root.iter(f"{NS}text"):
        size = number(e, "font-size")
        assert size >= 12  # pixels at natural size
        wide = text_width(e.text, size, e.get("font-weight", "normal"))
        x = number(e, "x") - {"start": 0, "middle": wide / 2, "end": wide}[e.get("text-anchor")]
        lines.append((x, number(e, "y") - 0.75 * size, x + wide, number(e, "y") + 0.2 * size))
    for x0, y0, x1, y1 in [*boxes, *lines]:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    for things in (boxes, lines):
        for i, a in enumerate(things):
            for b in things[i + 1 :]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for text in lines:  # inside a box, or clear of it
        for box in boxes:
            clear = text[2] <= box[0] or box[2] <= text[0] or text[3] <= box[1] or box[3] <= text[1]
            assert clear or (box[0] <= text[0] and text[2] <= box[2] and box[1] <= text[1] and text[3] <= box[3])
    for e in of(root, "shortcut"):  # a curve lies within its control points
        for x, y in re.findall(r"([\d.]+) ([\d.]+)", e.get("d")):
            assert 0 <= float(x) <= width + 10  # which lie a little further out than the curve
            assert 0 <= float(y) <= height


def test_one_box_below_the_other():
    for model in ("vgg19", "resnet50"):
        root = drawn(model)
        ys = [number(e, "y") for e in root.iter(f"{NS}rect") if e.get("class") in ("layer", "pool")]
        assert all(a + 20 < b for a, b in pairwise(ys))


def test_the_default_is_legible_at_page_width():
    picture = draw_nets([spec_of(m) for m in FIG_3])
    assert 12 * min(1100, 1.25 * picture.width) / picture.width >= 9


def test_words_for_those_who_do_not_see():
    root = drawn("plain34", "resnet34")
    assert root.get("role") == "img"
    assert root.find(f"{NS}title").text == "Networks side by side: plain34, resnet34"
    words = root.find(f"{NS}desc").text
    assert "13 solid shortcuts, 3 dotted shortcuts" in words
    assert "plain34: 34 layers" in words
    assert "no shortcuts" in words


def test_each_language_has_its_words_and_both_the_same_figures():
    english = [draw_nets([spec_of("resnet34"), spec_of("resnet152")]).svg, draw_blocks().svg]
    korean = [draw_nets([spec_of("resnet34"), spec_of("resnet152")], "ko").svg, draw_blocks(language="ko").svg]
    for en, ko in zip(map(ET.fromstring, english), map(ET.fromstring, korean), strict=True):
        assert texts(ko, "label") == texts(en, "label")  # names of layers
        said = [[e.text for e in root.iter() if e.tag in (f"{NS}{t}" for t in ("text", "title", "desc"))]
                for root in (en, ko)]  # fmt: skip
        for a, b in zip(*said, strict=True):
            figures = [sorted(re.findall(r"\d[\d.,]*\b[GMx]?", text, re.ASCII)) for text in (a, b)]
            assert figures[0] == figures[1]
            assert (a == b) == (
                not re.search(r"output size|weights|parameters|MACs at| wide|equal|changes|Net|blocks", a)
            )


def test_text_is_escaped(tmp_path):
    canvas = Canvas()
    hostile = "</text><script>alert('\"&')</script>\x00\x1b"
    canvas.text(0, 10, hostile)
    canvas.add("rect", fill='"><script>')
    svg = canvas.svg(10, 10, hostile, hostile)
    assert "<script" not in svg
    write(svg, hostile, 10, tmp_path / "x.html")
    assert "<script" not in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert ET.fromstring(svg).find(f"{NS}text").text.startswith("</text><script>")


# -- Fig. 5


def test_blocks_are_the_plans():
    root = ET.fromstring(draw_blocks().svg)
    captions = texts(root, "caption")
    for model, block in FIG_5:
        total = cost_of([r for r in plan(spec_of(model)) if r.block == block])
        at = captions.index(f"{model} {block}")
        assert captions[at + 1 : at + 3] == [f"{total.parameters:,} parameters", f"{shown(total.macs)} MACs at 56x56"]
    assert texts(root, "label") == [*["3x3 conv, 64"] * 2, *["3x3 conv, 256"] * 2, "1x1 conv, 64", "3x3 conv, 64",
                                    "1x1 conv, 256"]  # fmt: skip
    assert texts(root, "input") == texts(root, "output") == ["64-d", "256-d", "256-d"]
    assert texts(root, "note") == ["BN, relu", "BN", "relu"] * 2 + ["BN, relu", "BN, relu", "BN", "relu"]
    assert len(of(root, "shortcut", "solid")) == len(of(root, "add")) == 3


def test_a_projection_before_or_after_the_activation():
    """In pre-activation the identity takes the input, a projection what BN and ReLU made of it."""

    def start(shortcut):
        root = ET.fromstring(draw_blocks({"order": "pre", "shortcut": shortcut}).svg)
        return float(of(root, "shortcut")[0].get("d").split()[1].split("H")[0]), number(of(root, "note")[0], "y")

    (identity, note), (projection, _) = start("B"), start("C")
    assert identity < note < projection


# -- files and the verb


def test_a_file_is_not_overwritten(tmp_path):
    path = tmp_path / "deep" / "x.svg"
    write("<svg/>", "t", 10, path)
    with pytest.raises(UserError, match=r"x\.svg: this file exists .* --overwrite"):
        write("other", "t", 10, path)
    assert path.read_text() == "<svg/>"
    write("other", "t", 10, path, overwrite=True)
    assert path.read_text() == "other"


def test_names_of_files():
    assert str(file_name(FIG_3)) == "vgg19-plain34-resnet34.svg"
    assert len(str(file_name(["cifar_resnet1202"] * 99))) < 120


def test_the_verb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "resnet34"]) == 0
    assert len(of(ET.fromstring(capsys.readouterr().out), "layer")) == 34  # to a pipe
    assert not list(tmp_path.iterdir())
    for name, start in (("a.svg", b"<svg "), ("a.png", b"\x89PNG"), ("a.html", b"<!doctype html>")):
        assert main(["draw", "cifar_resnet20", "cifar_plain20", "--out", name]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "overflow-x: auto" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert main(["draw", "--out", "a.svg"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["draw", "--out", "a.svg", "--overwrite"]) == 0
    assert len(of(ET.parse(tmp_path / "a.svg").getroot(), "layer")) == 19 + 34 + 34
    assert main(["draw", "--blocks", "--out", "b.png"]) == 0
    assert (tmp_path / "b.png").stat().st_size > 5000


def test_a_terminal_gets_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["draw", "resnet18", "resnet34"]) == 0
    assert (tmp_path / "resnet18-resnet34.svg").exists()
    assert main(["draw", "--blocks"]) == 0
    assert (tmp_path / "blocks.svg").exists()
    assert main(["draw", "--blocks"]) == 2
    assert "blocks.svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["resnt34"], "did you mean resnet34"),
        (["resnet34", "--out", "x.pdf"], "x.pdf: a drawing is written as .svg, .png, .html"),
        (["resnet34", "--out", "."], "this is a folder"),
        (["resnet34", "--blocks"], "give models or --blocks"),
        (["vgg19", "--shortcut", "A"], "vgg19 has no blocks"),
        (["plain34", "resnet34", "--shortcut", "C"], "plain34 is a plain net"),
        (["--image-size", "4"], "4 is too small"),
    ],
)
def test_what_is_refused(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_by_default_the_nets_that_lack_a_switch_are_left_out_aloud(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for words, kept in (
        (["--shortcut", "C"], ["resnet34"]),
        (["--order", "pre"], ["plain34", "resnet34"]),
        (["--activation", "tanh"], ["vgg19", "plain34", "resnet34"]),
    ):
        assert main(["draw", *words, "--overwrite"]) == 0
        told = capsys.readouterr()
        assert Path(told.out.strip()).name == f"{'-'.join(kept)}.svg"
        gone = [name for name in FIG_3 if name not in kept]
        assert [line.split()[1] for line in told.err.splitlines()] == gone
        assert all("is left out; " in line for line in told.err.splitlines())


def test_no_torch(tmp_path):
    source = (
        "import sys, json; from reslab.cli.main import main; assert main(['draw', '--out', sys.argv[1]]) == 0; "
        "print(json.dumps([m for m in sys.modules if m in ('torch', 'torchvision', 'altair')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path / "x.png")], capture_output=True, text=True, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
