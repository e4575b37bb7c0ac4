"""Errors against iterations, as in Fig. 1 and 6: seeds faint, their mean bold, long runs thinned, on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from reslab.claims.text import Text
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.charts.chart import DASHED, DOTTED, HEIGHT, SOLID, WIDTH, colours_of, dashes_of, joined, layered
from reslab.show.look import SHADES
from reslab.show.series import SPLITS, by_net, measured, room, sound, splits_of, thinned

AXIS_ROOM = 1.25  # end of the error axis over the largest late error
NAMES = {"train": Text("training error (clean pass)", "training error(전체를 다시 평가)"),
        "val": words.MEASURES["val"], "test": words.MEASURES["test"]}  # fmt: skip
STROKES = (SOLID, Text("solid", "실선")), (DASHED, Text("dashed", "점선")), (DOTTED, Text("dotted", "촘촘한 점선"))


def ceiling(records: Iterable[Record]) -> float:
    """Return the end of the error axis, in percent: above every error of the second half of the runs.

    The first errors are cut off, as in Fig. 6; otherwise the later ones would fill only a tenth of the axis.
    """
    late = []
    for record in sound(records).records:
        for split in SPLITS:
            lines = measured(record, split)
            late += [e["top1_error"] for e in lines if e["iteration"] >= lines[-1]["iteration"] / 2]
    step = 5.0
    return min(100.0, max(step, math.ceil(AXIS_ROOM * max(late) / step) * step)) if late else 100.0


def curve_rows(records: Iterable[Record], language: str = "en") -> list[dict[str, Any]]:
    """Return a row for each measured error, and for the mean over seeds at iterations that all runs of a net share.

    Keys: kind, net, depth (as in the legend), measure, iteration, error (percent), run ("seed 0", or "mean",
    which also has low, high and n), alone (true if a mean is the only point of its line). Thinned; spikes stay.
    """
    rows: list[dict[str, Any]] = []
    groups = by_net(sound(records).records)
    most = room(2 * sum(len(g.records) + 1 for g in groups))
    for group in groups:
        for split in splits_of(group.records):
            keys = {"kind": group.kind, "net": group.label, "depth": group.short,
                    "measure": words.MEASURES[split](language)}  # fmt: skip
            series = [{e["iteration"]: e["top1_error"] for e in measured(r, split)} for r in group.records]
            for record, errors in zip(group.records, series, strict=True):
                run = f"seed {record.seed}"
                rows += [
                    {**keys, "iteration": x, "run": run, "error": round(y, 3)}
                    for x, y in thinned(list(errors.items()), most)
                ]
            series = [errors for errors in series if errors]
            shared = [x for x in series[0] if all(x in errors for errors in series)] if series else []
            alone = {"alone": True} if len(shared) == 1 else {}
            for x, y in thinned([(x, mean(errors[x] for errors in series)) for x in shared], most):
                ends = {"low": min(e[x] for e in series), "high": max(e[x] for e in series)}
                ends = {k: round(v, 3) for k, v in ends.items()}
                mean_row = {**keys, "iteration": x, "run": "mean", "error": round(y, 3)}
                rows.append({**mean_row, **ends, "n": len(series), **alone})
    return rows


def curve_panels(records: Sequence[Record], language: str = "en") -> dict[str, Any]:
    """Return errors against iterations: a chart for plain and one for residual nets, on one scale."""
    rows, top = curve_rows(records, language), ceiling(records)
    splits = splits_of(sound(records).records)
    kinds = [k for k in SHADES if any(r["kind"] == k for r in rows)]
    colours = _colours(records)
    return {
        k: _curve_panel([r for r in rows if r["kind"] == k], k, k, splits, colours[k], top, language) for k in kinds
    }


def split_panels(records: Sequence[Record], language: str = "en") -> dict[str, Any]:
    """Return Fig. 1: a chart of training errors and one of test errors, of nets of one kind, on one scale."""
    rows, top = curve_rows(records, language), ceiling(records)
    colours = _colours(records)
    panels = {}
    for split, measure in words.MEASURES.items():
        part = [r for r in rows if r["measure"] == measure(language)]
        if part:
            kind = part[0]["kind"]
            panels[split] = _curve_panel(part, kind, measure(language), [split], colours[kind], top, language)
    return panels


def _colours(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """Return for each kind its nets' colours by their word in the legend."""
    runs = by_net(sound(records).records)
    colours = colours_of(runs)
    return {kind: {group.short: colours[group.label] for group in runs if group.kind == kind} for kind in SHADES}


