"""An audit as plain text: a head, a row for each item, and what departs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from textwrap import wrap
from typing import Any

from reslab.show.format import clean
from reslab.show.words import wide

ITEM, WIDTH = 12, 28  # characters of the column "item", and of the columns "paper" and "found"


def audit_text(audit: Mapping[str, Any], expected: Collection[str] = ()) -> str:
    """Return an audit (`Audit.to_dict`); `expected` are the departures that are known."""
    how = "" if audit["reference_was_given"] else " (the nearest; --reference names another)"
    departures = audit["departures"]
    unexpected = [item for item in departures if item not in expected]
    said = f"{len(departures)} of {len(audit['rows'])} items depart: {', '.join(departures)}" if departures else ""
    lines = [
        f"{clean(audit['name'])} against {audit['reference']}{how}",
        f"{said or 'nothing departs'}{'; all of them expected' if departures and not unexpected else ''}",
        "",
        _line("item", "paper", "found", ""),
    ]
    for row in audit["rows"]:
        verdict = "not judged" if "not judged" in row["found"] else "equal"
        if row["departs"]:
            verdict = "departs, expected" if row["item"] in expected else "departs"
        elif row.get("because"):
            verdict = f"follows from {', '.join(row['because'])}"
        papers, founds = (wrap(clean(row[key]), WIDTH) or [""] for key in ("paper", "found"))
        height = max(len(papers), len(founds))
        for number in range(height):
            first = number == 0
            lines.append(
                _line(
                    row["item"] if first else "",
                    papers[number] if number < len(papers) else "",
                    founds[number] if number < len(founds) else "",
                    verdict if first else "",
                )
            )
    return "\n".join(lines)


def _line(item: str, paper: str, found: str, verdict: str) -> str:
    cells = (f"{item}{' ' * (ITEM - wide(item))}", f"{paper:{WIDTH}}", f"{found:{WIDTH}}", verdict)
    return "  ".join(cells).rstrip()
