"""What the READMEs show of the claims is what the committed records say."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import readme  # noqa: E402


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_claims_table_is_what_the_records_say(language):
    page = readme.PAGES[language].read_text(encoding="utf-8")
    assert page.count(readme.BEGIN) == page.count(readme.END) == 1
    assert page == readme.filled(page, language), "run `python -m benchmarks.readme`"


def test_every_claim_of_the_notes_is_in_the_table():
    for language, page in readme.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert [f"| C{i} |" in text for i in range(1, 26)] == [True] * 25, language
