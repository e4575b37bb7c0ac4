"""The pages in a real browser, from disk: drawn, quiet, alone, no wider than a phone, reached by keyboard, printed."""

from __future__ import annotations

import struct

import pytest
from cases import some
from written_runs import write_run

from reslab.runs.runlog import read
from reslab.show.pages.page import publish
from reslab.show.pages.report import study_page
from reslab.show.pages.runpage import runs_page

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"
SHOWN = "[...document.querySelectorAll('.chart')].filter(c => !c.closest('details:not([open])'))"
DRAWN = f"{SHOWN}.every(c => c.dataset.drawn && c.querySelector('.marks'))"
OPEN_ALL = "document.querySelectorAll('.claim, .part, .picture').forEach(d => { d.open = true; })"
PAPER = """addEventListener("beforeprint", () => {
    window.allOpen = [...document.querySelectorAll(".claim, figure > details")].every((d) => d.open);
    window.background = document.querySelectorAll(".more[open]").length;
})"""
HEIGHT = "document.documentElement.scrollHeight"
BOXES = "[...document.querySelectorAll('.chart .marks')].map(s => s.getBoundingClientRect().toJSON())"
# every word of a chart lies inside its picture
INSIDE = """[...document.querySelectorAll('.chart .marks')].every(s => [...s.querySelectorAll('text')].every(t =>
    t.getBoundingClientRect().right <= s.getBoundingClientRect().right + 1))"""
PERSON = "document.activeElement.className || document.activeElement.tagName"


def opened(browser, html, file, width):
    """Open a page and wait until what is in sight is drawn; return it with what it printed and what it asked for."""
    publish(html, file)
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function(DRAWN, timeout=120_000)
    return page, said, asked


def looked_at(browser, html, file, width):
    """Open a page and every fold of its claims, hold it against what every page must be, and hand it on."""
    page, said, asked = opened(browser, html, file, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(OPEN_ALL)
    page.wait_for_function(f"{SHOWN}.length === document.querySelectorAll('.chart').length && {DRAWN}", timeout=120_000)
    boxes = page.evaluate(BOXES)
    assert boxes
    assert all(box["width"] >= 230 and box["height"] >= 40 and box["right"] <= width for box in boxes)
    assert page.evaluate(INSIDE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.title() != "broken"
    assert said == []
    assert asked == [file.as_uri()]
    return page


@pytest.mark.parametrize(
    ("language", "width"),
    some([("ko", 390), ("en", 1280), ("en", 390), ("ko", 1280)], quick=1, names=2),
)
def test_study_page(browser, study_pages, tmp_path, width, language):
    page = looked_at(browser, study_pages[1][language], tmp_path / "report.html", width)
    assert page.evaluate("document.documentElement.lang") == language
    page.context.close()


def test_a_claim_is_reached_and_opened_by_keyboard(browser, study_pages, tmp_path):
    page, said, _ = opened(browser, study_pages[1]["en"], tmp_path / "report.html", 1280)
    page.keyboard.press("Tab")
    assert page.evaluate(PERSON) == "skip"
    page.keyboard.press("Tab")  # the first claim's line
    assert page.evaluate("document.activeElement.closest('.claim').id") == "C1"
    assert page.evaluate("document.querySelectorAll('#C1 .marks').length") == 0
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#C1 .part:first-of-type .marks').length > 0")
    stops = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        stops.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    assert {"scroll", "SUMMARY"} <= stops
    assert said == []
    page.context.close()


def test_a_link_opens_its_claim(browser, study_pages, tmp_path):
    publish(study_pages[1]["en"], tmp_path / "report.html")
    page = browser.new_page()
    page.goto(f"{(tmp_path / 'report.html').as_uri()}#C2")
    page.wait_for_function("document.getElementById('C2').open && document.querySelector('#C2 .marks')")
    assert page.evaluate("document.querySelectorAll('.claim[open]').length") == 1
    page.close()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_demo_s_page_has_its_answer_and_its_curves_on_the_first_screen(browser, demo, tmp_path, language):
    page, said, _ = opened(
        browser, study_page(demo, language, "reslab reproduce degradation"), tmp_path / "a.html", 1280
    )
    assert page.evaluate(HEIGHT) <= 6 * 900
    assert page.evaluate("document.querySelector('h1').getBoundingClientRect().top") < 100
    bottoms = page.evaluate("[...document.querySelectorAll('.lead .marks')].map(s => s.getBoundingClientRect().bottom)")
    assert len(bottoms) == 4  # against iterations and against depth
    assert max(bottoms) <= 900
    assert page.evaluate("document.querySelectorAll('.chart .marks').length") == 4
    assert said == []
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "width", "screens"), some([("en", 390, 12), ("ko", 1280, 12), ("en", 1280, 12)], quick=1, names=3)
)
def test_the_whole_report_is_short_and_a_picture_of_it_is_whole(
    browser, whole_report, tmp_path, language, width, screens
):
    page, said, _ = opened(browser, whole_report[1][language], tmp_path / "a.html", width)
    height = page.evaluate(HEIGHT)
    assert height <= screens * 900
    content = page.screenshot(full_page=True)
    assert struct.unpack(">II", content[16:24]) == (width, height)
    assert page.evaluate("document.querySelectorAll('.chart .marks').length") == 0  # folded: nothing was drawn
    one_line = "[...document.querySelectorAll('.claim > summary')].map(s => s.getBoundingClientRect().height)"
    assert max(page.evaluate(one_line)) < (45 if width == 1280 else 130)
    assert said == []
    page.context.close()


