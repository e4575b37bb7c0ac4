"""Charts of a probe's lesions, similarity and loss surface, from its record (`Probe.to_dict`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reslab.show.charts.chart import HEIGHT, WIDTH, layered
from reslab.show.look import AXIS, HUE, INK
from reslab.show.series import finite

CELLS = 520  # pixels of the side of a matrix
STEP = 16  # pixels between two blocks on an axis at least; else some labels are left out
ERROR = "top-1 error (%)"
SIDE: dict[str, Any] = {"bounds": "flush", "spacing": 90}  # plots side by side begin at one height


def title_of(record: Mapping[str, Any], what: str) -> Any:
    """Return a chart's title: what is shown, and below it network, iteration, data and samples."""
    import altair as alt

    state = "" if record["iteration"] is None else f" at iteration {record['iteration']:,}"
    subject = f"{record['model']}{state}, the first {record['n']:,} samples of {record['data']} {record['split']}"
    return alt.TitleParams(what, subtitle=subject, subtitleFontSize=12, offset=12)


def colour_of(record: Mapping[str, Any]) -> str:
    """Return the hue of the network's kind, as in all charts."""
    return HUE["plain" if "plain" in record["model"] else "residual"]


def lesions_chart(record: Mapping[str, Any]) -> Any:
    """Return three panels: the error without each block, without k random blocks, with two neighbours swapped."""
    import altair as alt

    lesions, colour = record["lesions"], colour_of(record)
    errors = [lesions["error"], *(x["error"] for x in (*lesions["without"], *lesions["swaps"]))]
    errors += [x["high"] for x in lesions["several"]]
    y = alt.Y("error:Q", title=ERROR, scale=alt.Scale(domain=[0, min(100.0, 1.05 * max(errors)) or 1.0], nice=True))
    single = [{"block": x["block"], "error": x["error"]} for x in lesions["without"]]
    swaps = [{"block": f"{x['first']}, {x['second']}", "error": x["error"]} for x in lesions["swaps"]]
    panels = [_by_block(single, y, lesions["error"], "one block removed", colour)]
    several = [{"k": x["k"], "error": x["mean"], "low": x["low"], "high": x["high"]} for x in lesions["several"]]
    ks = alt.Axis(values=[x["k"] for x in several], format="d", grid=False)
    base = alt.Chart().encode(
        x=alt.X("k:Q", title="blocks removed at random", axis=ks, scale=alt.Scale(zero=False, padding=16, nice=False))
    )
    ranges = base.mark_rule(strokeWidth=2, color=colour).encode(
        y=alt.Y("low:Q", title=ERROR, scale=y.to_dict()["scale"]), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2, color=colour).encode(y=y)
    points = base.mark_point(size=60, filled=True, opacity=1, color=colour).encode(y=y)
    panel = alt.layer(layered(several, ranges, line, points), _whole(y, lesions["error"]))
    panels.append(panel.properties(title="k blocks removed: mean and range", height=HEIGHT, width=WIDTH * 0.6))
    if swaps:
        panels.append(_by_block(swaps, y, lesions["error"], "two neighbours swapped", colour))
    return alt.hconcat(*panels, title=title_of(record, "Errors of a damaged network (dashed: unchanged)"), **SIDE)


def _by_block(rows: list[dict[str, Any]], y: Any, whole: float, title: str, colour: str) -> Any:
    import altair as alt

    names = [row["block"] for row in rows]
    base = alt.Chart().encode(x=alt.X("block:N", title=None, sort=names, axis=_names_axis(-90)), y=y)
    points = base.mark_point(size=60, filled=True, opacity=1, color=colour)
    line = base.mark_line(strokeWidth=1, color=colour)
    width = max(WIDTH * 0.5, min(STEP * len(rows), 2 * WIDTH))
    return alt.layer(layered(rows, line, points), _whole(y, whole)).properties(title=title, height=HEIGHT, width=width)


def _whole(y: Any, error: float) -> Any:
    """Return a dashed line at the unchanged network's error."""
    import altair as alt

    return layered([{"error": error}], alt.Chart().mark_rule(strokeDash=[4, 3], color=INK).encode(y=y))


def _names_axis(angle: int) -> Any:
    import altair as alt

    return alt.Axis(labelAngle=angle, labelOverlap="greedy", labelFontSize=11, grid=False, labelLimit=240)


