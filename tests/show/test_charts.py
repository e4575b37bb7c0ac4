"""Figures from records: what is drawn, on which scale, in which colours."""

from __future__ import annotations

import math
import random
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cases import some
from written_runs import values_of

from reslab.errors import UserError
from reslab.show.charts.chart import colours_of, depth_panels, depth_rows, error_against_depth, save
from reslab.show.charts.curves import ceiling, curve_panels, curve_rows, curves, split_panels
from reslab.show.charts.rates import progress_panels
from reslab.show.look import HUE, SHADES, shades
from reslab.show.series import by_net, sound, thinned


def test_every_seed_and_the_mean_are_drawn(study):
    rows = curve_rows(study(depths=(8, 44), seeds=(0, 1, 2)))
    at = [r for r in rows if (r["net"], r["measure"], r["iteration"]) == ("cifar_plain44", "test error", 600)]
    assert [r["run"] for r in at] == ["seed 0", "seed 1", "seed 2", "mean"]
    mean = at[-1]
    assert mean["error"] == pytest.approx(sum(r["error"] for r in at[:3]) / 3, abs=0.002)
    assert (mean["low"], mean["high"], mean["n"]) == (*(f(r["error"] for r in at[:3]) for f in (min, max)), 3)


def longer(record, errors):
    """The record with these test errors, one an iteration, and an end."""
    line = record.evaluations("test")[-1]
    lines = [{**line, "iteration": i, "top1_error": e} for i, e in enumerate(errors, 1)]
    return replace(record, metrics=(*lines, {"kind": "end", "iteration": len(lines)}))


@pytest.mark.parametrize("at", some([0, 15_555, 19_999, 1, 2, 9_999, 10_000, 19_998], quick=3))
@pytest.mark.parametrize("spike", [99.5, 0.25])
def test_a_spike_of_one_point_survives_in_20_000(study, at, spike):
    errors = [20.0 + (i % 7) * 0.1 for i in range(20_000)]
    errors[at] = spike
    rows = curve_rows([longer(study(depths=(8,), seeds=(0,))[0], errors)])
    drawn = {r["iteration"]: r["error"] for r in rows if r["run"] == "seed 0"}
    assert drawn[at + 1] == spike
    assert {1, 20_000} <= set(drawn)
    assert list(drawn) == sorted(drawn)
    assert len(rows) <= 400  # the run, and its mean
    assert {r["iteration"]: r["error"] for r in rows if r["run"] == "mean"}[at + 1] == spike


def test_thinning_keeps_every_stretch_s_lowest_and_highest():
    rng = random.Random(0)
    points = [(i, rng.gauss(0, 1)) for i in range(5_003)]
    kept = thinned(points, 102)
    assert len(kept) <= 102
    assert set(kept) <= set(points)
    assert kept == sorted(kept)
    assert {points[0], points[-1]} <= set(kept)
    for i in range(50):  # the 5,001 inner points in 50 stretches
        part = points[1 + i * 5_001 // 50 : 1 + (i + 1) * 5_001 // 50]
        assert {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])} <= set(kept)
    assert thinned(points[:102], 102) == points[:102]


def test_a_figure_of_many_runs_stays_small(study):
    records = study(depths=(8, 20, 32, 44), seeds=tuple(range(5)))
    long = [longer(r, [float(i % 97) for i in range(3_000)]) for r in records]
    assert len(curve_rows(long)) <= 4_400


def test_nets_of_other_switches_and_recipes_are_not_averaged(study):
    a, b = study(depths=(8,), seeds=(0, 1))[1::2]
    other = replace(b, run=b.run | {"switches": {"shortcut": "B"}})
    assert {r["net"] for r in curve_rows([a, other])} == {"cifar_resnet8", "cifar_resnet8 shortcut: B"}
    short = replace(b, run=b.run | {"recipe": b.run["recipe"] | {"iterations": 60}})
    assert {r["net"] for r in curve_rows([a, short])} == {"cifar_resnet8, 600 it.", "cifar_resnet8, 60 it."}
    assert max(r.get("n", 0) for r in curve_rows([a, short])) == 1
    assert max(r.get("n", 0) for r in curve_rows([a, b])) == 2


def told(record, **parts):
    """The record with some parts of `run.json` changed: data={…}, settings={…}, recipe={…}."""
    return replace(record, run=record.run | {part: record.run[part] | values for part, values in parts.items()})


def labels(records):
    return [(one.label, one.short, [r.seed for r in one.records]) for one in by_net(records)]


