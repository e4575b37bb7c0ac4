"""The study notes as the command line and the page show them: whole, with the records' own verdicts, pictures once."""

import html
import json
import re

import pytest
from cases import some
from test_browser import looked_at

import reslab
from reslab.api.verdicts import committed_studies
from reslab.claims.evidence import read
from reslab.claims.overview import overview
from reslab.claims.rules import HOLDS, NOT_RUN
from reslab.cli.main import main
from reslab.errors import UserError
from reslab.show.pages.notepictures import picture_of, svg_of
from reslab.show.pages.notespage import notes_page
from reslab.show.terminal.studynotes import notes_text, sections_text
from reslab.show.words import SIGNS, VERDICT, wide
from reslab.studynotes.notes import judged, sections


@pytest.fixture(scope="module")
def studies():
    return [read(folder) for folder in committed_studies()]


@pytest.fixture(scope="module")
def all_sections(studies):
    return judged(sections(), studies)


# -- the terminal


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_list_fits_one_screen(all_sections, language):
    lines = notes_text(all_sections, language).splitlines()
    assert len(lines) <= 24
    assert [line for line in lines if wide(line) > 80] == []
    assert all(any(line.split()[0] == section.id for line in lines) for section in all_sections)


def test_verdicts_are_those_of_the_records(all_sections, studies):
    """The same as `reslab claims` has; without records nothing was run."""
    verdicts = {summary.claim.id: summary.verdict for summary in overview(studies)}
    assert HOLDS in verdicts.values()
    for section in all_sections:
        assert {id: one.verdict for id, one in section.verdicts.items()} == {id: verdicts[id] for id in section.claims}
    (empty,) = judged([section for section in sections() if section.id == "002.4"], [])
    assert {summary.verdict for summary in empty.verdicts.values()} == {NOT_RUN}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_section_is_told_in_full(all_sections, language):
    (section,) = [section for section in all_sections if section.id == "002.3"]
    words = " ".join(re.sub(r"[│\s]+", " ", sections_text([section], language)).split())
    for entry in section.entries:
        assert " ".join(entry.quote.split()) in words
        assert entry.why(language) in words
        assert (entry.english in words) == (language == "en")
        assert all(f"$ {command}" in words for command in (entry.picture, *entry.commands) if command)
        for id in entry.claims:
            summary = section.verdicts[id]
            assert f"{VERDICT[summary.verdict](language)}: {summary.judgements[0].sentence(language)}" in words


def test_an_answer_stands_once(all_sections):
    text = " ".join(sections_text(all_sections).split())
    summaries = {id: summary for section in all_sections for id, summary in section.verdicts.items()}
    for id, summary in summaries.items():
        verdict = f"{id} {SIGNS[summary.verdict]} {VERDICT[summary.verdict]('en')}"
        assert text.count(f"{verdict}: {summary.judgements[0].sentence('en')}") == 1
        places = [s.id for s in all_sections for entry in s.entries if id in entry.claims]
        assert text.count(f"{verdict} (answer at {places[0]})") == len(places) - 1


def test_as_json(capsys):
    assert main(["notes", "000.1", "--json"]) == 0
    (section,) = json.loads(capsys.readouterr().out)
    assert (section["section"], section["title"]) == ("000.1", "ResNet")
    first, second = section["entries"]
    assert first["verbatim"] == "- 굉장히 deep한데 (**128 layers**) 성능이 좋다!"
    assert first["claims"][0]["id"] == "C10"
    assert (first["picture"], second["lines"]) == (None, [4, 7])


def test_in_python():
    (section,) = reslab.notes("000.5")
    assert repr(section) == "Section('000.5', 'Architecture': 4 entries)"
    assert "reslab draw vgg19 plain34 resnet34" in reslab.notes("000.5")._repr_html_()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["002.33"], "did you mean 002.3"),
        (["resnet"], "there are 000.1 to 002.5, 000, 001, 002 and all"),
        (["000.1", "--out", "page.txt"], "written as .html"),
        (["000.1", "--out", "mine.html"], "exists and is no page of reslab"),
        (["000.1", "--records", "nowhere"], "nowhere"),
    ],
)
def test_refused_in_one_line(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.html").write_text("mine")
    assert main(["notes", *words]) == 2
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1
    assert (tmp_path / "mine.html").read_text() == "mine"


# -- the pictures


@pytest.mark.parametrize(
    "command", some(dict.fromkeys(e.picture for s in sections() for e in s.entries if e.picture), quick=3)
)
def test_a_picture_is_what_its_command_writes(command, studies, tmp_path, monkeypatch, capsys):
    words = command.split()[1:]
    monkeypatch.chdir(tmp_path)
    picture = picture_of(command, studies)
    if words[0] == "describe":
        assert main(words) == 0
        assert capsys.readouterr().out == f"{picture}\n"
        return
    assert main([*words, "--out", "picture.svg"]) == 0
    drawn = [(tmp_path / "picture.svg").read_text(encoding="utf-8"), svg_of(picture)]
    first, second = (re.sub(r"clip\d+", "clip", svg) for svg in drawn)  # vega counts its clips through a process
    assert first == second


def test_without_records_a_chart_says_what_it_needs():
    with pytest.raises(UserError, match="fig6: nothing is recorded"):
        picture_of("reslab figure fig6", [])
    (section,) = judged([section for section in sections() if section.id == "002.4"], [])
    assert "nothing is recorded for it; it needs" in notes_page([section], [])


# -- the page


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_holds_every_line_and_every_picture_once(all_sections, studies, language):
    page = notes_page(all_sections, studies, language, "reslab notes all")
    words = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for section in all_sections:
        for entry in section.entries:
            assert entry.why(language) in words
            assert all(line.strip() in words for line in entry.quote.splitlines())
            assert (entry.english in words) == (language == "en" or entry.english == entry.quote)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len({*ids})
    targets = {*re.findall(r'href="#([^"]+)"', page)}
    assert targets <= {*ids}
    drawn = [e.picture for s in all_sections for e in s.entries if e.picture]
    assert page.count('<div class="shown">') == len({*drawn})


@pytest.mark.parametrize(
    ("language", "width"),
    some([("ko", 390), ("en", 1280), ("en", 390), ("ko", 1280)], quick=1, names=2),
)
def test_in_a_browser(browser, all_sections, studies, tmp_path, width, language):
    page = looked_at(browser, notes_page(all_sections, studies, language), tmp_path / "notes.html", width)
    assert page.evaluate("document.documentElement.lang") == language
    assert page.evaluate("document.querySelectorAll('blockquote[lang=ko]').length") == 59
    assert page.pdf()[:5] == b"%PDF-"
    page.context.close()
