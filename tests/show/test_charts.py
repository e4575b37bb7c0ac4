"""Figures from records: what is drawn, on which scale, in which colours."""

from __future__ import annotations

import math

import pytest

from reslab.claims.degradation import judge
from reslab.errors import UserError
from reslab.show.charts import (
    HUE,
    MOST_POINTS,
    SHADES,
    ceiling,
    curve_panels,
    curve_rows,
    curves,
    depth_panels,
    error_against_depth,
    save,
    shades,
)  # fmt: skip


def test_every_seed_and_the_mean_are_drawn(study):
    rows = curve_rows(study(depths=(8, 44), seeds=(0, 1, 2)))
    at = [r for r in rows if (r["net"], r["measure"], r["iteration"]) == ("cifar_plain44", "test error", 600)]
    assert [r["run"] for r in at] == ["seed 0", "seed 1", "seed 2", "mean"]
    mean = at[-1]
    assert mean["error"] == pytest.approx(sum(r["error"] for r in at[:3]) / 3, abs=0.002)
    assert (mean["low"], mean["high"], mean["n"]) == (*(f(r["error"] for r in at[:3]) for f in (min, max)), 3)


def test_long_runs_are_thinned_but_keep_their_last_moment(study):
    record = study(depths=(8,), seeds=(0,))[0]
    many = [{**record.evaluations("test")[-1], "iteration": i} for i in range(1, 1001)]
    long = type(record)(record.folder, record.run, tuple(many))
    drawn = [r["iteration"] for r in curve_rows([long]) if r["run"] == "seed 0"]
    assert len(drawn) <= MOST_POINTS
    assert drawn[-1] == 1000


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
    cells = judge(study(depths=(8, 20), seeds=(0,))).cells
    assert all(math.isnan(c.train_std) for c in cells)
    assert list(depth_panels(cells)) == ["train", "test"]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("kind", SHADES)
def test_shades_go_from_light_to_dark_and_stand_out_against_white(kind):
    found = [luminance(c) for c in shades(kind, (8, 20, 32, 44, 56))]
    assert found == sorted(found, reverse=True)
    assert all(1.05 / (value + 0.05) >= 2.3 for value in found)
    assert 1.05 / (luminance(HUE[kind]) + 0.05) >= 3
    assert shades(kind, (20,)) == [SHADES[kind][1]]


def test_files(study, tmp_path):
    records = study(depths=(8, 20), seeds=(0, 1))
    save(curves(records), tmp_path / "figures" / "curves.svg")
    save(error_against_depth(judge(records).cells), tmp_path / "depth.png")
    assert (tmp_path / "figures" / "curves.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "depth.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        save(curves(records), tmp_path / "curves.gif")