def test_opening_a_claim_draws_its_picture_and_no_other(browser, whole_report, tmp_path):
    page, said, _ = opened(browser, whole_report[1]["en"], tmp_path / "a.html", 1280)
    page.click("#C1 > summary")
    page.wait_for_function("document.querySelector('#C1 .marks')")
    page.wait_for_function(DRAWN)
    drawn = page.evaluate("[...document.querySelectorAll('.chart[data-drawn]')].map(c => c.id)")
    assert drawn
    assert all(id.startswith("C1-1-") for id in drawn)
    before = page.evaluate("document.querySelector('#C1 .marks').getBoundingClientRect().width")
    page.click("#C1 > summary")
    page.set_viewport_size({"width": 700, "height": 900})  # changed while the fold is closed
    page.click("#C1 > summary")
    page.wait_for_function(f"document.querySelector('#C1 .marks').getBoundingClientRect().width != {before}")
    assert page.evaluate("document.querySelector('#C1 .marks').getBoundingClientRect().right") <= 700
    assert said == []
    page.context.close()


def test_paper_shows_what_is_folded(browser, demo, tmp_path):
    """Claims, their pictures and the tables of these are printed open; what is only background stays away."""
    page, said, _ = opened(browser, study_page(demo), tmp_path / "a.html", 1280)
    page.evaluate(PAPER)
    assert page.pdf()[:5] == b"%PDF-"
    assert page.evaluate("[allOpen, background]") == [True, 0]
    assert page.evaluate("document.querySelectorAll('.chart:not([data-drawn])').length") == 0
    assert page.evaluate("document.querySelectorAll('.claim[open]').length") == 0  # folded again
    assert said == []
    page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_runs_page(browser, tmp_path, width):
    records = [
        read(write_run(tmp_path / name, name, seed, shown=f"{name}{HOSTILE}", name=HOSTILE, classes=[HOSTILE] * 10))
        for seed, name in enumerate(("cifar_plain20", "cifar_resnet20", "cifar_resnet8"))
    ]
    page = looked_at(browser, runs_page(records, "en", HOSTILE, [HOSTILE]), tmp_path / "report.html", width)
    assert page.evaluate("document.querySelectorAll('.chart').length") >= 4
    page.context.close()
