"""Figures from records, in Altair: errors against iterations as in Fig. 6, and final errors against depth as in Fig. 1.

Charts are made in panels, because a page sets them side by side or one above the other as its width allows;
`curves` and `error_against_depth` join the panels for a file. Nothing here needs an accelerator, a checkpoint or data.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from reslab.claims.degradation import Cell
from reslab.errors import UserError
from reslab.training.runlog import Record

# Plain is orange, residual is blue: told apart in the common forms of colour blindness. A depth is a shade of its
# kind's hue, from shallow (light) to deep (dark); both ends stand out against white, on paper and on a screen.
SHADES = {"plain": ("#e8963c", "#7a2e00"), "residual": ("#5aa5d8", "#0a2f66")}
HUE = {"plain": "#d55e00", "residual": "#0072b2"}
MEASURES = {"train": "training error", "test": "test error"}
DASHES = {"train": [4, 3], "test": [1, 0]}  # Fig. 6: training error dashed, test error bold

HEIGHT, WIDTH = 300, 420  # pixels of a panel; in a page its width is the container's
MOST_POINTS = 100  # measured moments of a run that are drawn
AXIS_ROOM = 1.25  # how far above the larger late errors the error axis ends


def kind_of(residual: bool) -> str:
    return "residual" if residual else "plain"


def shades(kind: str, depths: Sequence[int]) -> list[str]:
    """One colour for each depth, shallow to deep; a single depth has the dark one."""
    first, last = ([int(end[i : i + 2], 16) for i in (1, 3, 5)] for end in SHADES[kind])
    steps = [i / (len(depths) - 1) for i in range(len(depths))] if len(depths) > 1 else [1.0]
    return ["#" + "".join(f"{round(a + (b - a) * s):02x}" for a, b in zip(first, last, strict=True)) for s in steps]


def ceiling(records: Iterable[Record]) -> float:
    """Where the error axis ends, in percent: with room above every error of the schedule's second half.

    The first iterations are cut off, as in Fig. 6, or else they press what matters into the lowest tenth.
    """
    late = []
    for record in records:
        for split in MEASURES:
            found = record.evaluations(split)
            late += [e["top1_error"] for e in found if e["iteration"] >= found[-1]["iteration"] / 2]
    finite = [v for v in late if math.isfinite(v)]
    step = 5.0
    return min(100.0, max(step, math.ceil(AXIS_ROOM * max(finite) / step) * step)) if finite else 100.0


def curve_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Every measured error, run by run, and the mean over seeds where all runs of that net were measured.

    Keys: kind, net, depth, measure, iteration, error (percent), run ("seed 0", or "mean", which has low, high and n
    too). A run with more than MOST_POINTS moments is thinned, its last one kept, so that a page stays small.
    """
    rows: list[dict[str, Any]] = []
    groups: dict[tuple[str, str, int, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    runs: dict[tuple[str, str, int, str], int] = defaultdict(int)
    for r in records:
        for split in MEASURES:
            key = (kind_of(r.residual), r.model, r.depth, split)
            found = [e for e in r.evaluations(split) if math.isfinite(e["top1_error"])]
            runs[key] += bool(found)
            for e in found[::-1][:: -(-len(found) // MOST_POINTS) or 1][::-1]:
                groups[key][e["iteration"]].append(e["top1_error"])
                rows.append({**_head(key), "iteration": e["iteration"], "run": f"seed {r.seed}",
                             "error": round(e["top1_error"], 3)})  # fmt: skip
    for key, points in groups.items():
        for iteration, errors in sorted(points.items()):
            if len(errors) == runs[key]:
                told = {"error": mean(errors), "low": min(errors), "high": max(errors)}
                told = {k: round(v, 3) for k, v in told.items()}
                rows.append({**_head(key), "iteration": iteration, "run": "mean", **told, "n": len(errors)})
    return rows


def _head(key: tuple[str, str, int, str]) -> dict[str, Any]:
    return {"kind": key[0], "net": key[1], "depth": key[2], "measure": MEASURES[key[3]]}


def curve_panels(records: Sequence[Record]) -> dict[str, Any]:
    """Errors against iterations: a chart for "plain" and one for "residual" (those that were run), on one scale."""
    rows, top = curve_rows(records), ceiling(records)
    kinds = [k for k in SHADES if any(r["kind"] == k for r in rows)]
    return {kind: _curve_panel([r for r in rows if r["kind"] == kind], kind, top) for kind in kinds}


def _curve_panel(rows: list[dict[str, Any]], kind: str, top: float) -> Any:
    import altair as alt

    depths = sorted({r["depth"] for r in rows})
    dashes = alt.Scale(domain=list(MEASURES.values()), range=[DASHES[s] for s in MEASURES])
    width = alt.condition(f"datum.measure == '{MEASURES['test']}'", alt.value(2.6), alt.value(1.4))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "iteration:Q",
            title="iterations",
            scale=alt.Scale(domainMin=0, nice=False),
            axis=alt.Axis(format="~s", tickCount=6, grid=False),
        ),
        y=alt.Y("error:Q", title="error (%)", scale=alt.Scale(domain=[0, top], nice=False)),
        color=alt.Color(
            "depth:O",
            scale=alt.Scale(domain=depths, range=shades(kind, depths)),
            legend=alt.Legend(title="layers", symbolType="stroke", symbolStrokeWidth=4),
        ),
    )
    dash = alt.StrokeDash("measure:N", scale=dashes, legend=alt.Legend(title=None, symbolType="stroke"))
    each = base.transform_filter("datum.run != 'mean'").mark_line(clip=True, strokeWidth=1, opacity=0.3, aria=False)
    middle = base.transform_filter("datum.run == 'mean'")
    bold = middle.mark_line(clip=True, aria=False).encode(strokeDash=dash, strokeWidth=width)
    touch = middle.transform_filter(f"datum.error <= {top}").mark_circle(size=70, opacity=0, aria=False).encode(
        tooltip=[
            alt.Tooltip("net:N"),
            alt.Tooltip("measure:N"),
            alt.Tooltip("iteration:Q", format=","),
            alt.Tooltip("error:Q", title="mean (%)", format=".2f"),
            alt.Tooltip("low:Q", title="lowest (%)", format=".2f"),
            alt.Tooltip("high:Q", title="highest (%)", format=".2f"),
            alt.Tooltip("n:Q", title="seeds"),
        ]
    )  # fmt: skip
    words = f"Training error (dashed) and test error (solid) in percent against iterations, {kind} nets of " + (
        f"{', '.join(map(str, depths))} layers. The figures stand in the tables."
    )
    layers = alt.layer(each.encode(detail="run:N", strokeDash=dash), bold, touch)
    return layers.properties(title=kind, height=HEIGHT, width=WIDTH, description=words)


def depth_panels(cells: Sequence[Cell]) -> dict[str, Any]:
    """Final errors against depth, mean ± std: a chart for "train" and one for "test", plain and residual in each."""
    rows = {split: found for split in MEASURES if (found := depth_rows(cells, split))}
    top = max((r["high"] for found in rows.values() for r in found), default=0.0)
    return {split: _depth_panel(found, split, 1.05 * top or 1.0) for split, found in rows.items()}


def depth_rows(cells: Sequence[Cell], split: str) -> list[dict[str, Any]]:
    """One row for each cell with a final error of `split`: kind, net, depth, error, low, high (± std; percent), n."""
    rows: list[dict[str, Any]] = []
    for c in cells:
        error, std = (c.train_mean, c.train_std) if split == "train" else (c.test_mean, c.test_std)
        if math.isfinite(error):
            spread = std if math.isfinite(std) else 0.0
            ends = {"low": max(0.0, error - spread), "high": error + spread}
            rows.append(
                {"kind": kind_of(c.residual), "net": c.model, "depth": c.depth, "error": error, **ends, "n": c.n}
            )
    return rows


def _depth_panel(rows: list[dict[str, Any]], split: str, top: float) -> Any:
    import altair as alt

    depths = sorted({r["depth"] for r in rows})
    kinds = [k for k in HUE if any(r["kind"] == k for r in rows)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "depth:Q",
            title="layers",
            scale=alt.Scale(
                type="log" if depths[-1] > 20 * depths[0] else "linear", zero=False, padding=24, nice=False
            ),
            axis=alt.Axis(values=depths, grid=False, format="d"),
        ),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[HUE[k] for k in kinds]), legend=alt.Legend(title=None)
        ),
    )
    y = alt.Y("error:Q", title="error (%)", scale=alt.Scale(domain=[0, top], nice=True), axis=alt.Axis(tickCount=6))
    bars = base.mark_rule(strokeWidth=2, aria=False).encode(y=alt.Y("low:Q", title="error (%)"), y2="high:Q")
    line = base.mark_line(strokeWidth=2, aria=False).encode(y=y)
    marks = base.mark_point(size=90, filled=True, opacity=1, aria=False).encode(
        y=y,
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["square", "circle"][: len(kinds)])),
        tooltip=[
            alt.Tooltip("net:N"),
            alt.Tooltip("error:Q", title=f"{MEASURES[split]} (%)", format=".2f"),
            alt.Tooltip("low:Q", title="minus std (%)", format=".2f"),
            alt.Tooltip("high:Q", title="plus std (%)", format=".2f"),
            alt.Tooltip("n:Q", title="seeds"),
        ],
    )
    words = (
        f"Final {MEASURES[split]} in percent against the number of layers, mean and standard deviation over seeds, "
        f"{' and '.join(kinds)} nets. The figures stand in the table below."
    )
    return alt.layer(bars, line, marks).properties(
        title=MEASURES[split], height=HEIGHT - 40, width=WIDTH, description=words
    )


