"""The cost of depth: MACs by layer and by map size (Fig. 3's three nets), and error against MACs.

He et al. §3.3: "if the feature map size is halved, the number of filters is doubled so as to preserve the time
complexity per layer". Costs are sums over the plan's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reslab.claims.text import Text
from reslab.nets.cost import cost, shown
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.show import words
from reslab.show.charts.chart import HEIGHT, WIDTH, data_of, depth_rows, error_panel
from reslab.show.look import HUE, VGG
from reslab.show.series import SPLITS, Runs

SIZE = Text("map size", "map 크기")
SUM = Text("sum", "합계")


def layer_costs(name: str) -> list[dict[str, Any]]:
    """Return a row for each layer with weights except projections: net, number, layer, side (of its map), macs."""
    rows = [r for r in plan(spec_of(name)) if r.is_weight_layer and r.path != "shortcut"]
    return [
        {"net": name, "number": i, "layer": r.name, "side": r.size_out, "macs": r.macs} for i, r in enumerate(rows, 1)
    ]


def size_table(names: Sequence[str] = FIG_3, language: str = "en") -> list[list[str]]:
    """Return MACs by map size, largest first: size, then each net's sum with shortcuts; the last row is the total."""
    plans = {name: plan(spec_of(name)) for name in names}
    sides = sorted({r.size_out for rows in plans.values() for r in rows if r.macs}, reverse=True)

    def total(name: str, side: int | None) -> str:
        macs = sum(r.macs for r in plans[name] if side is None or r.size_out == side)
        return shown(macs) if macs else "–"

    rows = [[f"{side}×{side}", *(total(n, side) for n in names)] for side in sides]
    return [*rows, [SUM(language), *(total(n, None) for n in names)]]


def layer_panels(language: str = "en", names: Sequence[str] = FIG_3) -> dict[str, Any]:
    """Return a chart for each net: the MACs of each layer, on the net's own scale (C24)."""
    import altair as alt

    panels = {}
    for name in names:
        rows = layer_costs(name)
        kind = next((k for k, word in (("plain", "plain"), ("residual", "resnet")) if name.startswith(word)), "")
        chart = alt.Chart(data_of(rows)).mark_bar(color=HUE.get(kind, VGG), aria=False)
        axis = alt.Axis(format="~s", tickCount=5)
        description = f"{name}: {words.MACS(language)}, {words.LAYER(language)} 1 … {len(rows)}."
        bars = chart.encode(
            x=alt.X("number:O", title=words.LAYER(language), axis=alt.Axis(labelOverlap="parity", labelAngle=0)),
            y=alt.Y("macs:Q", title=words.MACS(language), axis=axis),
            tooltip=[
                alt.Tooltip("layer:N", title=words.LAYER(language)),
                alt.Tooltip("side:Q", title=SIZE(language)),
                alt.Tooltip("macs:Q", title="MACs", format=","),
            ],
        )
        panels[name] = alt.layer(bars).properties(
            title=f"{name}: {shown(cost(spec_of(name)).macs)} MACs",
            height=HEIGHT - 90,
            width=WIDTH,
            description=description,
        )
    return panels


def macs_of(group: Runs) -> int:
    """Return the MACs of a net for one image (Table 1's "FLOPs"), from its record's spec."""
    return cost(Spec.from_dict(group.records[0].run["spec"])).macs


def macs_rows(runs: Sequence[Runs], split: str) -> list[dict[str, Any]]:
    """Return `depth_rows` with each net's MACs, sorted by MACs."""
    rows = [{**row, "macs": macs_of(group)} for group in runs for row in depth_rows([group], split)]
    return sorted(rows, key=lambda r: (r["kind"], r["macs"]))


def macs_panels(runs: Sequence[Runs], language: str = "en") -> dict[str, Any]:
    """Final error against MACs, mean and 95 % interval: a chart for each split that was measured."""
    import altair as alt

    rows_of = {split: rows for split in SPLITS if (rows := macs_rows(runs, split))}
    top = 1.05 * max((r["high"] for rows in rows_of.values() for r in rows), default=0.0) or 1.0
    scale = alt.Scale(type="log", padding=24, nice=False)
    ticks = sorted({r["macs"] for rows in rows_of.values() for r in rows})
    axis = alt.Axis(format=".3~s", values=ticks, grid=False, labelOverlap="greedy")
    x = alt.X("macs:Q", title=words.MACS(language), scale=scale, axis=axis)
    panels = {}
    for split, rows in rows_of.items():
        nets = ", ".join(r["net"] for r in rows)
        description = f"{words.MEASURES[split](language)} (%), {words.MACS(language)}: {nets}."
        panels[split] = error_panel(rows, x, split, top, language).properties(description=description)
    return panels
