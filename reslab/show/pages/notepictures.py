"""The pictures of the study notes: what a `reslab draw`, `figure` or `describe` command of an entry shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.options.network import Switches
from reslab.show.charts.chart import rendered, unvalidated
from reslab.show.drawings.blocks import draw_blocks
from reslab.show.drawings.canvas import Picture
from reslab.show.drawings.nets import draw_nets
from reslab.show.drawings.table import draw_table
from reslab.show.pages.figures import Drawn
from reslab.show.pages.papertables import PaperTable
from reslab.show.pages.pictures import CHARTS, DEFINED, TABLES, drawn_of, joined, records_of, table_of, telling
from reslab.show.terminal.walk import describe_text

NotePicture = Picture | PaperTable | Drawn | str


@unvalidated()
def picture_of(command: str, studies: Sequence[Evidence], language: str = "en") -> NotePicture:
    """Return what a command shows: a drawing, a table, a chart, or the text of `describe`.

    studies   whose records are drawn, chosen as `reslab figure` chooses without folders
    Raises UserError if nothing was recorded for it.
    """
    _, verb, *words = shlex.split(command)
    names, switches = _parsed(words)
    if verb == "describe":
        return describe_text(spec_of(*names, **switches))
    if verb == "draw":
        if "--blocks" in words:
            return draw_blocks(language=language)
        return draw_nets([spec_of(name, **switches) for name in names or FIG_3], language)
    (name,) = names
    sources = [] if name in DEFINED else list(studies) if name == "table6" else telling(name, studies)
    if name in TABLES:
        return table_of(name, records_of(sources), language)
    assert name in CHARTS
    return drawn_of(name, records_of(sources), sources, language)


def title_of(picture: NotePicture, language: str = "en") -> str:
    """Return a picture's title, or "" for text."""
    if isinstance(picture, str):
        return ""
    return picture.title if isinstance(picture, Picture) else picture.title(language)


@unvalidated()
def svg_of(picture: NotePicture, language: str = "en") -> str:
    """Return a drawing, table or chart as SVG. Raises TypeError for text."""
    if isinstance(picture, Picture):
        return picture.svg
    if isinstance(picture, PaperTable):
        return draw_table(picture.title(language), picture.head, picture.rows, picture.caption(language)).svg
    if isinstance(picture, Drawn):
        chart = joined(picture, picture.title(language), picture.caption(language))
        return rendered(chart, ".svg").decode()
    raise TypeError("text is no picture")


def _parsed(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the names of a command and its switches with their values; --blocks is no switch."""
    names: list[str] = []
    switches: dict[str, Any] = {}
    rest = iter(word for word in words if word != "--blocks")
    for word in rest:
        if not word.startswith("--"):
            names.append(word)
            continue
        key, text = word[2:].replace("-", "_"), next(rest)
        read = Switches.described()[key].about.read
        switches[key] = text if read is None else read(word, text)
    return names, switches
