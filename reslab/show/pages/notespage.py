"""The page of the study notes: each line with its translation, why, picture, verdicts and commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.claims.text import Text
from reslab.errors import UserError
from reslab.show.charts.chart import unvalidated
from reslab.show.drawings.canvas import Picture
from reslab.show.format import clean
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Drawn, Figure
from reslab.show.pages.notepictures import picture_of
from reslab.show.pages.page import page
from reslab.show.pages.papertables import PaperTable
from reslab.show.terminal.studynotes import NOTE, commands_of, verdicts_of
from reslab.studynotes.notes import Entry, Section

WORDS = {
    "all": Text("The study notes, line by line", "공부 노트를 한 줄씩"),
    "some": Text("Study notes {ids}, line by line", "공부 노트 {ids}, 한 줄씩"),
    "about": Text(
        "Three Korean study notes on “Deep Residual Learning for Image Recognition” (He et al. 2015). For each line: "
        "the note's words, what is right about them, the claim's verdict by our records, a picture and the commands.",
        "“Deep Residual Learning for Image Recognition”(He et al. 2015)을 정리한 노트 세 편이다. 줄마다 노트의 말, "
        "맞고 틀린 점, 우리 기록에 따른 판정, 그림, 명령을 실었다.",
    ),
    "formulas": Text(
        "Formulas are set in plain characters; the notes' own pictures are redrawn.",
        "수식은 일반 문자로 옮겼고, 노트의 그림은 다시 그렸다.",
    ),
    "contents": Text("Contents", "목차"),
    "command": Text("This page:", "이 페이지를 만드는 명령:"),
    "repeated": Text("The picture is at", "그림은 다음 절에 있다:"),
}


@dataclass(frozen=True)
class Shown:
    """The picture of an entry: a drawing, a figure of charts, a table or text; or else a remark, or where it is."""

    id: str
    title: str
    svg: str = ""
    width: int = 0
    figure: Figure | None = None
    table: PaperTable | None = None
    text: str = ""
    remark: str = ""
    same_as: str = ""


@unvalidated()
def notes_page(
    sections: Sequence[Section], studies: Sequence[Evidence], language: str = "en", command: str = ""
) -> str:
    """Return the page of some sections as one HTML document; every picture is on it once.

    studies   the records that the charts are drawn from
    command   the command that makes this page
    """
    shelf = Shelf()
    pictures: dict[str, Shown] = {}
    answered: dict[str, str] = {}
    parts = []
    for note, group in groupby(sections, key=lambda section: section.note):
        shown = []
        for section in group:
            about = section.about(language)
            entries = [
                _entry(entry, section, language, answered)
                | {"picture": _shown(entry.picture, section.id, studies, language, shelf, pictures)}
                for entry in section.entries
            ]
            shown.append({"id": section.id, "title": section.title or about, "about": about, "entries": entries})
        parts.append((NOTE.filled(id=note)(language), shown))
    ids = [section.id for section in sections] if len(parts) == 1 else []
    chosen = ", ".join(ids if len(ids) == 1 else {section.note for section in sections})
    title = (WORDS["some"].filled(ids=chosen) if ids else WORDS["all"])(language)
    words = {name: text(language) for name, text in WORDS.items()}
    return page(
        "notes.html.j2", language, shelf if shelf.sets else None, title=title, w=words, notes=parts, command=command
    )


def _entry(entry: Entry, section: Section, language: str, answered: dict[str, str]) -> dict[str, Any]:
    lines = entry.quote.splitlines()
    return {
        "quote": [(len(line) - len(line.lstrip()), line.lstrip()) for line in lines],  # indent, words
        "english": entry.english if language == "en" else "",
        "why": entry.why(language),
        "verdicts": verdicts_of(entry, section, language, answered),
        "commands": "\n".join(commands_of(entry)),
    }


def _shown(
    command: str, section: str, studies: Sequence[Evidence], language: str, shelf: Shelf, pictures: dict[str, Shown]
) -> Shown | None:
    """Return a picture for the page, or a link to the section that has it already; None without a command."""
    if not command:
        return None
    if command in pictures:
        return Shown("", "", same_as=pictures[command].id.partition("-")[0])
    id = f"{section}-picture-{len(pictures)}"
    try:
        picture = picture_of(command, studies, language)
    except UserError as error:
        return Shown(id, command, remark=str(error))
    if isinstance(picture, Picture):
        shown = Shown(id, picture.title, svg=picture.svg, width=round(picture.width))
    elif isinstance(picture, PaperTable):
        shown = Shown(id, picture.title(language), table=picture)
    elif isinstance(picture, Drawn):
        panels = shelf.panels(id, picture.panels)
        title, caption = picture.title(language), clean(picture.caption(language))
        figure = Figure(id, title, caption, panels, picture.head, picture.rows)
        shown = Shown(id, title, figure=figure)
    else:
        shown = Shown(id, command, text=picture)
    pictures[command] = shown
    return shown
