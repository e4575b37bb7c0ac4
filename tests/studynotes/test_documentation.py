"""docs/notes.md and docs/notes.ko.md are what the entries and the committed records give, and read as Markdown."""

import re
import sys

import pytest
from house import ROOT
from markdown_it import MarkdownIt

sys.path.insert(0, str(ROOT))

from benchmarks import notes
from reslab.claims.catalogue import catalogue, default_setting
from reslab.studynotes.notes import sections, systems

MOST_BYTES = 1_000_000  # of all pictures


def test_pages_and_pictures_are_up_to_date():
    assert notes.outdated() == [], "run `python -m benchmarks.notes`"
    assert sum(path.stat().st_size for path in notes.PICTURES.iterdir()) < MOST_BYTES


def test_a_stale_page_is_reported(tmp_path, monkeypatch):
    stale = tmp_path / "notes.md"
    stale.write_text(notes.PAGES["en"].read_text(encoding="utf-8").replace("does not hold", "holds"), encoding="utf-8")
    monkeypatch.setitem(notes.PAGES, "en", stale)
    assert "notes.md" in notes.outdated()
    assert notes.main(["--check"]) == 1


def text_of(token):
    return "".join(part.content if part.type == "text" else " " for part in token.children)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_markdown_shows_the_words_as_they_are(language):
    """Rendered, each quotation has the note's words, and each translation and reason is one paragraph."""
    tokens = MarkdownIt().parse(notes.PAGES[language].read_text(encoding="utf-8"))
    shown, paragraphs, depth = [], set(), 0
    for token in tokens:
        depth += (token.type == "blockquote_open") - (token.type == "blockquote_close")
        if token.type == "blockquote_open" and depth == 1:
            shown.append([])
        if depth and token.type == "inline":
            shown[-1] += text_of(token).split()
        elif token.type == "inline":
            paragraphs.add(" ".join(text_of(token).split()))
    for entry in (entry for section in sections() for entry in section.entries):
        assert entry.why(language) in paragraphs
        assert (f"“{entry.english}”" in paragraphs) == (language == "en")
    quotes = [entry.quote.splitlines() for section in sections() for entry in section.entries]
    assert shown == [[w for line in lines for w in line.strip().removeprefix("- ").split()] for lines in quotes]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_section_system_and_claim_stands_on_the_page(language):
    page = notes.PAGES[language].read_text(encoding="utf-8")
    assert [s.id for s in sections() if page.count(f"\n### {s.id} ") != 1] == []
    assert [s.id for s in systems() if page.count(f"\n| {s.id} | ") != 1] == []
    ids = [claim.id for claim in catalogue(default_setting("digits"))]
    assert [id for id in ids if page.count(f"\n| [{id}](") != 1] == []
    targets = {target for target in re.findall(r"\]\(([^)]+)\)", page) if not target.startswith("http")}
    assert {"claims.md#c1", "claims.ko.md#c1"} & targets
    for target in targets:
        path, _, heading = target.partition("#")
        linked = ROOT / "docs" / path
        assert linked.is_file(), target
        assert not heading or f"\n## {heading.upper()}\n" in linked.read_text(encoding="utf-8"), target
