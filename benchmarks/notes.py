"""Writes docs/notes.md, docs/notes.ko.md and docs/img/notes/ from the study notes' entries and the records in results/.

`python -m benchmarks.notes [--check]`. With `--check` nothing is written, and the exit status is 1 if a page, a drawing
or the set of pictures is out of date. Charts are not compared: how they are set depends on the machine's fonts.
"""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from functools import cache
from itertools import groupby
from pathlib import Path

from benchmarks import documents
from benchmarks.marked import Marks
from reslab.claims.catalogue import EXPERIMENTS, catalogue, default_setting
from reslab.claims.text import LANGUAGES, Text
from reslab.show.drawings.canvas import Picture
from reslab.show.pages.notepictures import NotePicture, picture_of, svg_of, title_of
from reslab.show.pages.notespage import WORDS
from reslab.show.terminal.studynotes import NOTE, commands_of, verdicts_of
from reslab.studynotes.notes import Entry, Section, judged, sections, systems

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"en": ROOT / "docs" / "notes.md", "ko": ROOT / "docs" / "notes.ko.md"}
PICTURES = ROOT / "docs" / "img" / "notes"
WIDTH, NO_BREAK = 120, "\u00a0"
MARKS = Marks("<!-- notes: from reslab/studynotes/ and results/ -->", "<!-- notes end -->")
SYSTEMS = Text("Systems", "시스템")
SYSTEMS_ABOUT = Text(
    "What the notes describe and what therefore must work, with the commands that show it.",
    "노트에 나오는, 그래서 실제로 동작해야 하는 것과 그것을 보여 주는 명령이다.",
)
SYSTEM_HEAD = Text("| id | what | in | commands |", "| 번호 | 내용 | 위치 | 명령 |")
CLAIMS = Text("Claims", "주장")
CLAIMS_ABOUT = Text(
    "Where each claim is in the notes, and the file of its rule. [The claims](claims.md) has verdicts and figures.",
    "주장이 노트 어디에 있는지와 규칙 파일이다. 판정과 값은 [주장](claims.ko.md)에 있다.",
)
CLAIM_HEAD = Text("| id | what | in | rule |", "| 번호 | 주장 | 위치 | 규칙 |")
ELSEWHERE = Text("not in the notes", "노트에 없음")


studies = cache(documents.studies)


@cache
def picture(command: str) -> NotePicture:
    """Return what a command shows, in English."""
    return picture_of(command, studies())


def commands_with_pictures() -> list[str]:
    """Return the commands whose pictures are files: those that show a drawing, a table or a chart."""
    commands = dict.fromkeys(e.picture for section in sections() for e in section.entries if e.picture)
    return [command for command in commands if not command.startswith("reslab describe")]


def file_of(command: str) -> Path:
    """Return the file of a command's picture: `reslab draw --blocks` is draw-blocks.svg."""
    words = [word.removeprefix("--").replace(",", "-") for word in shlex.split(command)[1:]]
    return PICTURES / f"{'-'.join(words)}.svg"


def content(language: str) -> str:
    """Return what stands between the two marks: the notes, the systems, the claims."""
    parts = []
    answered: dict[str, str] = {}
    for note, group in groupby(judged(sections(), studies()), key=lambda section: section.note):
        parts.append(f"## {NOTE.filled(id=note)(language).capitalize()}")
        for section in group:
            parts.append(f"### {section.id} {section.title or section.about(language)}")
            parts += [_entry(entry, section, language, answered) for entry in section.entries]
    return "\n\n".join([*parts, _systems(language), _claims(language)])


def _entry(entry: Entry, section: Section, language: str, answered: dict[str, str]) -> str:
    parts = [_quoted(entry.quote)]
    if language == "en":
        parts.append(_wrapped(f"“{_escaped(entry.english)}”"))
    parts.append(_wrapped(_escaped(entry.why(language))))
    verdicts = verdicts_of(entry, section, language, answered)
    if verdicts:
        items = [f"- {_link(v.id, language)} **{v.words}**{_escaped(v.end(language))}" for v in verdicts]
        lines = [_wrapped(item, indent="  ") for item in items]
        parts.append("\n".join(lines))
    if entry.picture.startswith("reslab describe"):
        parts.append(f"```text\n{picture(entry.picture)}\n```")
    elif entry.picture and _is_first(entry, section):
        title = title_of(picture(entry.picture), language)
        parts.append(f"![{title}]({file_of(entry.picture).relative_to(ROOT / 'docs').as_posix()})")
    elif entry.picture:
        parts.append(f"{WORDS['repeated'](language)} {_first_section(entry.picture)}")
    return "\n\n".join([*parts, "```sh\n" + "\n".join(commands_of(entry)) + "\n```"])


def _first_section(command: str) -> str:
    return next(section.id for section in sections() for entry in section.entries if entry.picture == command)


