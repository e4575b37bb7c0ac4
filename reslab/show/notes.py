"""What must be said of the data beside any figure made from them, such as images of a copy that are not exact."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from reslab.claims.text import Text
from reslab.runs.runlog import Record
from reslab.show.format import clean

INEXACT = re.compile(r"^(?P<parts>[\d,]+ of [\d,]+ \w+(?: and [\d,]+ of [\d,]+ \w+)*) images are not bit-exact$")
OUR_DATA = Text("data: {note}", "데이터: {note}")


def data_notes(records: Iterable[Record], language: str = "en") -> list[str]:
    """What the records say about their data; each line once."""
    found: list[Any] = []
    for record in records:
        notes = record.run["data"].get("notes")
        found += notes if isinstance(notes, list) else [notes] if notes else []
    return [said(note, language) for note in dict.fromkeys(clean(note) for note in found)]


def said(note: str, language: str) -> str:
    """A note in that language; one that is not known stays as it was recorded."""
    told = INEXACT.match(note)
    if language == "en" or not told:
        return note
    parts = re.findall(r"([\d,]+) of ([\d,]+) (\w+)", told["parts"])
    return ", ".join(f"{split} 이미지 {every}장 중 {n}장" for n, every, split in parts) + "이 bit 단위로 정확하지 않다"


def beside(records: Iterable[Record], language: str = "en") -> str:
    """The notes as a sentence for a caption, with a space before it; "" where there are none."""
    found = data_notes(records, language)
    return f" {_sentence('; '.join(found), language)}" if found else ""


def data_words(records: Iterable[Record], language: str = "en", others: Iterable[str] = ()) -> str:
    """Which data records are of, and what must be said of them, as a sentence with a space before it; "" for none.

    others   names of data that are drawn without a record
    """
    of: dict[str, list[Record]] = {clean(name): [] for name in others}
    for record in records:
        of.setdefault(clean(record.run["data"].get("name", "?")), []).append(record)
    notes = {name: data_notes(there, language) for name, there in of.items()}
    told = [f"{name} ({'; '.join(found)})" if found else name for name, found in notes.items()]
    return f" {_sentence(', '.join(told), language)}" if told else ""


def _sentence(note: str, language: str) -> str:
    said = OUR_DATA.filled(note=note)(language)
    return f"{said[:1].upper()}{said[1:]}."
