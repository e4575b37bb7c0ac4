"""Charts of C23: how well plain and residual stacks copy their input, against depth and against training steps."""

from __future__ import annotations

from statistics import geometric_mean
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.claims.text import Text
from reslab.show import words
from reslab.show.charts.chart import HEIGHT, WIDTH, layered
from reslab.show.look import HUE
from reslab.show.series import finite

STACKS = {
    "mlp": Text("MLP, He initialisation", "MLP, He 초기화"),
    "near0": Text("MLP, weights near zero", "MLP, 0에 가까운 weight"),
    "conv": Text("convolutions with BN", "BN이 있는 convolution"),
}
STACK = Text("stack", "구성")
ERROR = Text("error relative to the variance", "분산에 대한 오차")
DEEPEST = Text("{stack}, {depth} layers", "{stack}, {depth}층")


def copying_rows(evidence: Evidence, stack: str, against: str) -> list[dict[str, Any]]:
    """Return a row for each seed and the geometric mean ("mean"): kind, run, x (layers or steps), y (relative error).

    against  "depth", or "steps" of the deepest stack
    """
    rows: list[dict[str, Any]] = []
    values: dict[tuple[str, int], list[float]] = {}
    for seed, figures in sorted(evidence.measured.get(f"copying-{stack}", {}).items(), key=lambda item: str(item[0])):
        depths, steps = figures.get("depths") or [], figures.get("steps") or []
        for kind in HUE:
            curve = figures.get(f"{kind}_{depths[-1]}_curve", []) if depths else []
            pairs = zip(depths, figures.get(kind, [])) if against == "depth" else zip(steps, curve)  # noqa: B905
            for x, y in pairs:
                if finite(y) and y > 0:
                    rows.append({"kind": kind, "run": f"seed {seed}", "x": x, "y": y})
                    values.setdefault((kind, x), []).append(y)
    means = [{"kind": k, "run": "mean", "x": x, "y": geometric_mean(v), "n": len(v)} for (k, x), v in values.items()]
    return rows + means


def copying_panels(evidence: Evidence, language: str = "en") -> dict[str, Any]:
    """Return charts for each measured stack: the last error against depth, the deepest stack's error against steps."""
    panels = {}
    for stack, title in STACKS.items():
        for against, x_title in (("depth", words.LAYERS), ("steps", words.STEPS)):
            rows = copying_rows(evidence, stack, against)
            if rows:
                panel_title = title(language)
                if against == "steps":
                    figures = next(iter(evidence.measured[f"copying-{stack}"].values()))
                    panel_title = DEEPEST.filled(stack=panel_title, depth=figures["depths"][-1])(language)
                panels[f"{stack}-{against}"] = _panel(rows, panel_title, x_title(language), language)
    return panels


def table(evidence: Evidence, language: str = "en") -> tuple[list[str], list[list[str]]]:
    """Return head and rows: stack, layers, and the geometric mean of the last error, plain and residual."""
    rows = []
    for stack, title in STACKS.items():
        means = {(r["kind"], r["x"]): r for r in copying_rows(evidence, stack, "depth") if r["run"] == "mean"}
        for depth in sorted({x for _, x in means}):
            pair = [means.get((kind, depth)) for kind in HUE]
            rows.append([title(language), str(depth), *(f"{r['y']:.3g}" if r else "–" for r in pair)])
    return [STACK(language), words.LAYERS(language), *HUE], rows


def _panel(rows: list[dict[str, Any]], title: str, x_title: str, language: str) -> Any:
    import altair as alt

    kinds = list(HUE)
    base = alt.Chart().encode(
        x=alt.X("x:O", title=x_title, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("y:Q", title=ERROR(language), scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", tickCount=5)),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=list(HUE.values())), legend=alt.Legend(title=None)
        ),
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["square", "circle"]))
    middle = base.transform_filter("datum.run == 'mean'")
    dots = base.transform_filter("datum.run != 'mean'").mark_point(filled=True, size=30, opacity=0.35, aria=False)
    tip = [
        alt.Tooltip("kind:N", title=words.NET(language)), alt.Tooltip("x:O", title=x_title),
        alt.Tooltip("y:Q", title=ERROR(language), format=".3g"), alt.Tooltip("n:Q", title=words.SEEDS(language)),
    ]  # fmt: skip
    points = middle.mark_point(filled=True, size=80, opacity=1, aria=False).encode(shape=shape, tooltip=tip)
    description = f"{title}: {ERROR(language)}, {x_title}; {', '.join(kinds)}."
    layers = layered(rows, dots.encode(shape=shape), middle.mark_line(strokeWidth=2, aria=False), points)
    return layers.properties(title=title, height=HEIGHT - 60, width=WIDTH, description=description)
