"""Errors against iterations as in Fig. 1 and 6: every seed faint, their mean bold, long runs thinned, on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from reslab.show import words
from reslab.show.charts import DASHES, HEIGHT, SHADES, WIDTH, joined, shades
from reslab.show.series import by_net, room, sound, thinned
from reslab.training.runlog import Record

AXIS_ROOM = 1.25  # how far above the larger late errors the error axis ends


def ceiling(records: Iterable[Record]) -> float:
    """Where the error axis ends, in percent: with room above every error of the schedule's second half.

    The first iterations are cut off, as in Fig. 6, or else they press what matters into the lowest tenth.
    """
    late = []
    for record in sound(records).records:
        for split in DASHES:
            found = record.evaluations(split)
            late += [e["top1_error"] for e in found if e["iteration"] >= found[-1]["iteration"] / 2]
    step = 5.0
    return min(100.0, max(step, math.ceil(AXIS_ROOM * max(late) / step) * step)) if late else 100.0


def curve_rows(records: Iterable[Record], language: str = "en") -> list[dict[str, Any]]:
    """Every measured error, run by run, and the mean over seeds where all runs of that net were measured.

    Keys: kind, net, depth (what the legend says), measure, iteration, error (percent), run ("seed 0", or "mean", which
    has low, high and n too). Long runs are thinned, every spike kept.
    """
    rows: list[dict[str, Any]] = []
    groups = by_net(sound(records).records)
    most = room(2 * sum(len(g.records) + 1 for g in groups))
    for group in groups:
        for split in DASHES:
            told = {"kind": group.kind, "net": group.label, "depth": group.short,
                    "measure": words.MEASURES[split](language)}  # fmt: skip
            found = [{e["iteration"]: e["top1_error"] for e in r.evaluations(split)} for r in group.records]
            for record, errors in zip(group.records, found, strict=True):
                run = f"seed {record.seed}"
                rows += [
                    {**told, "iteration": x, "run": run, "error": round(y, 3)}
                    for x, y in thinned(list(errors.items()), most)
                ]
            measured = [errors for errors in found if errors]
            shared = [x for x in measured[0] if all(x in errors for errors in measured)] if measured else []
            for x, y in thinned([(x, mean(errors[x] for errors in measured)) for x in shared], most):
                ends = {"low": min(e[x] for e in measured), "high": max(e[x] for e in measured)}
                ends = {k: round(v, 3) for k, v in ends.items()}
                rows.append({**told, "iteration": x, "run": "mean", "error": round(y, 3), **ends, "n": len(measured)})
    return rows


def curve_panels(records: Sequence[Record], language: str = "en") -> dict[str, Any]:
    """Errors against iterations: a chart for "plain" and one for "residual" (those that were run), on one scale."""
    rows, top = curve_rows(records, language), ceiling(records)
    kinds = [k for k in SHADES if any(r["kind"] == k for r in rows)]
    return {k: _curve_panel([r for r in rows if r["kind"] == k], k, k, top, language) for k in kinds}


def split_panels(records: Sequence[Record], language: str = "en") -> dict[str, Any]:
    """Fig. 1: a chart of training errors and one of test errors, of nets of one kind, on one scale."""
    rows, top = curve_rows(records, language), ceiling(records)
    found = {}
    for split, said in words.MEASURES.items():
        part = [r for r in rows if r["measure"] == said(language)]
        if part:
            found[split] = _curve_panel(part, part[0]["kind"], said(language), top, language)
    return found


def _curve_panel(rows: list[dict[str, Any]], kind: str, title: str, top: float, language: str) -> Any:
    import altair as alt

    depths = list(dict.fromkeys(r["depth"] for r in rows))
    said = {split: text(language) for split, text in words.MEASURES.items()}
    there = [split for split in said if any(r["measure"] == said[split] for r in rows)]
    dashes = alt.Scale(domain=[said[s] for s in there], range=[DASHES[s] if len(there) > 1 else [1, 0] for s in there])
    width = alt.condition(f"datum.measure == '{said['test']}'", alt.value(2.6), alt.value(1.4 if there[1:] else 2.6))
    legend = words.LAYERS if all(d.isdigit() for d in depths) else words.NET
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "iteration:Q",
            title=words.ITERATIONS(language),
            scale=alt.Scale(domainMin=0, nice=False),
            axis=alt.Axis(format="~s", tickCount=5, grid=False, labelOverlap="greedy", labelSeparation=6),
        ),
        y=alt.Y("error:Q", title=words.ERROR(language), scale=alt.Scale(domain=[0, top], nice=False)),
        color=alt.Color(
            "depth:N",
            scale=alt.Scale(domain=depths, range=shades(kind, depths)),
            legend=alt.Legend(title=legend(language), symbolType="stroke", symbolStrokeWidth=4, labelLimit=300,
                              columns=6 if legend is words.LAYERS else 1),
        ),
    )  # fmt: skip
    shown = alt.Legend(title=None, symbolType="stroke") if there[1:] else None
    dash = alt.StrokeDash("measure:N", scale=dashes, legend=shown)
    each = base.transform_filter("datum.run != 'mean'").mark_line(clip=True, strokeWidth=1, opacity=0.3, aria=False)
    middle = base.transform_filter("datum.run == 'mean'")
    bold = middle.mark_line(clip=True, aria=False).encode(strokeDash=dash, strokeWidth=width)
    points = middle.transform_filter(f"datum.error <= {top}")
    touch = points.mark_circle(size=70, opacity=_lonely(rows), aria=False).encode(
        tooltip=[
            alt.Tooltip("net:N", title=words.NET(language)),
            alt.Tooltip("measure:N", title=" "),
            alt.Tooltip("iteration:Q", title=words.ITERATIONS(language), format=","),
            alt.Tooltip("error:Q", title=f"{words.MEAN(language)} (%)", format=".2f"),
            alt.Tooltip("low:Q", title=f"{words.LOWEST(language)} (%)", format=".2f"),
            alt.Tooltip("high:Q", title=f"{words.HIGHEST(language)} (%)", format=".2f"),
            alt.Tooltip("n:Q", title=words.SEEDS(language)),
        ]
    )
    layers = alt.layer(each.encode(detail="run:N", strokeDash=dash), bold, touch)
    return layers.properties(title=title, height=HEIGHT, width=WIDTH, description=_curve_words(kind, depths, language))


def _lonely(rows: Sequence[dict[str, Any]]) -> float:
    """The opacity of the points: they are seen where a line has one point alone, and else only felt by the mouse."""
    counts: dict[tuple[str, str], int] = {}
    for r in rows:
        if r["run"] == "mean":
            counts[r["net"], r["measure"]] = counts.get((r["net"], r["measure"]), 0) + 1
    return 1.0 if counts and min(counts.values()) == 1 else 0.0


def _curve_words(kind: str, depths: Sequence[str], language: str) -> str:
    told = ", ".join(depths)
    if language == "ko":
        return f"{kind} 네트워크({told})의 training error(점선)와 test error(실선), 반복 횟수에 따라(%). 값은 표에."
    of = f"of {told} layers" if all(d.isdigit() for d in depths) else told
    return (
        f"Training error (dashed) and test error (solid) in percent against iterations, {kind} nets {of}. "
        "The figures stand in the tables."
    )


def curves(records: Sequence[Record]) -> Any:
    """Fig. 6: plain left, residual right. Raises UserError where nothing was measured."""
    return joined(curve_panels(records), "no run has a measured error yet")
