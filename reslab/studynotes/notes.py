"""The notes' sections and their entries, and the systems that they ask for, read from this folder's data files.

`note-NNN.md` is a note as its author wrote it. `note-NNN.toml` has an entry for each few lines of it: these lines in
English, why they are right or wrong, the claims and systems in them, a command that draws the picture, and others that
show it. `systems.toml` names the systems.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from reslab.claims.evidence import Evidence
from reslab.claims.overview import ClaimSummary, overview
from reslab.claims.text import Text
from reslab.errors import UserError, suggest
from reslab.notebook import table
from reslab.studynotes.quote import readable

NOTES = ("000", "001", "002")
ALL = "all"


@dataclass(frozen=True)
class Entry:
    """A few lines of a note and what is shown for them.

    lines      the first and the last of them, counted from 1
    verbatim   these lines as the note has them
    english    their translation
    why        why it is right or wrong, by the measurements
    claims     ids of the claims in them
    systems    ids of the systems in them
    picture    the command that draws the picture, or ""
    commands   the other commands that show it
    """

    lines: tuple[int, int]
    verbatim: str
    english: str
    why: Text
    claims: tuple[str, ...]
    systems: tuple[str, ...]
    picture: str
    commands: tuple[str, ...]

    @property
    def quote(self) -> str:
        """The note's words as readable text, without its pictures and layout."""
        return readable(self.verbatim)


@dataclass(frozen=True)
class Section:
    """A section of a note.

    id        "002.3"; "002.intro" is what precedes the first heading or below the note's title
    title     the note's own heading, or ""
    heading   its line, or None
    about     the section in a few words
    verdicts  the claims of its entries with their verdicts, by id; empty before `judged`
    """

    id: str
    title: str
    heading: int | None
    about: Text
    entries: tuple[Entry, ...]
    verdicts: Mapping[str, ClaimSummary] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """The note's number: "002"."""
        return self.id.partition(".")[0]

    @property
    def claims(self) -> tuple[str, ...]:
        """Ids of the claims in its entries, each once."""
        return tuple(dict.fromkeys(claim for entry in self.entries for claim in entry.claims))

    def __repr__(self) -> str:
        return f"Section({self.id!r}, {self.title!r}: {len(self.entries)} entries)"

    def _repr_html_(self) -> str:
        rows = [
            (
                entry.quote,
                entry.english,
                entry.why("en"),
                ", ".join(f"{id} {self.verdicts[id].verdict}" for id in entry.claims if id in self.verdicts),
                "; ".join(filter(None, (entry.picture, *entry.commands))),
            )
            for entry in self.entries
        ]
        return table(f"{self.id} {self.title}", ("the note", "in English", "why", "verdicts", "commands"), rows)


@dataclass(frozen=True)
class System:
    """What the notes describe and what therefore must work.

    id        such as "S1"
    what      in words
    entries   (section's id, entry) of each entry that names it
    commands  their commands that show it, each once
    """

    id: str
    what: Text
    entries: tuple[tuple[str, Entry], ...]
    commands: tuple[str, ...]


def text_of(note: str) -> str:
    """Return a note as its author wrote it."""
    return (files(__package__) / f"note-{note}.md").read_text(encoding="utf-8")


@cache
def sections() -> tuple[Section, ...]:
    """Return every section of the notes, first to last, without verdicts."""
    return tuple(
        _section(values, text_of(note).splitlines())
        for note in NOTES
        for values in _data(f"note-{note}.toml")["section"]
    )


@cache
def systems() -> tuple[System, ...]:
    """Return the systems that the notes ask for."""
    return tuple(_system(id, values) for id, values in _data("systems.toml").items())


def chosen(word: str) -> list[Section]:
    """Return the sections that a word names: "002.3", "002" or "all". Raises UserError for any other word."""
    matches = [section for section in sections() if word.lower() in (ALL, section.note, section.id)]
    if not matches:
        ids = [section.id for section in sections()]
        known = [*ids, *NOTES, ALL]
        raise UserError(
            f"notes: {word!r} is no section{suggest(word, known)}; there are {ids[0]} to {ids[-1]}, "
            f"{', '.join(NOTES)} and {ALL}"
        )
    return matches


def judged(unjudged: Iterable[Section], studies: Iterable[Evidence]) -> list[Section]:
    """Return the sections with their claims' verdicts on the records of these studies."""
    plain = list(unjudged)
    ids = dict.fromkeys(claim for section in plain for claim in section.claims)
    summaries = {summary.claim.id: summary for summary in overview(studies, ids)} if ids else {}
    return [replace(section, verdicts={id: summaries[id] for id in section.claims}) for section in plain]


def _data(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / name).read_text(encoding="utf-8"))


def _system(id: str, values: dict[str, Any]) -> System:
    entries = tuple((s.id, entry) for s in sections() for entry in s.entries if id in entry.systems)
    commands = dict.fromkeys(c for _, entry in entries for c in (entry.picture, *entry.commands) if c)
    verbs = values.get("verbs")
    shown = (command for command in commands if verbs is None or command.split()[1] in verbs)
    return System(id, Text(values["en"], values["ko"]), entries, tuple(shown))


def _section(values: dict[str, Any], lines: list[str]) -> Section:
    heading = values.get("heading")
    title = "" if heading is None else lines[heading - 1].lstrip("# ")
    entries = tuple(_entry(entry, lines) for entry in values["entry"])
    return Section(values["id"], title, heading, Text(**values["about"]), entries)


def _entry(values: dict[str, Any], lines: list[str]) -> Entry:
    first, last = values["lines"]
    return Entry(
        (first, last),
        "\n".join(lines[first - 1 : last]),
        values["english"],
        Text(**values["why"]),
        tuple(values.get("claims", ())),
        tuple(values.get("systems", ())),
        values.get("picture", ""),
        tuple(values["commands"]),
    )
