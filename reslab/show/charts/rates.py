"""Charts of a run's progress: running training loss and learning rate against iterations (§3.4, §4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reslab.claims.text import Text
from reslab.show import words
from reslab.show.charts.chart import HEIGHT, WIDTH, colours_of, data_of
from reslab.show.series import Runs, finite, room, thinned

SEED, LAST_LOSS = Text("seed", "seed 번호"), Text("last training loss", "마지막 training loss")
PARTS: dict[str, Text] = {"loss": words.LOSS, "lr": words.RATE}


def progress_rows(runs: Sequence[Runs], key: str) -> list[dict[str, Any]]:
    """Return a row per logged iteration, thinned: net, run ("seed 0"), iteration, value of `key` ("loss" or "lr")."""
    rows: list[dict[str, Any]] = []
    most = room(sum(len(group.records) for group in runs))
    for group in runs:
        for r in group.records:
            lines = [m for m in r.metrics if m["kind"] == "train" and finite(m.get(key))]
            points = thinned([(m["iteration"], m[key]) for m in lines], most)
            keys = {"net": group.label, "run": f"seed {r.seed}"}
            rows += [{**keys, "iteration": x, "value": float(f"{y:.4g}")} for x, y in points]
    return rows


def progress_table(runs: Sequence[Runs], language: str = "en") -> tuple[list[str], list[list[str]]]:
    """Return head and rows: net, seed, the last logged iteration of each run, and its running loss."""
    rows = []
    for group in runs:
        for r in group.records:
            lines = [m for m in r.metrics if m["kind"] == "train" and finite(m.get("loss"))]
            if lines:
                rows.append([group.label, str(r.seed), f"{lines[-1]['iteration']:,}", f"{lines[-1]['loss']:.4f}"])
    return [words.NET(language), SEED(language), words.ITERATIONS(language), LAST_LOSS(language)], rows


def progress_panels(runs: Sequence[Runs], language: str = "en") -> dict[str, Any]:
    """Return charts of "loss" and "lr": a line for each run, a colour for each net."""
    panels = {}
    for key, title in PARTS.items():
        rows = progress_rows(runs, key)
        if rows:
            panels[key] = _panel(rows, runs, title(language), language, step=key == "lr")
    return panels


def _panel(rows: list[dict[str, Any]], runs: Sequence[Runs], title: str, language: str, step: bool) -> Any:
    import altair as alt

    colours = colours_of(runs)
    nets = [net for net in colours if any(r["net"] == net for r in rows)]
    least, most = min(r["value"] for r in rows), max(r["value"] for r in rows)
    scale = alt.Scale(type="log", domain=[least / 1.1, most * 1.1], nice=False) if least > 0 else alt.Scale()
    mark: dict[str, Any] = {"interpolate": "step-before"} if step else {}
    x_title = words.ITERATIONS(language)
    return (
        alt.Chart(data_of(rows))
        .mark_line(strokeWidth=1.6, aria=False, point={"size": 50, "opacity": 0}, **mark)
        .encode(
            x=alt.X("iteration:Q", title=x_title, scale=alt.Scale(domainMin=0, nice=False),
                    axis=alt.Axis(format="~s", tickCount=6, grid=False)),
            y=alt.Y("value:Q", title=title, scale=scale,
                    axis=alt.Axis(format="~g", tickCount=5)),
            color=alt.Color("net:N", scale=alt.Scale(domain=nets, range=[colours[n] for n in nets]),
                            legend=alt.Legend(title=None, columns=2 if max(map(len, nets)) < 18 else 1,
                                              labelLimit=320)),
            detail=alt.Detail("run:N"),
            tooltip=[alt.Tooltip("net:N", title=words.NET(language)), alt.Tooltip("run:N", title=" "),
                     alt.Tooltip("iteration:Q", title=x_title, format=","),
                     alt.Tooltip("value:Q", title=title, format=".4g")],
        )
        .properties(title=title, height=HEIGHT - 60, width=WIDTH, description=f"{title}, {x_title}: {', '.join(nets)}.")
    )  # fmt: skip
