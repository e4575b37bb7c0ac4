"""Charts of one evaluation: the confusion matrix, and the reliability diagram. In Altair."""

from __future__ import annotations

from typing import Any

from reslab.show.charts.chart import layered
from reslab.show.format import clean, number
from reslab.show.look import GRID, HUE, INK, LINE, SOFT

MOST_CELLS = 60  # classes of a drawn matrix; with more, the largest confusions are drawn as bars
MOST_NUMBERS = 20  # classes of a matrix whose cells have their number
SIDE = 420  # of the reliability diagram, in pixels
SCHEME = ["#ffffff", "#cfe1f2", "#6aaed6", "#0a2f66"]
DARK = 0.55  # share of a row above which a cell's number is white


def title_of(result: dict[str, Any], about: str) -> dict[str, Any]:
    """Return a title with a line on the model, the data, and the number of images."""
    model, data = clean(result["model"]), clean(result["data"])
    subtitle = [f"{model}, {data} {result['split']}, n = {result['n']:,}"]
    if result["unfit"]:
        subtitle.append(f"without finite scores, left out: {result['unfit']:,}")
    return {"text": about, "subtitle": subtitle, "subtitleColor": SOFT, "subtitleFontSize": 12, "anchor": "start"}


def confusion_chart(result: dict[str, Any]) -> Any:
    """Return the confusion matrix of `Evaluation.to_dict` as a heat map: rows are true classes.

    A cell's colour is its share of the row. For more than 60 classes the largest confusions are bars.
    """
    matrix = result["confusion"]
    if matrix is None or len(matrix) > MOST_CELLS:
        return _largest(result)
    return _heat_map(result, [clean(row["class"]) for row in result["per_class"]], matrix)