def test_seeds_are_averaged_and_nothing_else(study):
    a, b = study(depths=(20,), seeds=(0, 1))[1::2]
    other = told(b, data={"name": "cifar10", "fingerprint": "beef"})
    assert labels([a, other]) == [
        ("cifar_resnet20, digits",) * 2 + ([0],), ("cifar_resnet20, cifar10",) * 2 + ([1],),
    ]  # fmt: skip
    assert max(r.get("n", 0) for r in curve_rows([a, other])) == 1
    assert [r["n"] for r in depth_rows(by_net([a, other]), "test")] == [1, 1]
    copy = told(b, data={"fingerprint": "beef77aa"})
    assert [one[0] for one in labels([a, copy])] == ["cifar_resnet20, digits f00d", "cifar_resnet20, digits beef77"]
    quick = told(b, settings={"precision": "bf16"})
    assert [one[0] for one in labels([a, quick])] == ["cifar_resnet20, fp32", "cifar_resnet20, bf16"]
    small = replace(b, run=b.run | {"spec": b.run["spec"] | {"image_size": 16}})
    assert [one[0] for one in labels([a, small])] == ["cifar_resnet20, 8 px", "cifar_resnet20, 16 px"]
    slow = told(b, recipe={"lr": 0.01})
    assert [one[0] for one in labels([a, slow])] == ["cifar_resnet20, recipe 1", "cifar_resnet20, recipe 2"]
    assert labels([a, b]) == [("cifar_resnet20", "20", [0, 1])]
    old = replace(b, run=b.run | {"recipe": {k: v for k, v in b.run["recipe"].items() if k != "schedule"}})
    assert labels([a, old]) == [("cifar_resnet20", "20", [0, 1])]  # the field stood there as it stands by default


def test_where_there_are_several_data_sets_every_label_names_its_own(study):
    records = study(depths=(8, 20), seeds=(0,))
    mixed = [*records[:2], *(told(r, data={"name": "cifar10", "fingerprint": "beef"}) for r in records[2:])]
    assert [one[:2] for one in labels(mixed)] == [
        (f"cifar_{kind}{depth}, {data}",) * 2
        for kind in ("plain", "resnet") for depth, data in ((8, "digits"), (20, "cifar10"))
    ]  # fmt: skip
    panel = depth_panels(by_net(mixed))["test"].to_dict()
    assert [one["encoding"]["detail"]["field"] for one in panel["layer"] if "detail" in one["encoding"]] == ["line"]
    lines = {(r["line"], r["net"]) for r in values_of(depth_panels(by_net(mixed))["test"]) if r["kind"] == "plain"}
    assert lines == {("digits", "cifar_plain8, digits"), ("cifar10", "cifar_plain20, cifar10")}
    assert {r["line"] for r in values_of(depth_panels(by_net(records))["test"])} == {""}


def test_copies_of_a_run_count_once_the_finished_then_the_longest(study):
    (whole,) = study(depths=(8,), seeds=(0,))[:1]
    cut = replace(whole, metrics=whole.metrics[:-1])
    short = replace(whole, metrics=whole.metrics[:6])
    copy = replace(whole, folder=whole.folder / "copy")
    for several, wanted in (
        ([whole, copy], whole), ([copy, whole], copy), ([cut, copy], copy), ([short, cut], cut), ([cut, short], cut),
    ):  # fmt: skip
        (one,) = by_net(several)
        assert one.records == (wanted,)
    final = by_net([whole, copy])[0].final("test")
    assert (final.mean, final.n) == (whole.final("test")["top1_error"], 1)
    assert max(r.get("n", 0) for r in curve_rows([whole, copy])) == 1


def test_what_cannot_be_drawn_is_left_out_and_counted(study):
    whole = study(depths=(8,), seeds=(0,))[0]
    line = whole.evaluations("test")[0]
    bad = [{**line, "top1_error": e} for e in (math.nan, None, "x", math.inf, True)]
    torn = [{}, {"kind": "eval"}, {"iteration": 3}, {"kind": None}, {"kind": "probe"}, {**line, "iteration": None}]
    found = sound([replace(whole, metrics=(*bad, *torn, *whole.metrics))])
    assert found.left_out == len(bad) + 2
    assert found.broken == 0
    assert found.records[0].metrics == whole.metrics
    rows = curve_rows([replace(whole, metrics=(*bad, *torn, *whole.metrics))])
    assert rows == curve_rows([whole])
    lost = [replace(whole, run={k: v for k, v in whole.run.items() if k != key}) for key in ("spec", "seed", "model")]
    lost += [replace(whole, run=whole.run | {"spec": {}}), replace(whole, run=whole.run | {"switches": None})]
    assert sound(lost).broken == len(lost)
    assert curve_panels(lost) == {}


def test_a_last_error_that_is_lost_is_not_replaced_by_an_earlier_one(study):
    whole = study(depths=(8,), seeds=(0,))[0]
    last = {**whole.evaluations("test")[-1], "top1_error": math.nan}
    cut = replace(whole, metrics=(*whole.metrics, last))
    assert sound([whole]).records[0].finished
    assert not sound([cut]).records[0].finished


def test_one_point_alone_is_seen_and_makes_no_other_line_s_points_fat(study):
    short, whole = study(depths=(8, 20), seeds=(0,))[:3:2]
    record = longer(short, [12.5])
    panel = curve_panels([record, whole])["plain"].to_dict()
    assert panel["layer"][-1]["encoding"]["opacity"] == {
        "condition": {"test": "datum.alone", "value": 1}, "value": 0,
    }  # fmt: skip
    rows = curve_rows([record, whole])
    assert {(r["net"], r["measure"]) for r in rows if r.get("alone")} == {("cifar_plain8", "test error")}
    assert [r["error"] for r in curve_rows([record])] == [12.5, 12.5]


