"""`notes`: the study notes line by line, with the verdicts of their claims; or one page of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from reslab.api.arguments import takes
from reslab.api.verdicts import problems_of, studies_found
from reslab.claims.evidence import read
from reslab.errors import UserError
from reslab.notebook import Shown
from reslab.options.pages import NotesOptions
from reslab.studynotes.notes import ALL, Section, chosen, judged


@takes(NotesOptions)
def notes(section: str = ALL, *, options: NotesOptions, tell: Callable[[str], None] | None = None) -> list[Section]:
    """Return sections of the study notes, each line with its translation, why, verdicts and commands.

    section    "002.3" (a section), "002" (a note), or "all"
    {options}
    tell       called with each problem of the records: what is damaged, missing or unchecked
    With `out` it also writes them as one HTML page with their pictures. Raises UserError for an unknown section, a
    folder that is no study, and a file that is in the way.
    """
    unjudged = chosen(section)
    if options.out is not None:
        _check(options.out, options.overwrite)
    folders = studies_found() if options.records is None else options.records
    studies = [read(Path(folder)) for folder in folders]
    for problem in problems_of(studies):
        if tell is not None:
            tell(f"problem: {problem}")
    sections = judged(unjudged, studies)
    if options.out is not None:
        from reslab.show.pages.files import writing
        from reslab.show.pages.notespage import notes_page

        language = ["--lang", options.lang] if options.lang != "en" else []
        command = shlex.join(["reslab", "notes", section, *language, "--out", str(options.out)])
        html = notes_page(sections, studies, options.lang, command)
        with writing(options.out) as aside:
            aside.write_text(html, encoding="utf-8")
    return Shown(sections)


def _check(path: Path, overwrite: bool) -> None:
    """Refuse another kind of file, and a file in the way that is no page of reslab."""
    from reslab.show.pages.page import is_ours

    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {path}: a page of the notes is written as .html; end the name in it")
    if path.is_dir() or (path.exists() and not overwrite and not is_ours(path)):
        raise UserError(f"--out {path}: exists and is no page of reslab; choose another name, or add --overwrite")
