"""What `reslab audit` finds in 21 nets: `python -m benchmarks.audits` renews the tables of docs/audit.md and its twin.

What it has to find was written down before its code, in `tests/conformance/expected.toml`;
`tests/conformance/test_audit.py` holds the audits to that file and the pages to the audits.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from benchmarks.audited import built
from benchmarks.marked import Marks
from reslab.conformance.audit import Audit, audit

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"en": ROOT / "docs" / "audit.md", "ko": ROOT / "docs" / "audit.ko.md"}
EXPECTED: dict[str, Any] = tomllib.loads((ROOT / "tests/conformance/expected.toml").read_text(encoding="utf-8"))
MARKS = Marks("<!-- audits: python -m benchmarks.audits -->", "<!-- audits end -->")
HEADS = {
    "en": "| net | against | departs: found | follows from it |",
    "ko": "| 네트워크 | 비교 대상 | 다른 항목과 그 내용 | 그래서 달라진 것 |",
}
NOTHING = {"en": "nothing", "ko": "없음"}


def table_row(name: str, result: Audit, language: str) -> str:
    """Return the line of one net of the page's table."""
    departs = "<br>".join(f"`{row.item}`: {row.found}" for row in result.rows if row.departs) or NOTHING[language]
    because = ", ".join(row.item for row in result.rows if row.because)
    return f"| {name.replace('_', ' ')} | `{result.reference}` | {departs} | {because} |"


def main() -> None:
    results = {name: audit(built(name), expected["reference"]) for name, expected in EXPECTED.items()}
    for language, page in PAGES.items():
        rows = [table_row(name, result, language) for name, result in results.items()]
        table = "\n".join([HEADS[language], "|---|---|---|---|", *rows])
        page.write_text(MARKS.fill(page.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