def test_fig_1_has_a_panel_for_each_split(study):
    records = [r for r in study(depths=(8, 44)) if not r.residual]
    panels = split_panels(records)
    assert list(panels) == ["train", "test"]
    for split, panel in panels.items():
        assert {r["measure"] for r in values_of(panel)} == {f"{split}ing error" if split == "train" else "test error"}


def test_plain_and_residual_share_one_scale(study):
    records = study()
    panels = curve_panels(records)
    assert list(panels) == ["plain", "residual"]
    tops = {p.to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"][1] for p in panels.values()}
    assert tops == {ceiling(records)}
    assert (
        max(e["top1_error"] for r in records for e in r.evaluations("test") if e["iteration"] >= 300)
        < tops.pop()
        <= 100
    )


def test_a_study_of_one_kind_or_of_nothing(study):
    records = study(depths=(8,), seeds=(0,))
    assert list(curve_panels([r for r in records if r.residual])) == ["residual"]
    assert curve_panels([]) == {}
    assert depth_panels(()) == {}
    with pytest.raises(UserError, match="nothing to draw"):
        curves([])
    with pytest.raises(UserError, match="nothing to draw"):
        error_against_depth(())


def test_one_seed_has_no_error_bar_and_draws(study):
    found = by_net(study(depths=(8, 20), seeds=(0,)))
    assert all(math.isinf(one.final("train").low) for one in found)
    assert all(row["low"] == row["error"] == row["high"] for row in depth_rows(found, "train"))
    assert list(depth_panels(found)) == ["train", "test"]


def test_the_error_bar_of_seeds_is_the_interval_of_the_mean(study):
    scipy = pytest.importorskip("scipy.stats")
    records = [r for r in study(depths=(44,), seeds=(0, 1, 2)) if not r.residual]
    ends = [r.final("test")["top1_error"] for r in records]
    low, high = scipy.t.interval(0.95, 2, loc=sum(ends) / 3, scale=scipy.sem(ends))
    (row,) = depth_rows(by_net(records), "test")
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    (few,) = depth_rows(by_net(records[:2]), "test")  # of two seeds the interval is wide; an error has no place below 0
    assert 0 <= few["low"] < few["error"] < few["high"] <= 100


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(colour: str) -> float:
    """With white, as WCAG has it; 3 is asked of what must be told apart."""
    return 1.05 / (luminance(colour) + 0.05)


@pytest.mark.parametrize("kind", SHADES)
def test_shades_go_from_light_to_dark_and_stand_out_against_white(kind):
    for depths in ((2, 8, 14, 20, 32, 44, 56, 110, 1202, 9998), (20, 20, 20)):
        found = [luminance(c) for c in shades(kind, depths)]
        assert found == sorted(found, reverse=True)
        assert all(contrast(c) >= 3 for c in shades(kind, depths))
    assert len(set(shades(kind, (8, 14, 20, 32, 44, 56, 110, 1202)))) == 8
    assert len(set(shades(kind, (20, 20, 20)))) == 3  # told apart by their order where not by their depth
    assert contrast(HUE[kind]) >= 3
    assert (shades(kind, (8,)), shades(kind, (1202,))) == ([SHADES[kind][0]], [SHADES[kind][1]])


def test_a_net_looks_alike_in_every_figure(study):
    whole = study(depths=(8, 20, 56), seeds=(0,))
    part = [r for r in whole if r.depth != 8]

    def colour(chart, net):
        encoding = chart.to_dict()
        scale = (encoding.get("encoding") or encoding["layer"][0]["encoding"])["color"]["scale"]
        return dict(zip(scale["domain"], scale["range"], strict=True))[net]

    (wanted,) = shades("plain", (20,))
    assert colour(curve_panels(whole)["plain"], "20") == colour(curve_panels(part)["plain"], "20") == wanted
    for records in (whole, part):
        assert colour(progress_panels(by_net(records))["loss"], "cifar_plain20") == wanted
        assert colours_of(by_net(records))["cifar_plain20"] == wanted


def test_files(study, tmp_path):
    records = study(depths=(8, 20), seeds=(0, 1))
    save(curves(records), tmp_path / "figures" / "curves.svg")
    save(error_against_depth(by_net(records)), tmp_path / "depth.png")
    assert (tmp_path / "figures" / "curves.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "depth.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        save(curves(records), tmp_path / "curves.gif")


@pytest.mark.slow
def test_a_limit_on_address_space_is_one_line_and_no_death_by_signal(tmp_path):
    """V8 reserves terabytes, and ends the process by SIGTRAP if it may not; HTML needs it not."""
    results = Path(__file__).parents[2] / "results" / "digits"
    words = [sys.executable, "-m", "reslab", "figure", "fig6", str(results), "--out"]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))

    done = subprocess.run([*words, "x.svg"], cwd=tmp_path, capture_output=True, text=True, preexec_fn=limited)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "`ulimit -v`" in line
    assert ".html" in line
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run([*words, "x.html"], cwd=tmp_path, preexec_fn=limited).returncode == 0
