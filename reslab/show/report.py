"""A study as one HTML file: it opens from disk, offline, and asks nobody for anything.

The drawing libraries are inlined once; each chart's specification stands beside them as JSON in which no character
can end a script element. Names of classes, models and folders come from outside: everything is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from reslab.claims.degradation import MARGIN, Judgement, Trend
from reslab.show import tables
from reslab.show.charts import ceiling, curve_panels, depth_panels, styled
from reslab.store.files import write_text
from reslab.training.runlog import Record

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Panel:
    """One chart of a page: its element's id, its words for those who do not see it, its specification as JSON."""

    id: str
    words: str
    json: str


@dataclass(frozen=True)
class Verdict:
    """One claim's card: what is claimed, the verdict's word, the figures that it stands on."""

    claim: str
    word: str
    figures: str


def degradation_page(judgement: Judgement, records: Sequence[Record], command: str, notes: Sequence[str] = ()) -> str:
    """The page of the degradation study.

    judgement   of the finished ones among `records`
    records     every run of the study, unfinished ones too (their curves are drawn, they are in no mean)
    command     the exact command that makes this page
    notes       departures from the paper, or whatever else a reader must know; one line each
    Returns a whole HTML document (about 1 MB, nearly all of it the drawing libraries).
    """
    run: dict[str, Any] = records[0].run if records else {"recipe": {}, "data": {}}
    done = sum(r.finished for r in records)
    return page(
        "degradation.html.j2",
        title=f"Plain and residual networks by depth: {tables.value(run['data'].get('name'))}",
        summary=f"{done} of {len(records)} runs finished, {judgement.iterations:,} iterations each",
        sentence=judgement.sentence,
        verdicts=[
            Verdict("A plain net's training error rises with depth", judgement.plain, trend(judgement.plain_trend)),
            Verdict("A residual net's does not", judgement.residual, trend(judgement.residual_trend)),
        ],
        margin=MARGIN,
        curves=panels("curve", curve_panels(records)),
        top=ceiling(records),
        by_depth=panels("depth", depth_panels(judgement.cells)),
        cells=tables.cell_table(judgement.cells),
        runs=tables.run_table(records),
        recipe=tables.recipe_table(run["recipe"]),
        choices=tables.choice_table(run["recipe"]) if run["recipe"] else [],
        machine=tables.machine_table(records),
        command=command,
        departures=[*tables.departures(records), *notes],
    )


def trend(found: Trend | None) -> str:
    """A trend's figures in words: "8 to 44 layers: +16.4 points, 95 % interval +14.0 to +18.8, n = 3"."""
    if found is None:
        return "not run at two depths"
    told = f"{found.shallow} to {found.deep} layers: {found.mean:+.2f} points of training error"
    if found.n > 1:
        told += f", 95 % interval {found.low:+.2f} to {found.high:+.2f}"
    return f"{told}, n = {found.n}"


def panels(prefix: str, charts: dict[str, Any]) -> list[Panel]:
    """Altair charts as panels whose width is their container's."""
    made = []
    for key, chart in charts.items():
        spec = styled(chart.to_dict())
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
        made.append(Panel(f"{prefix}-{key}", spec["description"], inert(spec)))
    return made


def inert(thing: Any) -> str:
    """JSON that can stand inside a script element: no character of it opens or closes a tag or a comment."""
    text = json.dumps(thing, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@lru_cache(maxsize=1)
def libraries() -> str:
    """vega, vega-lite and vega-embed as one script that can stand inside a script element."""
    import vl_convert

    script = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    lowered = script.lower()
    if "</script" in lowered or "<!--" in lowered:  # neither occurs in the versions known; both would break the page
        script = script.replace("</", "<\\/").replace("<!--", "<\\!--")
    return script


def page(template: str, **values: Any) -> str:
    """Fill a template of this package. Whatever it prints is escaped but for the inlined libraries and JSON."""
    import jinja2
    from markupsafe import Markup

    house = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    house.filters["verbatim"] = Markup
    return house.get_template(template).render(libraries=Markup(libraries()), **values)


def publish(html: str, path: Path) -> None:
    """Write a page in one step: a reader sees the old page or the new one, never a part."""
    write_text(path, html)
