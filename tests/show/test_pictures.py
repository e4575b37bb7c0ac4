"""Pictures by name as real files: parsed, with the records' own figures in them, and refused in one line."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from cases import some
from written_runs import write_run

from reslab.api.pictures import picture
from reslab.errors import UserError
from reslab.runs.recipes import recipe
from reslab.show.pages.embed import unpacked
from reslab.show.pages.figures import records_figures
from reslab.show.pages.page import is_ours
from reslab.show.pages.pictures import CHARTS, DEFINED, NAMES, drawn_of, write_picture
from reslab.store.sealed import write_sealed

MEASURED = ("copying", "removal")  # drawn from a study's measurements
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def probed(study):
    """Finished runs of two depths that were probed twice."""
    values = {"conv2_1": 0.5, "conv3_1": 1.5, "conv4_1": 1.0}
    parts = dict.fromkeys(("gradients", "activations", "residuals", "responses"), values)
    lines = [{"kind": "probe", "iteration": i, **parts} for i in (0, 600)]
    return [replace(r, metrics=(*r.metrics, *lines)) for r in study(depths=(8, 20), seeds=(0, 1))]


def charts(html):
    """The specifications of a page's charts, and its points: name → rows."""
    specs = [json.loads(s) for s in re.findall(r'data-chart="[^"]+">(.*?)</script>', html)]
    found = re.search(r'id="data">(.*?)</script>', html)
    return specs, {name: unpacked(told) for name, told in json.loads(found[1]).items()} if found else {}


