"""Chart of C25: the test error without one block, for each block of residual nets and a plain one."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.claims.experiments.removal import MEASUREMENT, nets
from reslab.claims.text import Text
from reslab.nets.names import spec_of
from reslab.show import words
from reslab.show.charts.chart import HEIGHT, WIDTH, layered
from reslab.show.look import SHADES, shades
from reslab.show.series import finite

PLACE = Text("place of the removed block (0: first, 1: last)", "뺀 block의 위치(0: 처음, 1: 끝)")
ERROR = Text("test error without the block (%)", "block을 뺀 test error (%)")
BLOCK = Text("block", "block")
TITLE = Text("Test error without one block", "block 하나를 뺐을 때의 test error")
NET = Text("{kind} {depth}", "{kind} {depth}층")
KINDS = {"plain": Text("plain", "plain"), "residual": Text("residual", "residual")}


def removal_rows(evidence: Evidence, language: str = "en") -> list[dict[str, Any]]:
    """Return a row for each net and block: net, kind, depth, block, place in [0, 1], mean error in percent, n."""
    rows: list[dict[str, Any]] = []
    measured = evidence.measured.get(MEASUREMENT, {}).values()
    for word, net in nets(evidence.setting).items():
        spec = spec_of(net.model)
        kind = "residual" if spec.residual else "plain"
        label = NET.filled(kind=KINDS[kind](language), depth=spec.depth)(language)
        errors: dict[str, list[float]] = {}
        for figures in measured:
            for block, error in (figures.get(f"{word}_without") or {}).items():
                if finite(error):
                    errors.setdefault(block, []).append(error)
        last = max(len(errors) - 1, 1)
        for number, (block, values) in enumerate(errors.items()):
            rows.append(
                {
                    "net": label, "kind": kind, "depth": spec.depth, "block": block, "place": number / last,
                    "error": fmean(values), "n": len(values),
                }
            )  # fmt: skip
    return rows


def removal_panels(evidence: Evidence, language: str = "en") -> dict[str, Any]:
    """One chart, or none if nothing was measured."""
    import altair as alt

    rows = removal_rows(evidence, language)
    if not rows:
        return {}
    colours: dict[str, str] = {}
    for kind in SHADES:
        of_kind = {row["net"]: row["depth"] for row in rows if row["kind"] == kind}
        colours |= dict(zip(of_kind, shades(kind, list(of_kind.values())), strict=True))
    base = alt.Chart().encode(
        x=alt.X("place:Q", title=PLACE(language), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("error:Q", title=ERROR(language), scale=alt.Scale(domain=[0, 100])),
        color=alt.Color(
            "net:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=alt.Legend(title=None),
        ),
    )
    tip = [
        alt.Tooltip("net:N", title=words.NET(language)),
        alt.Tooltip("block:N", title=BLOCK(language)),
        alt.Tooltip("error:Q", title=ERROR(language), format=".2f"),
        alt.Tooltip("n:Q", title=words.SEEDS(language)),
    ]
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=["plain", "residual"], range=["square", "circle"]), legend=None)
    points = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(shape=shape, tooltip=tip)
    chart = layered(rows, base.mark_line(strokeWidth=1.5, aria=False), points)
    description = f"{TITLE(language)}: {', '.join(colours)}."
    data = evidence.setting.data  # the figure around it has the title
    return {"removal": chart.properties(title=data, height=HEIGHT, width=WIDTH, description=description)}


def table(evidence: Evidence, language: str = "en") -> tuple[list[str], list[list[str]]]:
    """Head and rows: net, block, mean error without it."""
    head = [words.NET(language), BLOCK(language), ERROR(language), words.SEEDS(language)]
    rows = removal_rows(evidence, language)
    return head, [[row["net"], row["block"], f"{row['error']:.2f}", str(row["n"])] for row in rows]
