"""Charts of probes: gradients, activations and residual ratios by block, layer responses as in Fig. 7.

Two sources: the probe lines of trained runs (§4.1, §4.2), and the lists of a study's measurements at the initial
weights. Lines are means over seeds, each seed faint behind them. Gradients, activations and ratios have a logarithmic
axis, on which the mean is the geometric one; zeros and numbers that are not finite are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.claims.text import Text
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.charts.chart import HEIGHT, WIDTH, colours_of, layered
from reslab.show.look import MLP, SHADES, shades
from reslab.show.series import Runs, finite, thinned

INITIAL = {"gradients": "gradients-init", "residuals": "residuals-init"}  # measurements whose lists by block are read
VARIANT = re.compile(r"(plain|resnet)(\d+)-(bn|nobn)-(\w+)\.(gradients|activations)")
RATIOS = re.compile(r"(bn|zero|mlp)(\d+)_blocks")
TITLES = {
    "gradients": Text("rms of the gradient of a block's output", "block 출력의 gradient (rms)"),
    "activations": Text("rms of a block's output", "block 출력 (rms)"),
    "residuals": Text("‖F(x)‖ / ‖x‖", "‖F(x)‖ / ‖x‖"),
    "responses": Text("std of a layer's response", "layer response의 표준편차"),
}
START, END = Text("initial weights", "초기 weight"), Text("end of training", "학습 끝")
ORDER, SORTED = Text("in the order of the layers", "층 순서대로"), Text("sorted by size", "크기순으로")
RATIO = Text("gradient, first block / last block", "gradient, 첫 block / 마지막 block")
THROUGH = Text("gradients through training", "학습 중의 gradient")
COLUMNS = Text("first", "첫째"), Text("last", "마지막"), Text("median", "중앙값"), Text("largest", "최댓값")
SATURATING = Text("initial weights, other activations", "초기 weight, 다른 activation")

Profile = dict[str, list[tuple[float, float]]]  # "seed 0" → points


def probe_of(record: Record, key: str, first: bool = False) -> dict[str, Any]:
    """Return one part of a run's last (or `first`) probe, by block or layer; {} if there is none."""
    lines = [m for m in record.metrics if m.get("kind") == "probe" and isinstance(m.get(key), dict)]
    return dict(lines[0 if first else -1][key]) if lines else {}


def block_panels(runs: Sequence[Runs], evidence: Evidence | None, key: str, language: str = "en") -> dict[str, Any]:
    """Return charts of `key` by block: at the initial weights, at the end, and through training.

    key   "gradients", "activations" or "residuals"
    """
    panels = _initial_panels(evidence, key, language)
    moments = [(first, text) for first, text in ((True, START), (False, END)) if not (first and panels)]
    for first, text in moments:
        profiles = {group.label: _profiles(group, key, first) for group in runs}
        chart = profile_panel(
            profiles, colours_of(runs), text(language), words.BLOCK(language), TITLES[key](language), language
        )
        if chart is not None:
            panels["start" if first else "end"] = chart
    if key == "gradients":
        panels |= _through_panel(runs, language)
    return panels


def _profiles(group: Runs, key: str, first: bool) -> Profile:
    """Return for each seed the first probe, or the last one; unfinished runs have no last probe."""
    return {
        f"seed {r.seed}": [(float(i), v) for i, v in enumerate(probe_of(r, key, first).values(), 1) if finite(v)]
        for r in group.records
        if first or r.finished
    }


def _initial(evidence: Evidence | None, key: str) -> dict[str, dict[str, Profile]]:
    """Return a study's measurements at the initial weights: "initial" with ReLU, "saturating" with tanh or sigmoid."""
    groups: dict[str, dict[str, Profile]] = {"initial": {}, "saturating": {}}
    name_of = INITIAL["residuals" if key == "residuals" else "gradients"]
    for seed, figures in (evidence.measured.get(name_of, {}) if evidence else {}).items():
        for name, values in figures.items():
            label = _label(name, key)
            if label and isinstance(values, list):
                group = groups["saturating" if label.endswith(("tanh", "sigmoid")) else "initial"]
                points = [(float(i), v) for i, v in enumerate(values, 1) if finite(v)]
                group.setdefault(label, {})[f"seed {seed}"] = points
    return groups


