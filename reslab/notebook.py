"""HTML tables for notebooks: what `_repr_html_` of networks, records, scores and verdicts returns."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import SupportsIndex, TypeVar, overload

Item = TypeVar("Item")
MOST_ROWS = 200  # of a table; a net of 1,202 layers is not read row by row


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with everything in it escaped. Colours are the notebook's own, light or dark."""
    lines = [*rows]
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in lines[:MOST_ROWS])
    if len(lines) > MOST_ROWS:
        body += f'<tr><td colspan="{len(head)}">… {len(lines) - MOST_ROWS:,} more rows</td></tr>'
    return (
        f'<table><caption style="text-align:left;caption-side:top">{html.escape(caption)}</caption>'
        f"<thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    )


def percent(value: float | None) -> str:
    """Return a percentage with two places, or "–" for one that a record has as None or that is not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f} %"


def _cells(tag: str, cells: Sequence[object]) -> str:
    return "".join(f'<{tag} style="text-align:left">{html.escape(_text(cell))}</{tag}>' for cell in cells)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


class Shown(list[Item]):
    """A list that a notebook shows as the tables of its items, one below the other; so are its slices."""

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Item: ...

    @overload
    def __getitem__(self, place: slice, /) -> Shown[Item]: ...

    def __getitem__(self, place: SupportsIndex | slice, /) -> Item | Shown[Item]:
        return Shown(super().__getitem__(place)) if isinstance(place, slice) else super().__getitem__(place)

    def _repr_html_(self) -> str:
        return "\n".join(item._repr_html_() for item in self)  # type: ignore[attr-defined]
