"""Charts inside an HTML file that fetches nothing: the drawing libraries, specifications, points.

The points of a page's charts are stored once, packed by columns, however many charts show them; specifications refer
to them by a hash. All of it is JSON in which no character can end a script element.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

from reslab.show.charts.chart import specification
from reslab.show.format import clean


def inert(thing: Any) -> str:
    """Return JSON that is safe inside a script element: no character of it opens or closes a tag or a comment."""
    text = json.dumps(thing, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@lru_cache(maxsize=1)
def libraries() -> str:
    """Return vega, vega-lite and vega-embed as one script that is safe inside a script element."""
    import vl_convert

    script = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    lowered = script.lower()
    if "</script" in lowered or "<!--" in lowered:  # neither occurs in the versions known; both would break the page
        script = script.replace("</", "<\\/").replace("<!--", "<\\!--")
    return script


def fitted(chart: Any) -> dict[str, Any]:
    """Return an Altair chart's specification, styled, as wide as its container."""
    return specification(chart) | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


@dataclass(frozen=True)
class Panel:
    """One chart of a page: its element's id, its words for those who do not see it, its specification as JSON."""

    id: str
    words: str
    json: str


@dataclass
class Shelf:
    """The points of a page's charts, each set once: hash → packed rows."""

    sets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def panels(self, prefix: str, charts: Mapping[str, Any]) -> list[Panel]:
        """Return Altair charts as panels as wide as their container; their points go to the shelf."""
        panels = []
        for key, chart in charts.items():
            spec = self._taken(fitted(chart))
            panels.append(Panel(f"{prefix}-{key}", clean(spec["description"]), inert(_finite(spec))))
        return panels

    def _taken(self, part: Any) -> Any:
        """Return a part of a specification with every list of points replaced by its name."""
        if isinstance(part, list):
            return [self._taken(p) for p in part]
        if not isinstance(part, dict):
            return part
        if isinstance(part.get("datasets"), dict):
            names = {old: self._put(rows) for old, rows in part["datasets"].items()}
            return _renamed({k: v for k, v in part.items() if k != "datasets"}, names)
        if isinstance(part.get("values"), list) and all(isinstance(r, dict) for r in part["values"]) and part["values"]:
            return {"name": self._put(part["values"])}
        return {k: self._taken(v) for k, v in part.items()}

    def _put(self, rows: Sequence[Mapping[str, Any]]) -> str:
        packed_rows = packed(rows)
        name = "d" + hashlib.sha256(json.dumps(packed_rows, sort_keys=True).encode()).hexdigest()[:10]
        self.sets[name] = packed_rows
        return name


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    if isinstance(part, list):
        return [_renamed(p, names) for p in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"name"} and part["name"] in names:
        return {"name": names[part["name"]]}
    return {k: _renamed(v, names) for k, v in part.items()}


def packed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rows by columns; a column with repeated values is stored as [value, times, value, times …].

    A missing key is null, and so is a number that is not finite; the page's script leaves both out again.
    """
    columns: dict[str, Any] = {}
    for key in dict.fromkeys(k for row in rows for k in row):
        values = [_finite(row.get(key)) for row in rows]
        runs = [(v, len(list(same))) for v, same in groupby(values, key=lambda v: (type(v), v))]
        plain = 2 * len(runs) > len(values)
        columns[key] = {"v": values} if plain else {"r": [x for (_, v), times in runs for x in (v, times)]}
    return {"n": len(rows), "c": columns}


def unpacked(packed_rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of `packed`, as the page's script does."""
    rows: list[dict[str, Any]] = [{} for _ in range(packed_rows["n"])]
    for key, column in packed_rows["c"].items():
        values = column.get("v")
        if values is None:
            pairs = zip(column["r"][::2], column["r"][1::2], strict=True)
            values = [v for v, times in pairs for _ in range(times)]
        for row, v in zip(rows, values, strict=True):
            if v is not None:
                row[key] = v
    return rows


def _finite(thing: Any) -> Any:
    """Return the value as JSON can hold it: a number that is not finite is null."""
    if isinstance(thing, float) and not math.isfinite(thing):
        return None
    if isinstance(thing, dict):
        return {k: _finite(v) for k, v in thing.items()}
    return [_finite(v) for v in thing] if isinstance(thing, list | tuple) else thing
