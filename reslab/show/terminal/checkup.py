"""A checkup as plain text: the answer, the faults, then every finding by section and what `auto` chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from reslab.checkup.result import FAULT, NOTE, OK, counts
from reslab.show.format import clean

SUBJECT, LEAST = 18, 40  # characters of the column of subjects; least width of the text beside it


def checkup_text(checkup: Mapping[str, Any], width: int = 100) -> str:
    """Return a checkup (`Checkup.to_dict`) in lines of at most `width` characters, unless a word is longer."""
    sections = checkup["sections"]
    faults = [f for findings in sections.values() for f in findings if f["status"] == FAULT]
    lines = [*_wrapped(clean(f"{checkup['answer']} {counts(checkup)}"), "", "", width)]
    for finding in faults:
        lines += _finding(finding, width)
    for name, findings in sections.items():
        if findings:
            lines += ["", name]
        for finding in findings:
            lines += _finding(finding, width)
    if checkup["choices"]:
        lines += ["", "what `auto` chooses"]
    for choice in checkup["choices"]:
        lines += [f"  {OK:<5}  {choice['job']}"]
        workers = "1 data worker" if choice["workers"] == 1 else f"{choice['workers']} data workers"
        lines += _wrapped(clean(f"{choice['why']}; {workers}"), " " * 9, " " * 9, width)
        if choice["obstacle"]:
            lines += _wrapped(clean(choice["obstacle"]), f"  {NOTE:<5}  ", " " * 9, width)
    return "\n".join(lines)


def _finding(finding: Mapping[str, Any], width: int) -> Iterator[str]:
    remedy = f"; {finding['remedy']}" if finding["remedy"] else ""
    first = f"  {finding['status']:<5}  {clean(finding['subject']):<{SUBJECT}} "
    return _wrapped(clean(f"{finding['text']}{remedy}"), first, " " * (SUBJECT + 10), width)


def _wrapped(text: str, first: str, others: str, width: int) -> Iterator[str]:
    room = max(width, len(others) + LEAST)
    yield from wrap(
        text, room, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]