def _curve_panel(
    rows: list[dict[str, Any]], kind: str, title: str, splits: Sequence[str], colours: dict[str, str], top: float,
    language: str,
) -> Any:  # fmt: skip
    """Return one chart. `splits` are those of the whole figure, so that a dash means the same in all its charts."""
    import altair as alt

    depths = list(dict.fromkeys(r["depth"] for r in rows))
    measures = {split: text(language) for split, text in words.MEASURES.items()}
    styles = dashes_of(splits)
    dashes = alt.Scale(domain=[measures[s] for s in splits], range=list(styles.values()))
    width = alt.condition(
        f"datum.measure == '{measures['train']}'", alt.value(1.4 if splits[1:] else 2.6), alt.value(2.6)
    )
    legend = words.LAYERS if all(d.isdigit() for d in depths) else words.NET
    base = alt.Chart().encode(
        x=alt.X(
            "iteration:Q",
            title=words.ITERATIONS(language),
            scale=alt.Scale(domainMin=0, nice=False),
            axis=alt.Axis(format="~s", tickCount=5, grid=False, labelOverlap="greedy", labelSeparation=6),
        ),
        y=alt.Y("error:Q", title=words.ERROR(language), scale=alt.Scale(domain=[0, top], nice=False)),
        color=alt.Color(
            "depth:N",
            scale=alt.Scale(domain=depths, range=[colours[d] for d in depths]),
            legend=alt.Legend(title=legend(language), symbolType="stroke", symbolStrokeWidth=4, labelLimit=300,
                              columns=6 if legend is words.LAYERS else 1),
        ),
    )  # fmt: skip
    measure_legend = alt.Legend(title=None, symbolType="stroke") if splits[1:] else None
    dash = alt.StrokeDash("measure:N", scale=dashes, legend=measure_legend)
    each = base.transform_filter("datum.run != 'mean'").mark_line(clip=True, strokeWidth=1, opacity=0.3, aria=False)
    middle = base.transform_filter("datum.run == 'mean'")
    bold = middle.mark_line(clip=True, aria=False).encode(strokeDash=dash, strokeWidth=width)
    points = middle.transform_filter(f"datum.error <= {top}")
    opacity = alt.condition("datum.alone", alt.value(1), alt.value(0))  # other points only carry the tooltip
    hover = points.mark_circle(size=70, aria=False).encode(
        opacity=opacity,
        tooltip=[
            alt.Tooltip("net:N", title=words.NET(language)),
            alt.Tooltip("measure:N", title=" "),
            alt.Tooltip("iteration:Q", title=words.ITERATIONS(language), format=","),
            alt.Tooltip("error:Q", title=f"{words.MEAN(language)} (%)", format=".2f"),
            alt.Tooltip("low:Q", title=f"{words.LOWEST(language)} (%)", format=".2f"),
            alt.Tooltip("high:Q", title=f"{words.HIGHEST(language)} (%)", format=".2f"),
            alt.Tooltip("n:Q", title=words.SEEDS(language)),
        ],
    )
    layers = layered(rows, each.encode(detail=alt.Detail("run:N"), strokeDash=dash), bold, hover)
    return layers.properties(
        title=title, height=HEIGHT, width=WIDTH, description=_curve_words(kind, depths, splits, language)
    )


def lines_words(splits: Sequence[str], language: str = "en") -> str:
    """Return the legend of the dashes: "Dashed: training error (clean pass); solid: test error."."""
    styles = dashes_of(splits)
    stroke = {split: next(text for style, text in STROKES if style == styles[split]) for split in splits}
    text = ("; " if language == "en" else ", ").join(f"{stroke[s](language)}: {NAMES[s](language)}" for s in splits)
    return f"{text[:1].upper()}{text[1:]}."


def _curve_words(kind: str, depths: Sequence[str], splits: Sequence[str], language: str) -> str:
    nets = ", ".join(depths)
    lines = lines_words(splits, language)
    if language == "ko":
        return f"{kind} 네트워크({nets})의 error, 반복 횟수에 따라(%). {lines} 값은 표에."
    which = f"of {nets} layers" if all(d.isdigit() for d in depths) else nets
    return f"Error in percent against iterations, {kind} nets {which}. {lines} The figures are in the tables."


def curves(records: Sequence[Record]) -> Any:
    """Return Fig. 6: plain left, residual right. Raises UserError if no error was measured."""
    return joined(curve_panels(records), "no run has a measured error yet")
