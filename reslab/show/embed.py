"""Charts inside an HTML file that asks nobody for anything: the drawing libraries inlined once, specifications as JSON.

`chart_page` is a page of one picture; a whole report has templates of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from reslab.show.charts import styled
from reslab.show.plain import clean
from reslab.show.svg import FONT

POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
* {{ box-sizing: border-box; }}
body {{ margin: 0; padding: 1rem; color: #1c1f23; background: white; font: 16px/1.5 {font}; }}
main {{ max-width: 70rem; margin: 0 auto; }}
h1 {{ font-size: 1.25rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }}
figure {{ margin: 0; }}
figcaption, .soft {{ color: #59616b; font-size: .9rem; max-width: 46rem; margin: .75rem 0; }}
.panels {{ display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }}
.chart {{ width: 100%; min-width: 0; }}
.chart svg {{ max-width: 100%; height: auto; }}
.vega-embed {{ width: 100%; }}
.vega-embed.has-actions {{ padding-right: 0 !important; }}
.scroll {{ overflow-x: auto; border: 1px solid #d9dde2; border-radius: .4rem; }}
.scroll:focus-visible, summary:focus-visible {{ outline: 3px solid #0062a0; outline-offset: 2px; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .75rem; border-bottom: 1px solid #d9dde2; }}
td, thead th {{ white-space: pre; }}
th[scope=row] {{ white-space: pre-line; min-width: 10rem; }}
thead th {{ background: #f6f7f9; }}
tbody tr:last-child > * {{ border-bottom: 0; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<figure>
<div class="panels">
{panels}</div>
<figcaption>{caption}</figcaption>
</figure>
{table}</main>
<script>{libraries}</script>
<script>
for (const source of document.querySelectorAll("script[data-chart]")) {{
  const place = document.getElementById(source.dataset.chart);
  vegaEmbed(place, JSON.parse(source.textContent), {{
    mode: "vega-lite", renderer: "svg", config: {{ font: "system-ui, Segoe UI, Roboto, Arial, sans-serif" }},
    downloadFileName: source.dataset.chart, actions: {{ export: true, source: false, compiled: false, editor: false }},
  }}).catch((error) => {{ place.textContent = error.message; }});
}}
</script>
</body>
</html>
"""
PANEL = """<div class="chart" id="{id}" role="group" aria-label="{words}"></div>
<script type="application/json" data-chart="{id}">{json}</script>
"""


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


def fitted(chart: Any) -> dict[str, Any]:
    """An Altair chart's specification, styled, as wide as its container."""
    return styled(chart.to_dict()) | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    """A table that scrolls by itself, by hand or by keyboard; "" without rows."""
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in row[1:])}</tr>\n'
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{_text(title)}" tabindex="0">\n'
        f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _text(cell: str) -> str:
    """One cell, escaped; its line ends stay."""
    return "\n".join(escape(clean(line)) for line in cell.split("\n"))


def chart_page(
    charts: Mapping[str, Any], title: str, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]],
    language: str = "en",
) -> str:  # fmt: skip
    """One figure as one HTML file (about 1 MB, nearly all of it the drawing libraries)."""
    made = []
    for number, chart in enumerate(charts.values()):
        spec = fitted(chart)
        words = escape(clean(spec.get("description", title)))
        made.append(PANEL.format(id=f"chart-{number}", words=words, json=inert(spec)))
    return PAGE.format(
        language=language, policy=POLICY, title=escape(clean(title)), font=FONT, panels="".join(made),
        caption=escape(clean(caption)), table=html_table(head, rows, title), libraries=libraries(),
    )  # fmt: skip