def _initial_panels(evidence: Evidence | None, key: str, language: str) -> dict[str, Any]:
    """Return a chart of each group of `_initial` that has points."""
    groups = _initial(evidence, key)
    panels = {}
    for part, title in (("initial", START), ("saturating", SATURATING)):
        labels = sorted(groups[part], key=lambda n: (n.split()[0], _depth(n), _is_bold(n)))
        colours: dict[str, str] = {}
        for kind in SHADES:
            nets = [n for n in labels if n.startswith(kind)]
            depths = [_depth(n) for n in nets]
            is_ambiguous = len({(d, _is_bold(n)) for d, n in zip(depths, nets, strict=True)}) < len(nets)
            # if two nets share depth and dash, their shades must differ
            net_shades = shades(kind, depths) if is_ambiguous else [shades(kind, [d])[0] for d in depths]
            colours |= dict(zip(nets, net_shades, strict=True))
        colours |= {n: MLP for n in labels if n.startswith("MLP")}
        dashes = {n: [1, 0] if _is_bold(n) else [5, 3] for n in labels}
        chart = profile_panel(
            groups[part], colours, title(language), words.BLOCK(language), TITLES[key](language), language, dashes
        )
        if chart is not None:
            panels[part] = chart
    return panels


def _label(name: str, key: str) -> str:
    """Return the label of a measurement's list, or "" if the list is not of `key`."""
    if match := VARIANT.fullmatch(name):
        kind, depth, bn, activation, quantity = match.groups()
        label = f"{kind.replace('resnet', 'residual')} {depth}, {'BN' if bn == 'bn' else 'no BN'}"
        return "" if quantity != key else label if activation == "relu" else f"{label}, {activation}"
    if (match := RATIOS.fullmatch(name)) and key == "residuals":
        return {"bn": "residual {}, BN", "zero": "residual {}, last γ 0", "mlp": "MLP {}"}[match[1]].format(match[2])
    return ""


def _depth(label: str) -> int:
    return int(label.split()[1].strip(","))


def _is_bold(label: str) -> bool:
    """Return whether a line is solid: with BN, or tanh; lines without BN or with sigmoid are dashed."""
    return not label.endswith(("no BN", "sigmoid"))


def _through_panel(runs: Sequence[Runs], language: str) -> dict[str, Any]:
    """Return the chart of the gradient of the first block divided by that of the last one, probe by probe."""
    profiles: dict[str, Profile] = {}
    for group in runs:
        for r in group.records:
            points = []
            for line in (m for m in r.metrics if m.get("kind") == "probe" and isinstance(m.get("gradients"), dict)):
                ends = [v for v in line["gradients"].values() if finite(v)]
                if len(ends) > 1 and ends[0] > 0 and ends[-1] > 0:
                    points.append((line["iteration"], ends[0] / ends[-1]))
            profiles.setdefault(group.label, {})[f"seed {r.seed}"] = thinned(points)
    chart = profile_panel(
        profiles, colours_of(runs), THROUGH(language), words.ITERATIONS(language), RATIO(language), language
    )
    return {} if chart is None else {"through": chart}


def response_panels(runs: Sequence[Runs], language: str = "en") -> dict[str, Any]:
    """Return Fig. 7: std of each 3x3 layer's output after BN, in network order and sorted, of the last probe."""
    panels = {}
    for name, title, ranked in (("order", ORDER, False), ("sorted", SORTED, True)):
        profiles: dict[str, Profile] = {}
        for group in runs:
            for r in (r for r in group.records if r.finished):
                values = [v for v in probe_of(r, "responses").values() if finite(v)]
                ordered = sorted(values, reverse=True) if ranked else values
                profiles.setdefault(group.label, {})[f"seed {r.seed}"] = [
                    (float(i), v) for i, v in enumerate(ordered, 1)
                ]
        chart = profile_panel(
            profiles, colours_of(runs), title(language), words.LAYER(language), TITLES["responses"](language), language,
            log=False, faint=False, zero=True,
        )  # fmt: skip
        if chart is not None:
            panels[name] = chart
    return panels


