"""The verb on the study notes: notes."""

from __future__ import annotations

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.pages import NotesOptions


@command(options=NotesOptions)
def notes(section: str | None = None, /, *, options: Given, json_: Json = False) -> None:
    """Read the study notes line by line: what is right, and what shows it.

    Without a section, the list of sections. With --out, a page with pictures; its path is the last word printed.

    Parameters
    ----------
    section
        such as 002.3, a note (000, 001, 002), or all
    json_
        print JSON: section, title, and for each entry lines, quote, english, why, claims, picture, commands
    """
    from reslab.api.notes import notes as read
    from reslab.show.terminal.studynotes import notes_json, notes_text, sections_text
    from reslab.studynotes.notes import ALL

    page, language = NotesOptions.of(options).out, NotesOptions.of(options).lang
    sections = read(section or ALL, **options, tell=say)
    if page is not None:
        show(page.resolve())
    elif json_:
        print_json(notes_json(sections))
    else:
        show(notes_text(sections, language) if section is None else sections_text(sections, language))