def _is_first(entry: Entry, section: Section) -> bool:
    return _first_section(entry.picture) == section.id


def _quoted(text: str) -> str:
    """Return a note's lines as a Markdown quotation that keeps its lists and its line breaks."""
    lines = text.splitlines()
    quoted = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        marked = _escaped(line)
        is_item, item_follows = line.lstrip().startswith("- "), following.lstrip().startswith("- ")
        ends_list = bool(following) and not item_follows and line.startswith((" ", "-")) and following[0] != " "
        breaks = bool(following) and not item_follows and not ends_list
        indent = " " * (len(line) - len(line.lstrip()) + (2 if is_item else 0))
        wrapped = _wrapped(f"{marked}{chr(92) if breaks else ''}", indent)
        quoted += [f"> {part}" for part in wrapped.splitlines()]
        if ends_list or (item_follows and not is_item and not line.startswith(" ")):
            quoted.append(">")
    return "\n".join(quoted)


def _wrapped(text: str, indent: str = "") -> str:
    """Return a paragraph in lines of at most WIDTH columns, those after the first indented; none begins with a mark."""
    first = " " * (len(text) - len(text.lstrip()))
    glued = re.sub(r" ([-+>#=]|\d+\.)(?= )", rf"{NO_BREAK}\1", text.lstrip())  # such lines are lists or headings
    lines = textwrap.wrap(
        glued, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return "\n".join(lines).replace(NO_BREAK, " ")


def _escaped(text: str) -> str:
    """Return a line whose characters Markdown takes as they are; the mark of a list's item stays one."""
    text = re.sub(r"([*_<|`]|(?<=\])\()", r"\\\1", text)  # "](" would be a link
    text = re.sub(r"^(\s*)([#[])", r"\1\\\2", text)
    return re.sub(r"^(\s*\d+)\.", r"\1\\.", text)


def _systems(language: str) -> str:
    rows = []
    for system in systems():
        places = ", ".join(dict.fromkeys(section for section, _ in system.entries))
        commands = " · ".join(f"`{command}`" for command in system.commands)
        rows.append(f"| {system.id} | {system.what(language)} | {places} | {commands} |")
    head = [SYSTEM_HEAD(language), "|---|---|---|---|"]
    return "\n\n".join([f"## {SYSTEMS(language)}", SYSTEMS_ABOUT(language), "\n".join([*head, *rows])])


def _claims(language: str) -> str:
    files = {
        claim.id: Path(experiment.__file__ or "").relative_to(ROOT).as_posix()
        for experiment in EXPERIMENTS
        for claim in experiment.claims(default_setting("digits"))
    }
    rows = []
    for claim in catalogue(default_setting("digits")):
        places = ", ".join(section.id for section in sections() if claim.id in section.claims) or ELSEWHERE(language)
        what = _escaped(claim.text(language))
        rows.append(f"| {_link(claim.id, language)} | {what} | {places} | `{files[claim.id]}` |")
    head = [CLAIM_HEAD(language), "|---|---|---|---|"]
    return "\n\n".join([f"## {CLAIMS(language)}", CLAIMS_ABOUT(language), "\n".join([*head, *rows])])


def _link(claim: str, language: str) -> str:
    return f"[{claim}](claims{'' if language == 'en' else '.ko'}.md#{claim.lower()})"


def filled(page: str, language: str) -> str:
    """Return `page` with what stands between the two marks renewed."""
    return MARKS.fill(page, f"\n{content(language)}\n")


def outdated() -> list[str]:
    """Return what differs from the entries and records: pages, drawings, missing and superfluous pictures."""
    differing = []
    for language in LANGUAGES:
        page = PAGES[language].read_text(encoding="utf-8")
        differing += [] if page == filled(page, language) else [PAGES[language].name]
    commands = {file_of(command): command for command in commands_with_pictures()}
    differing += [path.name for path in sorted({*commands} ^ {*PICTURES.iterdir()})]
    for path, command in commands.items():
        is_drawing = isinstance(picture(command), Picture)
        if path.is_file() and is_drawing and path.read_text(encoding="utf-8") != svg_of(picture(command)):
            differing.append(path.name)
    return differing


def main(words: list[str]) -> int:
    if "--check" in words:
        differing = outdated()
        print(f"out of date: {', '.join(differing) or 'none'}")
        return int(bool(differing))
    for language, path in PAGES.items():
        path.write_text(filled(path.read_text(encoding="utf-8"), language), encoding="utf-8")
        print(path.name)
    PICTURES.mkdir(parents=True, exist_ok=True)
    commands = {file_of(command): command for command in commands_with_pictures()}
    for path in {*PICTURES.iterdir()} - {*commands}:
        path.unlink()
    for path, command in commands.items():
        path.write_text(svg_of(picture(command)), encoding="utf-8")
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