def similarity_chart(record: Mapping[str, Any]) -> Any:
    """Return the matrix of linear CKA: a row and a column for each output, bright for 1."""
    import altair as alt

    names, cka = record["similarity"]["names"], record["similarity"]["cka"]
    rows = [
        {"row": one, "column": other, "cka": value}
        for one, line in zip(names, cka, strict=True)
        for other, value in zip(names, line, strict=True)
        if finite(value)
    ]
    cells = alt.Chart().mark_rect().encode(
        x=alt.X("column:N", title=None, scale=alt.Scale(domain=names), axis=_names_axis(-90)),
        y=alt.Y("row:N", title=None, scale=alt.Scale(domain=names), axis=_names_axis(0)),
        color=alt.Color("cka:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), legend=_colour_legend("CKA")),
    )  # fmt: skip
    return layered(rows, cells).properties(
        title=title_of(record, "Linear CKA between outputs"), width=CELLS, height=CELLS
    )


def _colour_legend(title: str) -> Any:
    import altair as alt

    return alt.Legend(title=title, orient="right", gradientLength=HEIGHT - 60, direction="vertical")


def surface_chart(record: Mapping[str, Any]) -> Any:
    """Return two panels, loss and error: against the step along one direction, or as a map of two."""
    import altair as alt

    surface = record["surface"]
    panel, side = (_curve, SIDE) if surface["directions"] == 1 else (_map, SIDE | {"spacing": 160})
    panels = [
        panel(surface["steps"], surface[key], name, colour_of(record))
        for key, name in (("loss", "loss"), ("error", ERROR))
    ]
    ways = "a random direction" if surface["directions"] == 1 else "two random directions"
    chart = alt.hconcat(*panels, title=title_of(record, f"Loss and error along {ways}, filter-normalised"), **side)
    return chart.resolve_scale(color="independent")


def _is_wide(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether values span so many decades, all positive, that a logarithmic scale shows more."""
    values = [row["value"] for row in rows]
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


def _curve(steps: Sequence[float], values: Sequence[float | None], name: str, colour: str) -> Any:
    import altair as alt

    rows = [{"step": step, "value": value} for step, value in zip(steps, values, strict=True) if finite(value)]
    is_wide = name == "loss" and _is_wide(rows)
    scale = alt.Scale(type="log", nice=False) if is_wide else alt.Scale(zero=True)
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="step (1: as long as the weights)", scale=alt.Scale(domain=[steps[0], steps[-1]])),
        y=alt.Y("value:Q", title=name, scale=scale, axis=alt.Axis(tickCount=6)),
    )
    line, points = base.mark_line(strokeWidth=2, color=colour), base.mark_point(size=24, filled=True, color=colour)
    return layered(rows, line, points).properties(title=name, width=WIDTH, height=HEIGHT)


def _map(steps: Sequence[float], values: Sequence[Sequence[float | None]], name: str, _: str) -> Any:
    import altair as alt

    half = (steps[1] - steps[0]) / 2
    rows = [
        {"first": one - half, "first_end": one + half, "second": other - half, "second_end": other + half, "value": v}
        for one, line in zip(steps, values, strict=True)
        for other, v in zip(steps, line, strict=True)
        if finite(v)
    ]
    is_wide = name == "loss" and _is_wide(rows)
    scale = alt.Scale(scheme="viridis", **({"type": "log"} if is_wide else {}))
    ends = alt.Scale(domain=[steps[0] - half, steps[-1] + half], nice=False)
    cells = alt.Chart().mark_rect().encode(
        x=alt.X("first:Q", title="step along the first direction", scale=ends, axis=alt.Axis(grid=False)),
        x2="first_end:Q",
        y=alt.Y("second:Q", title="step along the second", scale=ends, axis=alt.Axis(grid=False)),
        y2="second_end:Q",
        color=alt.Color("value:Q", scale=scale, legend=_colour_legend(name)),
    )  # fmt: skip
    centre = alt.Chart().mark_point(shape="cross", size=80, filled=True, opacity=1, color="white", stroke=AXIS)
    zero = layered([{"x": 0, "y": 0}], centre.encode(x=alt.X("x:Q", scale=ends), y=alt.Y("y:Q", scale=ends)))
    return alt.layer(layered(rows, cells), zero).properties(title=name, width=HEIGHT, height=HEIGHT)


CHARTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "lesions": lesions_chart, "similarity": similarity_chart, "surface": surface_chart,
}  # fmt: skip