def _heat_map(result: dict[str, Any], names: list[str], matrix: list[list[int]]) -> Any:
    import altair as alt

    count = len(names)
    labels = [f"{number}  {name}" for number, name in enumerate(names)] if len({*names}) < count else names
    rows = [
        {"true": labels[i], "predicted": labels[j], "n": n, "share": n / total if total else 0.0}
        for i, row in enumerate(matrix)
        for total in [sum(row)]
        for j, n in enumerate(row)
    ]
    digits = max(len(f"{row['n']:,}") for row in rows)
    cell = max(30, 8 * digits + 8) if count <= MOST_NUMBERS else max(10, 640 // count)
    angle = 0 if max(map(len, labels)) * 7 <= cell else -45 if count <= MOST_NUMBERS else -90
    axis: dict[str, Any] = {"labelLimit": 160, "labelOverlap": False, "ticks": False, "domain": False}
    size = {"labelFontSize": 12 if cell >= 16 else 9}
    base = alt.Chart().encode(
        x=alt.X("predicted:N", sort=labels, title="predicted class", axis=alt.Axis(labelAngle=angle, **axis, **size)),
        y=alt.Y("true:N", sort=labels, title="true class", axis=alt.Axis(**axis, **size)),
    )
    scale = alt.Scale(domain=[0, 0.1, 0.5, 1], range=SCHEME, interpolate="rgb")
    legend = alt.Legend(
        title=["share of", "the row"], format=".0%", orient="right", gradientLength=min(160, cell * count)
    )
    tip = [alt.Tooltip("true:N"), alt.Tooltip("predicted:N"), alt.Tooltip("n:Q", title="images", format=",d")]
    layers = [
        base.mark_rect(stroke=GRID, strokeWidth=1 if count <= MOST_NUMBERS else 0.3).encode(
            color=alt.Color("share:Q", scale=scale, legend=legend), tooltip=tip
        )
    ]
    if count <= MOST_NUMBERS:
        for condition, colour in ((f"datum.share <= {DARK}", INK), (f"datum.share > {DARK}", "white")):
            text = base.transform_filter(f"datum.n > 0 && {condition}")
            layers.append(
                text.mark_text(fontSize=12, color=colour, aria=False).encode(text=alt.Text("n:Q", format=",d"))
            )
    wrong = sum(row["wrong"] for row in result["per_class"])
    return layered(rows, *layers).properties(
        title=title_of(result, "Confusion matrix"), width=cell * count, height=max(20, min(cell, 34)) * count
        if count <= MOST_NUMBERS else cell * count,
        description=f"Images by true and predicted class; {wrong:,} of {result['n']:,} are wrong.",
    )  # fmt: skip


def _largest(result: dict[str, Any]) -> Any:
    import altair as alt

    rows = [
        {"pair": f"{clean(pair['true'])} → {clean(pair['predicted'])}", "n": pair["n"]}
        for pair in result["largest_confusions"]
    ]
    order = [row["pair"] for row in rows]
    base = alt.Chart().encode(
        y=alt.Y("pair:N", sort=order, title=None, axis=alt.Axis(labelLimit=360, ticks=False)),
        x=alt.X("n:Q", title="images", axis=alt.Axis(tickMinStep=1, format=",d")),
    )
    text = base.mark_text(align="left", dx=4, fontSize=12, color=INK, aria=False).encode(text=alt.Text("n:Q"))
    chart = layered(rows, base.mark_bar(color=HUE["residual"], height=14), text)
    return chart.properties(
        title=title_of(result, "Largest confusions: true class → predicted class"), width=SIDE,
        height=max(1, len(rows)) * 22, description="The pairs of classes that are confused most often.",
    )  # fmt: skip


def reliability_chart(result: dict[str, Any]) -> Any:
    """Return the reliability diagram of `Evaluation.to_dict`: accuracy by confidence, and the images in each bin."""
    import altair as alt

    calibration = result["calibration"]
    rows = [{**b, "part": "bin"} for b in calibration["bins"] if b["n"]]
    rows += [{"low": 0, "high": 100, "accuracy": 0, "end": 100, "part": "ideal"}]
    span = alt.Scale(domain=[0, 100])
    x = alt.X("low:Q", title="confidence (%)", scale=span, axis=alt.Axis(tickCount=5))
    y = alt.Y("accuracy:Q", title="accuracy (%)", scale=span, axis=alt.Axis(tickCount=5))
    inside = alt.Chart().transform_filter("datum.part == 'bin'")
    tip = [
        alt.Tooltip("n:Q", title="images", format=",d"), alt.Tooltip("confidence:Q", format=".1f"),
        alt.Tooltip("accuracy:Q", format=".1f"),
    ]  # fmt: skip
    bars = inside.mark_bar(color=HUE["residual"], opacity=0.35, stroke="white").encode(
        x=x, x2="high:Q", y=y, y2=alt.Y2(datum=0), tooltip=tip
    )
    ideal = alt.Chart().transform_filter("datum.part == 'ideal'")
    line = ideal.mark_rule(color=LINE, strokeDash=[6, 3], strokeWidth=1.5, aria=False).encode(
        x=x, x2="high:Q", y=y, y2="end:Q"
    )
    points = inside.mark_point(filled=True, size=70, color=HUE["residual"], opacity=1, aria=False).encode(
        x=alt.X("confidence:Q", title="confidence (%)", scale=span), y=y
    )
    title = title_of(result, "Reliability diagram")
    words = f"expected calibration error {number(calibration['error'], '.2f', ' %')}"
    fitted = calibration["temperature"]
    if fitted is not None and fitted["value"] is not None:
        words += f"; {number(fitted['error'], '.2f', ' %')} at temperature {fitted['value']:.3f}"
    title["subtitle"] = [*title["subtitle"], words, "dots: mean confidence of each bin; dashed: perfect calibration"]
    upper = layered(rows, bars, line, points).properties(title=title, width=SIDE, height=SIDE - 120)
    counts = inside.mark_bar(color=SOFT, stroke="white").encode(
        x=x, x2="high:Q", y2=alt.Y2(datum=0), tooltip=tip,
        y=alt.Y("n:Q", title="images", axis=alt.Axis(tickCount=3, tickMinStep=1, format=",d")),
    )  # fmt: skip
    lower = layered(rows, counts).properties(width=SIDE, height=80)
    return alt.vconcat(upper, lower, spacing=8).properties(
        description="Accuracy against confidence in bins of equal width, and the number of images in each bin."
    )