def profile_rows(profiles: Mapping[str, Profile], log: bool) -> list[dict[str, Any]]:
    """Return a row per point: net, run ("seed 0", or "mean" if all seeds have the point; geometric if `log`), x, y."""
    rows: list[dict[str, Any]] = []
    for net, seeds in profiles.items():
        drawn = {run: {x: y for x, y in points if y > 0 or not log} for run, points in seeds.items()}
        measured = [points for points in drawn.values() if points]
        for run, points in drawn.items():
            rows += [{"net": net, "run": run, "x": x, "y": float(f"{y:.4g}")} for x, y in points.items()]
        for x in measured[0] if measured else ():
            if all(x in points for points in measured):
                values = [points[x] for points in measured]
                centre = math.exp(fmean(math.log(v) for v in values)) if log else fmean(values)
                rows.append({"net": net, "run": "mean", "x": x, "y": float(f"{centre:.4g}"), "n": len(values)})
    return rows


def profile_panel(
    profiles: Mapping[str, Profile], colours: Mapping[str, str], title: str, x_title: str, y_title: str, language: str,
    dashes: Mapping[str, list[int]] | None = None, log: bool = True, faint: bool = True, zero: bool = False,
) -> Any | None:  # fmt: skip
    """Return a chart of several nets' lines over layers, blocks or iterations; None if there are no points."""
    import altair as alt

    rows = profile_rows(profiles, log)
    if not rows:
        return None
    nets = [n for n in colours if any(r["net"] == n for r in rows)]
    least, most = min(r["y"] for r in rows), max(r["y"] for r in rows)
    if log:  # room at both ends, a twentieth of the axis
        room = max((most / least) ** 0.05, 1.02)
        scale = alt.Scale(type="log", domain=[least / room, most * room], nice=False)
    else:
        scale = alt.Scale(zero=zero)
    axis = alt.Axis(format="~e", tickCount=6) if log and most / least > 1e4 else alt.Axis(tickCount=6)
    # the legend needs strokes to show the dash, which distinguishes two nets of one colour
    stroke: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 2.2} if dashes else {}
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, tickCount=6)),
        y=alt.Y("y:Q", title=y_title, scale=scale, axis=axis),
        color=alt.Color(
            "net:N",
            scale=alt.Scale(domain=nets, range=[colours[n] for n in nets]),
            legend=alt.Legend(title=None, columns=2 if max(map(len, nets)) < 18 else 1, labelLimit=320, **stroke),
        ),
    )
    if dashes:
        styles = alt.Scale(domain=nets, range=[dashes[n] for n in nets])
        base = base.encode(strokeDash=alt.StrokeDash("net:N", scale=styles))
    middle = base.transform_filter("datum.run == 'mean'")
    seeds = base.transform_filter("datum.run != 'mean'").mark_line(strokeWidth=1, opacity=0.22, aria=False)
    tip = [
        alt.Tooltip("net:N", title=words.NET(language)), alt.Tooltip("x:Q", title=x_title),
        alt.Tooltip("y:Q", title=y_title, format=".4g"), alt.Tooltip("n:Q", title=words.SEEDS(language)),
    ]  # fmt: skip
    layers = [seeds.encode(detail=alt.Detail("run:N"))] if faint else []
    layers += [
        middle.mark_line(strokeWidth=2.2, aria=False),
        middle.mark_circle(size=26, aria=False, opacity=1).encode(tooltip=tip),
    ]
    description = f"{title}: {y_title}; {x_title}; {', '.join(nets)}."
    return layered(rows, *layers).properties(title=title, height=HEIGHT, width=WIDTH, description=description)


def table(
    runs: Sequence[Runs], key: str, language: str, evidence: Evidence | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: each net's first, last, median and largest value, initially and in the last probe."""
    profiles = {f"{n}: {START(language)}": p for part in _initial(evidence, key).values() for n, p in part.items()}
    profiles |= {f"{group.label}: {END(language)}": _profiles(group, key, False) for group in runs}
    rows = []
    for label, profile in profiles.items():
        points = [r for r in profile_rows({label: profile}, False) if r["run"] == "mean"]
        if points:
            values = [p["y"] for p in points]
            figures = [f"{v:.3g}" for v in (values[0], values[-1], median(values), max(values))]
            rows.append([label, str(points[0]["n"]), *figures])
    return [words.NET(language), words.SEEDS(language), *(text(language) for text in COLUMNS)], rows
