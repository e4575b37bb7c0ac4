"""What the figures show: values of the records, intervals of scipy, bars of the rules; torn records break nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from written_runs import values_of

from reslab.claims.claim import BESIDE, Claim, Statement
from reslab.claims.evidence import Evidence, Setting, key_of
from reslab.claims.judging import judge
from reslab.claims.quantity import Quantity
from reslab.claims.rules import Above, Always, Below, Within
from reslab.claims.text import Text
from reslab.nets.cost import cost, shown
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe
from reslab.show.charts.chart import specification
from reslab.show.charts.copying import copying_rows
from reslab.show.charts.costs import layer_costs, macs_rows, size_table
from reslab.show.charts.findings import block_panels, response_panels
from reslab.show.charts.findings import table as findings_table
from reslab.show.charts.intervals import holding, interval_panel, interval_panels, table
from reslab.show.look import shades
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import draw, picture_of, records_figures
from reslab.show.series import by_net, sound
from reslab.show.tables import run_head, run_table, statement_table
from reslab.show.words import COLUMNS, ERRORS, VERDICT, wide, wrapped

RULES = [Above(0.0), Below(1.0), Within(0.5), Always(high=2.0), Always(0.0, 0.0)]


def said(series, rule, unit="points", text="a statement", role="main"):
    return Statement(Text(text, f"{text}, 한국어"), Quantity("", lambda _: dict(enumerate(series))), rule, role, unit)


@pytest.fixture
def twins(study):
    """Finished plain and residual runs of 8 and 20 layers, two seeds."""
    return study(depths=(8, 20), seeds=(0, 1))


def judged(every, *statements, charts=(), measured=None):
    """The judgement of a made-up claim on a study of digits with these records."""
    setting = Setting("digits", Recipe.from_dict(every[0].run["recipe"]), (0, 1), (8, 20))
    by: dict = {}
    for r in every:
        by.setdefault(key_of(r), {})[r.seed] = r
    answers = dict.fromkeys(VERDICT, Text("", ""))
    claim = Claim("C1", "made", "", "", Text("", ""), tuple(statements), answers, charts=charts)
    return judge(claim, Evidence(every[0].folder.parent, setting, by, measured or {}))


# -- statements against their bars


@pytest.mark.parametrize("rule", RULES)
def test_marks_lie_where_their_values_do(twins, rule):
    scipy = pytest.importorskip("scipy.stats")
    series = [0.4, 0.9, 1.3]
    finding = judged(twins, said(series, rule)).findings[0]
    rows = values_of(interval_panel([finding]))
    of = {part: [r for r in rows if r["part"] == part] for part in {r["part"] for r in rows}}
    dots = [r["x"] for r in of["dot"]]
    scale = (dots[-1] - dots[0]) / (series[-1] - series[0])  # a row's axis is linear: two dots tell it

    def place(value):
        return dots[0] + (value - series[0]) * scale

    assert dots == pytest.approx([place(v) for v in series], abs=1e-4)
    assert all(0 <= x <= 1 for x in dots)
    low, high = holding(rule)
    bars = sorted({place(e) for e in (low, high) if math.isfinite(e)})
    assert [r["x"] for r in of["bar"]] == pytest.approx(bars, abs=1e-4)
    shaded = (max(0.0, place(low) if math.isfinite(low) else 0), min(1.0, place(high) if math.isfinite(high) else 1))
    assert (of["holds"][0]["x"], of["holds"][0]["x2"]) == pytest.approx(shaded, abs=1e-4)
    for tick in of["tick"]:
        assert tick["x"] == pytest.approx(place(float(tick["text"].replace("−", "-"))), abs=1e-4)
    if isinstance(rule, Always):
        assert "interval" not in of
    else:
        ends = scipy.t.interval(0.95, 2, loc=sum(series) / 3, scale=scipy.sem(series))
        assert (of["interval"][0]["x"], of["interval"][0]["x2"]) == pytest.approx([place(e) for e in ends], abs=1e-3)
        assert of["mean"][0]["x"] == pytest.approx(place(sum(series) / 3), abs=1e-4)


def test_statements_share_an_axis_only_where_unit_and_size_agree(twins):
    def bar(findings, number):
        return [r["x"] for r in values_of(interval_panel(findings)) if r["part"] == "bar"][number]

    like = judged(twins, said([1, 2], Above(0.5)), said([2, 3], Above(0.5))).findings
    assert bar(like, 0) == bar(like, 1)
    far = judged(twins, said([1, 2], Above(0.5)), said([2000, 3000], Above(0.5))).findings
    assert bar(far, 0) != bar(far, 1)
    other = judged(twins, said([1, 2], Above(0.5)), said([2, 3], Above(0.5), unit="decades")).findings
    assert bar(other, 0) != bar(other, 1)


def test_one_value_has_no_interval_and_none_has_no_strip(twins):
    one, none = judged(twins, said([1.0], Above(0)), said([], Above(0))).findings
    parts = [r["part"] for r in values_of(interval_panel([one, none]))]
    assert "interval" not in parts
    assert parts.count("dot") == parts.count("strip") == 1
    assert table([one, none], "en")[1][1] == ["a statement", "–", "–", "> 0", "not run"]


def test_rows_stand_below_each_other_and_fit_a_phone(twins):
    long = "a very long statement about the training error of residual nets " * 3
    statements = [said([1, 2], Above(0), text=long), said([1, 2], Within(3), role=BESIDE), said([3], Below(1))]
    chart = interval_panel(judged(twins, *statements).findings, "ko").to_dict()
    rows = values_of(interval_panel(judged(twins, *statements).findings, "ko"))
    lines = [r for r in rows if r["part"] in ("words", "figure")]
    assert all(wide(r["text"]) <= COLUMNS for r in lines)
    heights = [r["y"] for r in lines]
    assert heights == sorted(heights)
    assert min(b - a for a, b in pairwise(heights)) >= 15
    assert max(r.get("y2", r["y"]) for r in rows) <= chart["height"]


def test_many_cases_are_thinned_to_the_outermost(twins):
    found = judged(twins, said([float(i) for i in range(5_000)], Always(high=1e9))).findings
    dots = [r["value"] for r in values_of(interval_panel(found)) if r["part"] == "dot"]
    assert len(dots) <= 60
    assert (dots[0], dots[-1]) == ("0", "4999")


@pytest.mark.parametrize("text", ["one two three " * 9, "가나다라 마바사 " * 9, "x" * 200, ""])
def test_wrapping_loses_nothing(text):
    lines = wrapped(text, 20)
    assert all(wide(line) <= 20 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


# -- from records


def test_a_claim_has_one_picture_that_the_page_does_not_show_yet(twins):
    one = judged(twins, said([1, 2], Above(0)), charts=("curves", "depth", "macs"))
    shelf, shown = Shelf(), set()
    found = [picture_of(one, f"C{i}-1", shelf, shown) for i in range(4)]
    assert [f and f.id for f in found] == ["C0-1-curves", "C1-1-depth", "C2-1-intervals", None]  # two are candidates
    panels = [p.json for f in found if f for p in f.panels]
    assert len(panels) == len(set(panels)) == len(shown)
    assert found[2].panels[0].words.endswith(", undecided")
    assert all(len(row) == len(f.head) for f in found if f for row in f.rows)
    assert all(p.words for f in found if f for p in f.panels)
    korean = picture_of(judged(twins, said([1, 2], Above(0)), charts=("no-such-chart",)), "C1-1", Shelf(), set(), "ko")
    assert korean.panels[0].words.endswith(VERDICT["undecided"].ko)
    assert picture_of(judged(twins, said([], Above(0))), "C1-1", Shelf(), set()) is None


def test_a_chart_that_is_shown_already_is_left_out_of_a_figure_of_several(twins):
    lists = {"plain20-bn-relu.gradients": [4.0, 1.0], "plain20-nobn-tanh.gradients": [1.0, 2.0]}
    one = judged(twins, charts=("gradients",), measured={"gradients-init": {0: lists}})
    shelf, shown = Shelf(), set()
    first = picture_of(one, "C1-1", shelf, shown)
    assert [p.id for p in first.panels] == ["C1-1-gradients-initial", "C1-1-gradients-saturating"]
    shown.discard(first.panels[1].json)
    assert [p.id for p in picture_of(one, "C2-1", shelf, shown).panels] == ["C2-1-gradients-saturating"]


def test_powers_of_ten_are_ratios_in_table_and_picture(twins):
    series = [2.9, 3.0, 3.1]
    statements = (said(series, Above(3.0), unit="decades"), said(series, Within(1.0), unit="decades", role=BESIDE))
    one = judged(twins, *statements)
    (row,) = statement_table(one.findings)
    low, high = (10**e for e in (one.findings[0].figure.low, one.findings[0].figure.high))
    assert row[1] == "×1,000"
    ends = [float(text.replace(",", "")) for text in row[2].split(" … ")]
    assert ends == pytest.approx([low, high], rel=0.05)
    assert row[3:5] == ["3", "> ×1,000"]
    texts = " ".join(r["text"] for r in values_of(interval_panel(one.findings)) if "text" in r)
    assert "decade" not in texts
    assert "threshold > ×1,000" in texts


def test_the_table_has_intervals_and_no_standard_deviations(twins):
    one = judged(twins, said([1.0, 2.0, 3.0], Above(0)), said([5.0], Above(0)), said([], Above(0)))
    rows = statement_table(one.findings)
    found = one.findings[0].figure
    assert rows[0][1:5] == ["2 points", f"{found.low:.2f} … {found.high:.2f}", "3", "> 0"]
    assert rows[1][1:5] == ["5 points", "–", "1", "> 0"]
    assert len(rows) == 2  # what was not measured has no row
    assert "±" not in str(rows)


def test_many_statements_stand_in_panels_of_like_length_on_one_axis(twins):
    findings = judged(twins, *(said([i, i + 1], Above(0)) for i in range(1, 17))).findings
    panels = [values_of(p) for p in interval_panels(findings).values()]
    assert [sum(r["part"] == "mean" for r in rows) for rows in panels] == [6, 6, 4]
    whole = [r["x"] for r in values_of(interval_panel(findings)) if r["part"] == "mean"]
    assert [r["x"] for rows in panels for r in rows if r["part"] == "mean"] == whole


def test_final_errors_are_the_records(study):
    records = study(depths=(8, 20), seeds=(0, 1))
    found = {f.id: f for f in records_figures(records)}
    ends = [r.final("test")["top1_error"] for r in records if r.model == "cifar_plain8"]
    row = next(r for r in values_of(found["macs"].panels["test"]) if r["net"] == "cifar_plain8")
    assert row["error"] == pytest.approx(sum(ends) / 2)
    own = spec_of("cifar_plain8", in_channels=1, image_size=8)
    assert row["macs"] == cost(own).macs
    assert [r["net"] for r in macs_rows(by_net(records), "test")][:2] == ["cifar_plain8", "cifar_plain20"]
    loss = values_of(found["progress"].panels["loss"])
    assert {r["value"] for r in loss} == {1.0}
    assert f"{sum(ends) / 2:.2f}" in found["depth"].rows[0][2]
    assert found["progress"].rows[0] == ["cifar_plain8", "0", "600", "1.0000"]
    assert len(found["progress"].rows) == len(records)
    for figure in (
        *found.values(),
        *records_figures(records, "ko"),
    ):  # every page says that its figures stand in a table
        assert figure.rows
        assert len(figure.head) == len(figure.rows[0])


def test_one_run_has_curves_but_no_depth(study):
    assert [f.id for f in records_figures(study(depths=(8,), seeds=(0,))[:1])] == ["curves", "progress"]


def test_the_caption_tells_what_is_left_out(study):
    whole = study(depths=(8,), seeds=(0,))[0]
    line = {**whole.evaluations("test")[0], "top1_error": math.nan}
    lost = replace(whole, run={})
    figure = records_figures([replace(whole, metrics=(line, line, *whole.metrics)), lost])[0]
    assert "2 measured moments" in figure.caption.en
    assert "1 damaged record" in figure.caption.en
    assert "2개" in figure.caption.ko


@pytest.mark.parametrize("metrics", [(), ({},), ({"kind": "eval"},), ({"kind": "end"},)])
def test_records_with_nothing_in_them_have_no_figures(study, metrics):
    assert records_figures([replace(study(depths=(8,), seeds=(0,))[0], metrics=metrics)]) == []
    assert records_figures([]) == []


def validated(record):
    """The record of a run whose data have no test split: what was measured is the validation error."""
    lines = [{**m, "split": "val"} if m.get("split") == "test" else m for m in record.metrics]
    return replace(record, metrics=tuple(lines))


def test_validation_error_has_its_own_name_where_there_is_no_test_split(study):
    records = study(depths=(8, 20), seeds=(0, 1))
    ends = [r.final("test")["top1_error"] for r in records if r.model == "cifar_plain8"]
    held = [validated(r) for r in records]
    for language, name in (("en", "validation error"), ("ko", "validation error")):
        found = {f.id: f for f in records_figures(held, language)}
        assert {r["measure"] for r in values_of(found["curves"].panels["plain"])} == {"training error", name}
        for words in (found["curves"].caption(language), found["curves"].panels["plain"].to_dict()["description"]):
            assert name in words
            assert "test error" not in words
        for figure in ("depth", "macs"):
            assert list(found[figure].panels) == ["train", "val"]
            assert name in found[figure].panels["val"].to_dict()["description"]
            assert found[figure].head[-1] == f"{name} (%)"
            assert f"{sum(ends) / 2:.2f}" in found[figure].rows[0][-1]
        assert run_head(held, language)[3:5] == [t(language) for t in (ERRORS["train"], ERRORS["val"])]
    assert run_table(held)[0][4] == f"{ends[0]:.2f}"
    mixed = [*held[:4], *records[4:]]
    assert run_head(mixed)[3:6] == ["training error", "validation error", "test error"]
    assert [len(row) for row in run_table(mixed)] == [len(run_head(mixed))] * len(mixed)
    caption = records_figures(mixed)[0].caption.en
    assert "dotted: validation error" in caption
    assert "solid: test error" in caption
    assert run_head(records)[3:5] == ["training error", "test error"]


def test_a_caption_says_what_is_drawn_and_no_more(study):
    trained = [
        replace(r, metrics=tuple(m for m in r.metrics if m.get("split") != "test")) for r in study(depths=(8, 20))
    ]
    figure = records_figures(trained)[0]
    assert figure.caption.en.startswith("Solid: training error (clean pass). Bold")
    assert figure.caption.ko.startswith("실선: training error")
    assert "test" not in figure.panels["plain"].to_dict()["description"]


# -- probes


def probe(record, iteration, **parts):
    line = {"kind": "probe", "iteration": iteration, **parts}
    return replace(record, metrics=(*record.metrics, line))


def test_blocks_are_drawn_as_probed_with_the_geometric_mean(study):
    records = [r for r in study(depths=(8,), seeds=(0, 1)) if r.residual]
    start = {"a": 1e-3, "b": 1e-2}
    records = [probe(r, 0, gradients=start) for r in records]
    ends = [{"a": 1e-4, "b": 0.0, "c": None, "d": 1e-2}, {"a": 1e-6, "b": 1.0, "c": 1.0, "d": 1e-2}]
    records = [probe(r, 9, gradients=end) for r, end in zip(records, ends, strict=True)]
    panels = block_panels(by_net(sound(records).records), None, "gradients")
    assert list(panels) == ["start", "end", "through"]
    mean = {r["x"]: r["y"] for r in values_of(panels["end"]) if r["run"] == "mean"}
    assert mean == {1: pytest.approx(1e-5), 4: pytest.approx(1e-2)}  # b is 0 once and c unknown: no mean of all seeds
    apart = {r["x"]: r["y"] for r in values_of(panels["through"]) if r["run"] == "seed 0"}
    assert apart == {0: pytest.approx(0.1), 9: pytest.approx(0.01)}
    assert block_panels(by_net(records), None, "residuals") == {}


def test_where_an_unfinished_run_stopped_is_no_end_of_training(study):
    values = {"conv2_1": 1.0, "conv3_1": 2.0}
    parts = dict.fromkeys(("gradients", "responses"), values)
    done, stopped = (probe(r, 100, **parts) for r in study(depths=(8,), seeds=(0,)))
    stopped = replace(stopped, metrics=tuple(m for m in stopped.metrics if m["kind"] != "end"))
    runs = by_net(sound([done, stopped]).records)
    panels = block_panels(runs, None, "gradients")
    assert {r["net"] for r in values_of(panels["start"])} == {"cifar_plain8", "cifar_resnet8"}
    assert {r["net"] for r in values_of(panels["end"])} == {done.model}
    assert {r["net"] for r in values_of(response_panels(runs)["order"])} == {done.model}
    assert [row[0] for row in findings_table(runs, "gradients", "en")[1]] == [f"{done.model}: end of training"]
    assert response_panels(by_net([stopped])) == {}


def test_responses_stand_in_order_and_sorted(study):
    stds = {"conv1": 0.5, "conv2_1.conv1": 2.0, "conv2_1.conv2": 1.0}
    records = [probe(r, 600, responses=stds) for r in study(depths=(8,), seeds=(0, 1))]
    panels = response_panels(by_net(records))

    def mean(panel, net):
        return [r["y"] for r in values_of(panels[panel]) if r["net"] == net and r["run"] == "mean"]

    for net in ("cifar_plain8", "cifar_resnet8"):
        assert mean("order", net) == [0.5, 2.0, 1.0]
        assert mean("sorted", net) == [2.0, 1.0, 0.5]


def test_initial_weights_are_drawn_from_the_measurements(twins):
    lists = {
        "plain20-bn-relu.gradients": [4.0, 2.0, 1.0],
        "plain20-nobn-relu.gradients": [1e-30, 1e-20, 1.0],
        "resnet20-nobn-tanh.gradients": [1.0, 1.0, 1.0],
        "plain20-bn-relu.activations": [9.0],
        "other": [7.0],
    }
    one = judged(twins, charts=("gradients",), measured={"gradients-init": {0: lists, 1: lists}})
    figure = draw("gradients", twins, one.evidence)
    assert list(figure.panels) == ["initial", "saturating"]
    rows = [r for r in values_of(figure.panels["initial"]) if r["run"] == "mean"]
    assert {r["net"] for r in rows} == {"plain 20, BN", "plain 20, no BN"}
    assert [r["y"] for r in rows if r["net"] == "plain 20, no BN"] == [1e-30, 1e-20, 1.0]
    encoding = figure.panels["initial"].to_dict()["layer"][0]["encoding"]
    assert encoding["color"]["legend"]["symbolType"] == "stroke"  # a dash tells the two apart, in the legend too
    dashes = dict(zip(*(encoding["strokeDash"]["scale"][k] for k in ("domain", "range")), strict=True))
    assert dashes["plain 20, BN"] != dashes["plain 20, no BN"]
    assert encoding["color"]["scale"]["range"] == shades("plain", (20,)) * 2  # as that net looks in any other figure
    assert [row[2:4] for row in figure.rows if row[0].startswith("plain 20, BN")] == [["4", "1"]]


# -- costs, copying


@pytest.mark.parametrize(("net", "layers"), [("vgg19", 19), ("plain34", 34), ("resnet34", 34)])
def test_layers_cost_what_the_net_costs(net, layers):
    rows = layer_costs(net)
    assert len(rows) == layers
    assert sum(r["macs"] for r in rows) == cost(spec_of(net, **({"shortcut": "A"} if net == "resnet34" else {}))).macs
    assert size_table([net])[-1] == ["sum", shown(cost(spec_of(net)).macs)]


def test_copying_shows_each_seed_and_the_geometric_mean(twins):
    fixed = {"depths": [2, 4], "steps": [0, 10], "residual": [1e-2, 1e-4], "residual_4_curve": [1.0, None]}
    figures = [{**fixed, "plain": [1.0, end], "plain_4_curve": [1.0, end]} for end in (0.1, 0.001)]
    one = judged(twins, charts=("copying",), measured={"copying-mlp": dict(enumerate(figures))})
    rows = copying_rows(one.evidence, "mlp", "depth")
    assert [r["y"] for r in rows if (r["kind"], r["x"], r["run"]) == ("plain", 4, "mean")] == [pytest.approx(0.01)]
    steps = copying_rows(one.evidence, "mlp", "steps")
    assert [r["y"] for r in steps if (r["kind"], r["x"], r["run"]) == ("plain", 10, "seed 1")] == [0.001]
    assert not [r for r in steps if r["kind"] == "residual" and r["x"] == 10]
    figure = draw("copying", [], one.evidence)
    assert list(figure.panels) == ["mlp-depth", "mlp-steps"]
    assert figure.rows[1][1:] == ["4", "0.01", "0.0001"]


def test_specifications_are_plain_json(study):
    for figure in records_figures(study(depths=(8, 20), seeds=(0,))):
        for chart in figure.panels.values():
            json.dumps(specification(chart), allow_nan=False)
