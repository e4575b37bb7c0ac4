"""What all charts share (style, sizes, files), and the chart of final errors against depth. In Altair.

A figure is a dict of panels, because a page arranges them by its width; `joined` makes one chart of them for a file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.show import words
from reslab.show.look import AXIS, GRID, HUE, SHADES, shades
from reslab.show.series import SPLITS, Runs
from reslab.store.files import replacing

LINES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]]  # dashes of different data sets, recipes or precisions
SOLID, DASHED, DOTTED = [1.0, 0.0], [4.0, 3.0], [1.5, 2.5]

HEIGHT, WIDTH = 300, 420  # of a panel, in pixels; on a page its width is the container's


def dashes_of(splits: Sequence[str]) -> dict[str, list[float]]:
    """Return the dash of each split, as in Fig. 6: training error dashed, test error solid.

    Validation error is dotted, or solid if there is no test split. A single split is solid.
    """
    held_out = {"val": DOTTED if "test" in splits else SOLID, "test": SOLID}
    return {s: SOLID if len(splits) == 1 else held_out.get(s, DASHED) for s in splits}


def colours_of(runs: Sequence[Runs]) -> dict[str, str]:
    """Return a colour for each net's label: the hue of its kind, light if shallow, dark if deep."""
    colours: dict[str, str] = {}
    for kind in SHADES:
        groups = [group for group in runs if group.kind == kind]
        shade_of = shades(kind, [group.depth for group in groups])
        colours |= dict(zip([group.label for group in groups], shade_of, strict=True))
    return colours


def depth_panels(runs: Sequence[Runs], language: str = "en") -> dict[str, Any]:
    """Return a chart for each measured split: final errors against depth, mean and 95 % interval."""
    rows_of = {split: rows for split in SPLITS if (rows := depth_rows(runs, split))}
    top = max((r["high"] for rows in rows_of.values() for r in rows), default=0.0)
    top = min(100.0, 1.05 * top) or 1.0
    return {split: _depth_panel(rows, split, top, language) for split, rows in rows_of.items()}


def depth_rows(runs: Sequence[Runs], split: str) -> list[dict[str, Any]]:
    """Return a row for each net with a final error of `split`: kind, net, line, depth, error, low, high (percent), n.

    `low` and `high` are the ends of the 95 % interval, within 0 and 100; of one seed they are the error itself.
    Rows of one kind are connected if `line` is equal: if data, recipe and precision are.
    """
    rows: list[dict[str, Any]] = []
    for group in runs:
        final = group.final(split)
        if final is not None:
            low, high = (final.low, final.high) if math.isfinite(final.low) else (final.mean, final.mean)
            keys = {"kind": group.kind, "net": group.label, "line": group.line, "depth": group.depth}
            rows.append({**keys, "error": final.mean, "low": max(0.0, low), "high": min(100.0, high), "n": final.n})
    return rows


def _depth_panel(rows: list[dict[str, Any]], split: str, top: float, language: str) -> Any:
    import altair as alt

    depths = sorted({r["depth"] for r in rows})
    x = alt.X(
        "depth:Q",
        title=words.LAYERS(language),
        scale=alt.Scale(type="log" if depths[-1] > 20 * depths[0] else "linear", zero=False, padding=24, nice=False),
        axis=alt.Axis(values=depths, grid=False, format="d", labelOverlap="greedy"),
    )
    kinds = " / ".join(k for k in HUE if any(r["kind"] == k for r in rows))
    measure = words.MEASURES[split](language)
    description = (
        f"층수에 따른 마지막 {measure}, %, seed 평균과 95 % 신뢰구간, {kinds}. 값은 아래 표에 있다."
        if language == "ko"
        else f"Final {measure} in percent against the number of layers, mean and 95 % interval over seeds, {kinds} "
        "nets. The table below has the figures."
    )
    return error_panel(rows, x, split, top, language).properties(description=description)


