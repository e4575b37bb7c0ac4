"""Chart of a claim's statements: each value, the mean with its 95 % interval, and the range in which it holds.

Each statement is a row with its own axis; statements of one unit and similar size share one. A row has its words, its
figure, and a strip on which the interval must lie within the shaded part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from reslab.claims.claim import Finding
from reslab.claims.phrases import factor, shown, threshold
from reslab.claims.rules import Above, Always, Below, Rule, Within
from reslab.claims.text import Text
from reslab.show.charts.chart import WIDTH, layered
from reslab.show.look import GROUND, HOLDING, INK, SOFT
from reslab.show.series import finite
from reslab.show.tables import interval_words
from reslab.show.words import BAR, COLUMNS, INTERVAL, JUDGED, ROLES, VERDICT, wide, wrapped

LINE, BAND, TICKS, GAP = 16, 20, 15, 16  # pixels: a line of words, a strip, its axis, the gap to the next row
MOST_DOTS, MOST_ROWS = 60, 7
LIKE = 8.0  # statements of one unit share an axis if their extents differ by less than this factor
WORD, VALUE = Text("statement", "진술"), Text("figure", "값")
CAPTION = Text(
    "Dots: each seed, or each case. Diamond and line with ends: mean over seeds and its 95 % interval. Dashed: the "
    "threshold. The statement holds if the whole interval lies in the blue part.",
    "점: seed(또는 경우)마다의 값. 마름모와 가로선: seed 평균과 95 % 신뢰구간. 점선: 기준값. 구간 전체가 파란 부분에 "
    "들어 있으면 성립한다.",
)


def holding(rule: Rule) -> tuple[float, float]:
    """Return the range in which a statement holds; its ends may be infinite."""
    if isinstance(rule, Above):
        return rule.bar, math.inf
    if isinstance(rule, Below):
        return -math.inf, rule.bar
    return (-rule.margin, rule.margin) if isinstance(rule, Within) else (rule.low, rule.high)


def table(findings: Sequence[Finding], language: str) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: statement, figure, 95 % interval, threshold, verdict."""
    rows = []
    for f in findings:
        role = ROLES.get(f.statement.role)
        sentence = f.statement.text(language) + (f" ({role(language)})" if role else "")
        verdict = VERDICT[f.verdict](language)
        rows.append([sentence, shown(f, language), interval_words(f), threshold(f.statement, language), verdict])
    return [text(language) for text in (WORD, VALUE, INTERVAL, BAR, JUDGED)], rows


def interval_panels(findings: Sequence[Finding], language: str = "en") -> dict[str, Any]:
    """Return the charts of a claim's statements, at most MOST_ROWS in each."""
    size = math.ceil(len(findings) / math.ceil(len(findings) / MOST_ROWS))
    parts = [findings[i : i + size] for i in range(0, len(findings), size)]
    return {str(number): interval_panel(part, language, findings) for number, part in enumerate(parts, 1)}


