"""The pages in a real browser, from disk: drawn, quiet, alone, no wider than a phone, reached by keyboard, printed."""

from __future__ import annotations

import shutil

import pytest
from written_runs import write_run

from reslab.runs.runlog import read
from reslab.show.pages.page import publish
from reslab.show.pages.runpage import runs_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"
DRAWN = "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart[data-drawn] .marks').length"
BOXES = "[...document.querySelectorAll('.chart .marks')].map(s => s.getBoundingClientRect().toJSON())"
# every word of a chart lies inside its picture
INSIDE = """[...document.querySelectorAll('.chart .marks')].every(s => [...s.querySelectorAll('text')].every(t =>
    t.getBoundingClientRect().right <= s.getBoundingClientRect().right + 1))"""
PERSON = "document.activeElement.className || document.activeElement.tagName"


@pytest.fixture(scope="module")
def browser():
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)} looked for)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


def looked_at(browser, html, file, width):
    """Open a page, wait until it is drawn, hold it against what every page must be, and hand it on."""
    publish(html, file)
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function(DRAWN, timeout=120_000)
    boxes = page.evaluate(BOXES)
    assert boxes
    assert all(box["width"] >= 250 and box["height"] >= 40 and box["right"] <= width for box in boxes)
    assert page.evaluate(INSIDE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.title() != "broken"
    assert said == []
    assert asked == [file.as_uri()]
    return page


SLOW = pytest.mark.slow  # each width and each language is looked at in `make test`, all four in `make reliability`


@pytest.mark.parametrize(
    ("language", "width"),
    [("en", 1280), ("ko", 390), pytest.param("en", 390, marks=SLOW), pytest.param("ko", 1280, marks=SLOW)],
)
def test_study_page(browser, study_pages, tmp_path, width, language):
    page = looked_at(browser, study_pages[1][language], tmp_path / "report.html", width)
    assert page.evaluate("document.documentElement.lang") == language
    # by keyboard: first the way past everything, then the answer's table and its links, then the contents
    page.keyboard.press("Tab")
    assert page.evaluate(PERSON) == "skip"
    stops = []
    for _ in range(70):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.className"))
    assert "scroll" in stops
    assert {"#answer", "#C1", "#not-run"} <= set(stops)
    assert page.pdf()[:5] == b"%PDF-"
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
