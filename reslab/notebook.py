"""HTML tables for the `_repr_html_` of networks, records, scores and verdicts."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import SupportsIndex, TypeVar, overload

Item = TypeVar("Item")
MOST_ROWS = 200  # of a table; a net may have 1,202 layers


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with escaped content, in the notebook's own colours (light or dark)."""
    lines = [*rows]
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in lines[:MOST_ROWS])
    if len(lines) > MOST_ROWS:
        body += f'<tr><td colspan="{len(head)}">… {len(lines) - MOST_ROWS:,} more rows</td></tr>'
    return (
        f'<table><caption style="text-align:left;caption-side:top">{html.escape(caption)}</caption>'
        f"<thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    )


def percent(value: float | None) -> str:
    """Return a percentage with two decimals, or "–" if it is None or not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f} %"


def _cells(tag: str, cells: Sequence[object]) -> str:
    return "".join(f'<{tag} style="text-align:left">{html.escape(_text(cell))}</{tag}>' for cell in cells)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


class Shown(list[Item]):
    """A list whose `_repr_html_` shows its items' tables one below the other; its slices are lists of the same type."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Item: ...

    @overload
    def __getitem__(self, index: slice, /) -> Shown[Item]: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Item | Shown[Item]:
        return Shown(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def _repr_html_(self) -> str:
        return "\n".join(item._repr_html_() for item in self)  # type: ignore[attr-defined]