def interval_panel(findings: Sequence[Finding], language: str = "en", among: Sequence[Finding] = ()) -> Any:
    """Return the chart of some statements; `among` are all of the claim's, which may share axes."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    y = 4.0
    for number, finding in enumerate(findings):
        marks, y = _row(finding, _extent(finding, among or findings), number, y, language)
        rows += marks
    height = max(40.0, y - GAP + 4)
    at = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.03, 1.03], nice=False, zero=False))
    down = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False, zero=False))
    base = alt.Chart().encode(y=down)

    def layer(part: str) -> Any:
        return base.transform_filter(f"datum.part == '{part}'")

    tip = [alt.Tooltip("tip:N", title=WORD(language)), alt.Tooltip("value:N", title=VALUE(language))]
    words = {"align": "left", "baseline": "middle", "aria": False}
    left, right, end, text = alt.XValue(2), alt.X2("x2:Q"), alt.Y2("y2:Q"), alt.Text("text:N")
    span = {"x": at, "x2": right, "y2": end}
    layers = [
        layer("strip").mark_rect(color=GROUND, aria=False).encode(**span),
        layer("holds").mark_rect(color=HOLDING, aria=False).encode(**span),
        layer("bar").mark_rule(color=SOFT, strokeDash=[4, 3], strokeWidth=1.5, aria=False).encode(x=at, y2=end),
        layer("dot").mark_circle(color=INK, size=34, opacity=0.32, aria=False).encode(x=at, tooltip=tip),
        layer("interval").mark_rule(color=INK, strokeWidth=2.2, aria=False).encode(x=at, x2=right, tooltip=tip),
        layer("end").mark_rule(color=INK, strokeWidth=2.2, aria=False).encode(x=at, y2=end),
        layer("mean")
        .mark_point(color=INK, filled=True, shape="diamond", size=85, opacity=1, aria=False)
        .encode(x=at, tooltip=tip),
        layer("tick").mark_text(fontSize=11, color=SOFT, baseline="middle", aria=False).encode(x=at, text=text),
        layer("words").mark_text(fontSize=12.5, color=INK, **words).encode(x=left, text=text),
        layer("figure").mark_text(fontSize=12.5, fontWeight="bold", color=INK, **words).encode(x=left, text=text),
    ]
    description = "; ".join(f"{s}: {figure}, {verdict}" for s, figure, _, _, verdict in table(findings, language)[1])
    return layered(rows, *layers).properties(height=height, width=WIDTH, description=description)


def _row(
    finding: Finding, extent: tuple[float, float] | None, number: int, y: float, language: str
) -> tuple[list[dict[str, Any]], float]:
    """Return the marks of one statement from `y` down, and the y of the next one."""
    role = ROLES.get(finding.statement.role)
    sentence = wrapped(finding.statement.text(language) + (f" ({role(language)})" if role else ""))
    judged = f"{BAR(language)} {threshold(finding.statement, language)}: {VERDICT[finding.verdict](language)}"
    both = f"{shown(finding, language)}; {judged}"
    figures = (
        wrapped(judged)
        if finding.figure is None
        else [both]
        if wide(both) <= COLUMNS - 4
        else [shown(finding, language), judged]
    )
    rows: list[dict[str, Any]] = []
    for part, lines in (("words", sentence), ("figure", figures)):
        for line in lines:
            rows.append({"part": part, "y": y + LINE / 2, "text": line})
            y += LINE
    if finding.figure is None or extent is None:
        return rows, y + GAP
    low, high = extent
    top, end = y + 3, y + 3 + BAND

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (value - low) / (high - low))), 5)

    def add(part: str, x: float, at: float = (top + end) / 2, **more: Any) -> None:
        rows.append({"part": part, "x": place(x), "y": at, **more})

    tip: dict[str, Any] = {"tip": finding.statement.text(language), "row": number}
    add("strip", low, top, x2=1.0, y2=end)
    between = holding(finding.statement.rule)
    inside = (max(low, between[0]), min(high, between[1]))
    if inside[0] <= inside[1]:
        add("holds", inside[0], top, x2=place(inside[1]), y2=end)
    for edge in sorted({e for e in between if math.isfinite(e)}):
        add("bar", edge, top - 2, y2=end + 2)
    figure, power = finding.figure, finding.statement.unit == "decades"
    for value in _thinned(sorted(figure.values)):
        add("dot", value, value=factor(value) if power else f"{value:.6g}", **tip)
    if not isinstance(finding.statement.rule, Always):
        if figure.n > 1:
            add("interval", figure.low, x2=place(figure.high), value=interval_words(finding), **tip)
            for edge in (figure.low, figure.high):
                add("end", edge, top + 4, y2=end - 4)
        add("mean", figure.mean, value=shown(finding, language), **tip)
    for tick in _ticks(low, high):
        text = factor(tick) if power else f"{tick:.4g}".replace("-", "−")
        add("tick", tick, end + TICKS / 2 + 1, text=text)
    return rows, end + TICKS + GAP


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most MOST_DOTS of sorted values, evenly spaced, with the first and the last."""
    if len(values) <= MOST_DOTS:
        return list(values)
    return [values[round(i * (len(values) - 1) / (MOST_DOTS - 1))] for i in range(MOST_DOTS)]


def _own(finding: Finding) -> tuple[float, float] | None:
    """Return the lowest and the highest value that a row must show, among values, interval and bar."""
    if finding.figure is None:
        return None
    f = finding.figure
    ends = () if isinstance(finding.statement.rule, Always) else (f.low, f.high)
    values = [v for v in (*f.values, *ends, *holding(finding.statement.rule)) if finite(v)]
    return (min(values), max(values)) if values else None


def _extent(finding: Finding, findings: Sequence[Finding]) -> tuple[float, float] | None:
    """Return a row's axis, with a margin: shared by the statements of its unit if of similar size, else its own."""
    own = _own(finding)
    if own is None:
        return None
    low, high = own
    if finding.statement.unit:
        alike = [e for f in findings if f.statement.unit == finding.statement.unit and (e := _own(f)) is not None]
        sizes = [max(abs(a), abs(b), b - a) for a, b in alike]
        if max(sizes) < LIKE * min(sizes):
            low, high = min(a for a, _ in alike), max(b for _, b in alike)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return two to five round numbers between the ends."""
    rough = (high - low) / 3
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(m * base for m in (1, 2, 2.5, 5, 10) if m * base >= rough)
    first = math.ceil(low / step)
    ticks = [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, math.floor(high / step) + 1)]
    return [t + 0.0 for t in ticks]
