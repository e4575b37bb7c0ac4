"""The study notes for a terminal: the list of sections on one screen, and sections line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reslab.claims.text import Text
from reslab.show.words import SIGNS, VERDICT, wide, wrapped
from reslab.studynotes.notes import Entry, Section

WIDTH, SCREEN = 100, 80  # columns of sections in full, and of the list
TITLE = Text(
    "The three study notes, line by line: what is right, and what shows it",
    "노트 세 편을 한 줄씩: 맞는 말인지, 무엇으로 확인하는지",
)
NOTE = Text("note {id}", "노트 {id}")
GO_ON = Text(
    "One section: reslab notes 000.1   a page: reslab notes all --out notes.html",
    "절: reslab notes 000.1  페이지: reslab notes all --out notes.html  (--lang ko)",
)
SEE = Text("answer at {section}", "답은 {section}")


def notes_text(sections: Sequence[Section], language: str = "en") -> str:
    """Return one screen: each section with what it is about and the verdicts of its claims, and how to go on."""
    lines = [TITLE(language)]
    for note, group in groupby(sections, key=lambda section: section.note):
        lines.append(NOTE.filled(id=note)(language))
        for section in group:
            about = section.about(language)
            verdicts = " ".join(f"{id}{SIGNS[summary.verdict]}" for id, summary in section.verdicts.items())
            lines.append(f" {section.id:10}{about}{' ' * (35 - wide(about))}{verdicts}".rstrip())
    signs = "  ".join(f"{sign} {VERDICT[verdict](language)}" for verdict, sign in SIGNS.items())
    return "\n".join([*lines, *wrapped(signs, SCREEN), GO_ON(language)])


def sections_text(sections: Sequence[Section], language: str = "en") -> str:
    """Return sections in full: the note's words, their translation, why, the claims' verdicts, the commands."""
    answered: dict[str, str] = {}
    return "\n\n".join(_section(section, language, answered) for section in sections)


def _section(section: Section, language: str, answered: dict[str, str]) -> str:
    head = f"{section.id}  {section.title or section.about(language)}"
    return "\n\n".join([head, *(_entry(entry, section, language, answered) for entry in section.entries)])


def _entry(entry: Entry, section: Section, language: str, answered: dict[str, str]) -> str:
    lines = []
    for line in entry.quote.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"  │ {indent}{part}" for part in wrapped(line, WIDTH - 4 - len(indent))]
    if language == "en":
        lines += _wrapped(f"“{entry.english}”", "  ")
    lines += _wrapped(entry.why(language), "  ")
    for verdict in verdicts_of(entry, section, language, answered):
        lines += _wrapped(f"{verdict.id} {verdict.words}{verdict.end(language)}", "  ")
    return "\n".join([*lines, *(f"  $ {command}" for command in commands_of(entry))])


def commands_of(entry: Entry) -> list[str]:
    """Return every command of an entry: what draws its picture, what shows it, and its claims in full."""
    claims = [f"reslab claims {' '.join(entry.claims)}"] if entry.claims else []
    return [*([entry.picture] if entry.picture else []), *entry.commands, *claims]


@dataclass(frozen=True)
class Verdict:
    """A claim of an entry: its id, its verdict in words, and the answer by the records, or the section that has it."""

    id: str
    words: str
    answer: str
    answered_at: str = ""

    def end(self, language: str) -> str:
        """Return what follows the verdict in running text."""
        return f" ({self.see(language)})" if self.answered_at else f": {self.answer}"

    def see(self, language: str) -> str:
        """Return where the answer is."""
        return SEE.filled(section=self.answered_at)(language)


def verdicts_of(entry: Entry, section: Section, language: str, answered: dict[str, str]) -> list[Verdict]:
    """Return the verdicts of an entry's claims.

    answered   claim to the section with its answer, which later entries name instead; it gains this entry's claims
    """
    verdicts = []
    for id in entry.claims:
        summary = section.verdicts[id]
        words = f"{SIGNS[summary.verdict]} {VERDICT[summary.verdict](language)}"
        if id in answered:
            verdicts.append(Verdict(id, words, "", answered[id]))
        else:
            answered[id] = section.id
            judgement = summary.judgements[0]
            caveat = f" {judgement.caveat(language)}" if judgement.caveat else ""
            verdicts.append(Verdict(id, words, f"{judgement.sentence(language)}{caveat}"))
    return verdicts


def notes_json(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return plain types: sections with their entries, and the verdicts of their claims."""
    return [
        {
            "section": section.id,
            "title": section.title,
            "about": section.about.en,
            "about_ko": section.about.ko,
            "entries": [
                {
                    "lines": list(entry.lines),
                    "verbatim": entry.verbatim,
                    "quote": entry.quote,
                    "english": entry.english,
                    "why": entry.why.en,
                    "why_ko": entry.why.ko,
                    "claims": [
                        {"id": id, "verdict": section.verdicts[id].verdict, "claim": section.verdicts[id].claim.text.en}
                        for id in entry.claims
                    ],
                    "systems": list(entry.systems),
                    "picture": entry.picture or None,
                    "commands": commands_of(entry),
                }
                for entry in section.entries
            ],
        }
        for section in sections
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    return [indent + line for line in wrapped(text, WIDTH - len(indent))]