@pytest.mark.parametrize("name", some([n for n in NAMES if n not in MEASURED], quick=3))
def test_every_picture_is_written_in_each_kind(name, probed, tmp_path):
    records = [] if name in DEFINED else probed
    for ending in ("svg", "png", "html"):
        write_picture(name, records, tmp_path / f"a.{ending}", "en" if ending != "svg" else "ko", scale=0.5)
    root = ET.fromstring((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert root.tag.endswith("svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert not re.search(r'(?:src|href)="(?!data:|#)', html.partition("<script>")[0])
    assert ("script-src" in html) == ("<script" in html) == (name in CHARTS)
    assert not is_ours(tmp_path / "a.html")  # a report does not replace it unasked
    assert all(spec["width"] == "container" for spec in charts(html)[0])


def test_a_chart_s_file_holds_the_records_errors(study, tmp_path):
    records = study(depths=(8, 20), seeds=(0,))
    write_picture("fig6", records, tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    specs, points = charts(html)
    assert [s["title"] for s in specs] == ["plain", "residual"]
    for spec in specs:
        values = points[(spec.get("data") or spec["layer"][0]["data"])["name"]]
        for r in (r for r in records if ("residual" if r.residual else "plain") == spec["title"]):
            ends = [v["error"] for v in values if (v["net"], v["run"], v["iteration"], v["measure"])
                    == (r.model, "seed 0", 600, "test error")]  # fmt: skip
            assert ends == [round(r.final("test")["top1_error"], 3)]


def test_fig_1_takes_20_and_56_where_they_are(study, tmp_path):
    write_picture("fig1", study(depths=(8, 20, 56), seeds=(0,)), tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    specs, points = charts(html)
    assert [s["title"] for s in specs] == ["training error", "test error"]
    assert {r["net"] for rows in points.values() for r in rows} == {"cifar_plain20", "cifar_plain56"}


def test_names_from_outside_are_text(study, tmp_path):
    records = study(depths=(8, 20), seeds=(0,), hostile=HOSTILE)
    for name in ("fig6", "depth", "progress"):
        write_picture(name, records, tmp_path / f"{name}.html")
        html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert HOSTILE not in html
        assert "<img" not in html.partition("window.vegaEmbed")[0].partition("<script>")[0]


def test_refusals_are_one_line(study, tmp_path):
    there = tmp_path / "a.svg"
    there.write_text("mine")
    some = study(depths=(8,), seeds=(0,))
    for name, path, said in (
        ("fig66", "b.svg", "did you mean fig6"),
        ("fig3", "a.svg", "exists"),
        ("fig3", "b.gif", "end the name"),
        ("fig3", "b\0.svg", "no zero byte"),
        ("fig7", "b.svg", "probe_every"),
        ("copying", "b.svg", "reslab reproduce copying"),
        ("removal", "b.svg", "reslab reproduce removal"),
        ("gradients", "b.svg", "reslab reproduce gradients"),
    ):
        with pytest.raises(UserError, match=said) as error:
            write_picture(name, some, tmp_path / path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="reslab reproduce degradation"):
        write_picture("fig6", [], tmp_path / "b.svg")
    with pytest.raises(UserError, match="--lang"):
        write_picture("fig3", [], tmp_path / "b.svg", "fr")
    assert there.read_text() == "mine"
    assert not (tmp_path / "b.svg").exists()
    write_picture("fig5", [], there, overwrite=True)
    assert there.read_text().startswith("<svg")


def drawn(path):
    """Every line's path; the numbers of clips count on from file to file."""
    return re.findall(r' d="([^"]*)"', path.read_text(encoding="utf-8"))


def test_folders_are_read(study, tmp_path):
    records = study(depths=(8, 20), seeds=(0,))
    runs = records[0].folder.parent
    assert picture("depth", [runs], tmp_path / "a.svg") == tmp_path / "a.svg"  # a folder of runs
    assert picture("fig6", [r.folder for r in records], tmp_path / "b.svg").exists()  # runs
    setting = {"data": "digits", "recipe": records[0].run["recipe"], "seeds": [0], "depths": [8, 20]}
    write_sealed(runs / "study.json", setting)
    assert drawn(picture("fig6", [runs], tmp_path / "c.svg")) == drawn(tmp_path / "b.svg")  # a study
    with pytest.raises(UserError, match="no such folder"):
        picture("fig6", [tmp_path / "none"], tmp_path / "d.svg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no study"):
        picture("fig6", [tmp_path / "empty"], tmp_path / "d.svg")


NOTE = "82 of 50,000 train and 21 of 10,000 test images are not bit-exact"


@pytest.mark.parametrize("name", some([n for n in CHARTS if n not in (*DEFINED, *MEASURED)], quick=2))
def test_a_file_says_of_which_data_it_is(name, probed, tmp_path):
    records = [
        replace(r, run=r.run | {"data": r.run["data"] | {"name": "cifar10", "notes": [NOTE]}}) if r.seed else r
        for r in probed
    ]
    for chosen, said in (
        (records[:4], ["digits"]),
        (records[4:], [f"cifar10 ({NOTE})"]),
        (records, ["digits", f"cifar10 ({NOTE})"]),
    ):
        caption = drawn_of(name, chosen, [], "en").caption
        assert caption.en.endswith(f" Data: {', '.join(said)}.")
        assert caption.en.count("ata: ") == 1
        assert "데이터: " in caption.ko
    write_picture(name, records[4:], tmp_path / "a.svg")
    words = " ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", (tmp_path / "a.svg").read_text(encoding="utf-8")))
    assert NOTE in words
    for one in records_figures(records):  # a page says it once, above its figures
        assert NOTE not in one.caption.en


def test_a_validation_error_is_not_called_a_test_error(study, tmp_path):
    held = [
        replace(r, metrics=tuple({**m, "split": "val"} if m.get("split") == "test" else m for m in r.metrics))
        for r in study(depths=(8, 20), seeds=(0,))
    ]
    for name in ("fig1", "fig6", "depth", "macs"):
        write_picture(name, held, tmp_path / f"{name}.svg")
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "validation error" in text
        assert "test error" not in text
    for panel in drawn_of("fig1", held, [], "en").panels.values():  # one measure in each: so its words
        words = panel.to_dict()["description"]
        assert ("training error" in words) != ("validation error" in words)


def study_of(folder, depths, **how):
    """A study's folder whose twins of these depths have run once each."""
    for depth in depths:
        for kind in ("plain", "resnet"):
            write_run(folder / f"{kind}{depth}", f"cifar_{kind}{depth}", 0, **how)
    setting = {"data": how.get("name", "digits"), "recipe": recipe("digits").to_dict(), "seeds": [0]}
    write_sealed(folder / "study.json", setting | {"depths": list(depths)})


def nets_in(path):
    return {row["net"] for rows in charts(path.read_text(encoding="utf-8"))[1].values() for row in rows}


def test_without_sources_one_study_is_drawn_the_first_that_shows_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study_of(tmp_path / "runs" / "a", (14,), name="letters")  # of one depth: nothing to compare
    study_of(tmp_path / "runs" / "b", (8, 20), name="shapes")
    study_of(tmp_path / "results" / "c", (8, 20, 32), name="cifar10")
    for name in ("fig6", "depth", "macs", "progress"):
        assert nets_in(picture(name, out=f"{name}.html")) == {
            "cifar_plain8", "cifar_plain20", "cifar_resnet8", "cifar_resnet20",
        }  # fmt: skip
    for run in (tmp_path / "runs" / "b").glob("*20"):  # not finished: at the end there is one depth alone
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
        (run / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert "cifar_plain20" in nets_in(picture("fig6", out="late.html"))
    assert "cifar_plain32" in nets_in(picture("depth", out="other.html"))
    figures = {"depths": [2, 4], "steps": [0], "plain": [1.0, 0.5], "residual": [1.0, 0.1]}
    (tmp_path / "runs" / "a" / "measured").mkdir()
    told = {"format": 1, "name": "copying-mlp", "seed": 0, "figures": figures}
    (tmp_path / "runs" / "a" / "measured" / "copying-mlp.json").write_text(json.dumps(told))
    assert picture("copying", out="copying.html").exists()  # the one that has it, though of one depth
    without = {"deep_without": {"conv2_1": 40.0, "conv2_2": 5.0}, "plain_without": {"conv2_1": 80.0}}
    told = {"format": 1, "name": "block-removal", "seed": 0, "figures": without}
    (tmp_path / "runs" / "a" / "measured" / "block-removal.json").write_text(json.dumps(told))
    _, points = charts(picture("removal", out="removal.html").read_text(encoding="utf-8"))
    (rows,) = points.values()
    assert sorted(row["error"] for row in rows) == [5.0, 40.0, 80.0]
    with pytest.raises(UserError, match="reslab reproduce responses"):
        picture("fig7")


def test_what_is_drawn_from_definitions_reads_no_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "torn").mkdir(parents=True)
    (tmp_path / "runs" / "torn" / "study.json").write_text("{")
    assert picture("table1").exists()