def error_panel(rows: list[dict[str, Any]], x: Any, split: str, top: float, language: str) -> Any:
    """Final errors of `depth_rows` against `x`, plain and residual: points with 95 % interval, joined in order."""
    import altair as alt

    kinds = [k for k in HUE if any(r["kind"] == k for r in rows)]
    measure = words.MEASURES[split](language)
    base = alt.Chart().encode(
        x=x,
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[HUE[k] for k in kinds]), legend=alt.Legend(title=None)
        ),
    )
    scale = alt.Scale(domain=[0, top], nice=True)
    title = words.ERROR(language)
    y = alt.Y("error:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))
    low, high = alt.Y("low:Q", title=title, scale=scale), alt.Y2("high:Q")
    bars = base.mark_rule(strokeWidth=2, aria=False).encode(y=low, y2=high)
    line = base.mark_line(strokeWidth=2, aria=False).encode(y=y, detail=alt.Detail("line:N"))
    lines = list(dict.fromkeys(r["line"] for r in rows))
    if len(lines) > 1:  # other data or another recipe have another dash, shown in the legend
        styles = alt.Scale(domain=lines, range=[LINES[i % len(LINES)] for i in range(len(lines))])
        legend = alt.Legend(title=None, symbolType="stroke", symbolSize=400, labelLimit=320, columns=1)
        line = line.encode(strokeDash=alt.StrokeDash("line:N", scale=styles, legend=legend))
    marks = base.mark_point(size=90, filled=True, opacity=1, aria=False).encode(
        y=y,
        shape=alt.Shape(
            "kind:N",
            scale=alt.Scale(domain=kinds, range=[{"plain": "square", "residual": "circle"}[k] for k in kinds]),
        ),
        tooltip=[
            alt.Tooltip("net:N", title=words.NET(language)),
            alt.Tooltip("error:Q", title=f"{measure} (%)", format=".2f"),
            alt.Tooltip("low:Q", title=f"{words.INTERVAL_FROM(language)} (%)", format=".2f"),
            alt.Tooltip("high:Q", title=f"{words.INTERVAL_TO(language)} (%)", format=".2f"),
            alt.Tooltip("n:Q", title=words.SEEDS(language)),
        ],
    )
    return layered(rows, bars, line, marks).properties(title=measure, height=HEIGHT - 40, width=WIDTH)


class Points(str):
    """The name of a chart's rows, which carries them.

    Every method of Altair copies data value by value, and strings not at all. `specification` adds the rows.
    """

    rows: list[dict[str, Any]]

    def __new__(cls, rows: list[dict[str, Any]]) -> Points:
        points = super().__new__(cls, f"data-{hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32]}")
        points.rows = rows
        return points


def data_of(rows: list[dict[str, Any]]) -> Any:
    """Return `rows` as the data of an Altair chart."""
    import altair as alt

    return alt.NamedData(name=Points(rows))


def layered(rows: list[dict[str, Any]], *layers: Any) -> Any:
    """Return layers over `rows`."""
    import altair as alt

    return alt.layer(*layers, data=data_of(rows))


def styled(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a chart's Vega-Lite dict with the common style, without the schema's URL, so that nothing is fetched."""
    text = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    config = {
        "background": "white",
        "view": {"stroke": None},
        "axis": {**text, "gridColor": GRID, "domainColor": AXIS, "tickColor": AXIS, "labelSeparation": 4},
        "legend": {**text, "orient": "bottom", "symbolOpacity": 1, "layout": {"bottom": {"direction": "vertical"}}},
        "title": {"fontSize": 14, "anchor": "start"},
    }
    return {**{k: v for k, v in spec.items() if k not in ("$schema", "config")}, "config": config}


def error_against_depth(runs: Sequence[Runs]) -> Any:
    """Return a chart of final training error (left) and test error (right). Raises UserError if no run is finished."""
    return joined(depth_panels(runs), "no run is finished")


def joined(panels: dict[str, Any], empty: str) -> Any:
    """Return the panels side by side. Raises UserError if there are none; `empty` is the reason."""
    import altair as alt

    if not panels:
        raise UserError(f"charts: {empty}, so there is nothing to draw")
    return alt.hconcat(*panels.values()).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )


@contextmanager
def unvalidated() -> Iterator[None]:
    """A context without Altair's validation of charts, which takes half the time of a page.

    The tests draw each chart with validation.
    """
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        yield


def specification(chart: Any) -> dict[str, Any]:
    """Return an Altair chart's specification, styled, with its data."""
    spec = chart.to_dict(validate=False)
    return styled(spec | {"datasets": {str(points): points.rows for points in _points(spec)}})


def _points(part: Any) -> Iterator[Points]:
    """Yield the names of data in a specification."""
    if isinstance(part, Points):
        yield part
    elif isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            yield from _points(each)


def save(chart: Any, path: Path, scale: float = 2.0) -> None:
    """Write a chart as SVG or PNG, by the suffix of `path`; `scale` is the PNG's pixels per CSS pixel."""
    if path.suffix not in (".svg", ".png"):
        raise UserError(f"{path}: a chart is written as .svg or .png")
    with replacing(path) as temporary:
        temporary.write_bytes(rendered(chart, path.suffix, scale))


def rendered(chart: Any, ending: str, scale: float = 2.0) -> bytes:
    """Return the content of a chart's file of type `ending`, ".svg" or ".png"."""
    import vl_convert

    _check_address_space()

    spec = json.dumps(specification(chart))
    if ending == ".svg":
        return str(vl_convert.vegalite_to_svg(spec)).encode()
    return bytes(vl_convert.vegalite_to_png(spec, scale=scale))


def _check_address_space() -> None:
    """Raise UserError if `ulimit -v` limits this process: the chart engine (V8) would crash it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        raise UserError(
            "charts as .svg and .png need unlimited address space, but `ulimit -v` limits it; lift the limit, or "
            "write --out NAME.html"
        )
