"""What README and docs show of the claims and results is what the committed records say."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import documents  # noqa: E402
from reslab.claims.overview import overview  # noqa: E402

LONGEST = 400  # characters of a line that is no row of a table


def test_the_pages_are_what_the_records_say():
    pages = documents.documents()
    assert len(pages) == 6
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `python -m benchmarks.documents`"
        assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= LONGEST, path


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_readme_has_its_table_once(language):
    page = documents.READMES[language].read_text(encoding="utf-8")
    assert page.count(documents.MARKS.begin) == page.count(documents.MARKS.end) == 1
    assert [f"- [C{i}](" in page for i in range(1, 28)] == [True] * 27


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_readme_is_short(language):
    page = documents.READMES[language].read_text(encoding="utf-8")
    assert len(page.split()) <= 1_200
    assert max(map(len, page.splitlines())) <= LONGEST


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_answer_that_the_readme_shows_is_the_one_of_the_records(language):
    page = documents.READMES[language].read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(page) if line.startswith("$ reslab claims C8"))
    (summary,) = overview(documents.studies(), ["C8"])
    assert page[at + 1] == f"C8  {summary.claim.text(language)}"
    assert page[at + 2].endswith(" …")
    assert summary.judgements[0].sentence(language).startswith(page[at + 2].strip(" …"))
