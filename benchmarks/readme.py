"""Writes the claims table of README.md and README.ko.md from the records in results/: `python -m benchmarks.readme`.

`tests/test_readme.py` fails where a table is not what the records say.
"""

from __future__ import annotations

from pathlib import Path

from reslab.claims.evidence import STUDY, read
from reslab.claims.overview import overview
from reslab.show.terminal.verdicts import claims_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"en": ROOT / "README.md", "ko": ROOT / "README.ko.md"}
BEGIN, END = "<!-- claims: from results/ -->", "<!-- claims end -->"


def table(language: str) -> str:
    """The table that the committed records give."""
    studies = [read(path.parent) for path in sorted((ROOT / "results").glob(f"*/{STUDY}"))]
    return claims_markdown(overview(studies), language)


def filled(page: str, language: str) -> str:
    """`page` with what stands between the two marks replaced."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(language)}\n{END}{tail}"


def main() -> None:
    for language, path in PAGES.items():
        path.write_text(filled(path.read_text(encoding="utf-8"), language), encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