def styled(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart's Vega-Lite dict with the house's look, and without its schema's address (nothing is ever fetched)."""
    text = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    config = {
        "background": "white",
        "view": {"stroke": None},
        "axis": {**text, "gridColor": "#e6e6e6", "domainColor": "#999", "tickColor": "#999"},
        "legend": {**text, "orient": "bottom", "symbolOpacity": 1, "layout": {"bottom": {"direction": "vertical"}}},
        "title": {"fontSize": 14, "anchor": "start"},
    }
    return {**{k: v for k, v in spec.items() if k not in ("$schema", "config")}, "config": config}


def curves(records: Sequence[Record]) -> Any:
    """Fig. 6: plain left, residual right. Raises UserError where nothing was measured."""
    return _joined(curve_panels(records), "no run has a measured error yet")


def error_against_depth(cells: Sequence[Cell]) -> Any:
    """Final training error left, final test error right. Raises UserError where no run has ended."""
    return _joined(depth_panels(cells), "no run has ended yet")


def _joined(panels: dict[str, Any], empty: str) -> Any:
    import altair as alt

    if not panels:
        raise UserError(f"charts: {empty}, so there is nothing to draw")
    return alt.hconcat(*panels.values()).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )


def save(chart: Any, path: Path, scale: float = 2.0) -> None:
    """Write a chart as SVG or PNG, as `path`'s ending says; `scale` is the PNG's pixels for each CSS pixel."""
    import vl_convert

    spec = json.dumps(styled(chart.to_dict()))
    if path.suffix not in (".svg", ".png"):
        raise UserError(f"{path}: a chart is written as .svg or .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=scale))
