"""The page in a real browser, from disk: drawn, quiet, alone, and no wider than a phone."""

from __future__ import annotations

import shutil

import pytest

from reslab.claims.degradation import judge
from reslab.show.report import degradation_page, publish

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"
BOXES = "[...document.querySelectorAll('.chart .marks')].map(s => s.getBoundingClientRect().toJSON())"


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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("hostile", ["", HOSTILE], ids=["plain names", "hostile names"])
def test_page(browser, study, tmp_path, width, hostile):
    records = study(hostile=hostile, **({"name": hostile, "classes": [hostile] * 10} if hostile else {}))
    file = tmp_path / "report.html"
    publish(degradation_page(judge(records), records, f"reslab reproduce degradation {hostile}", [hostile]), file)
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.chart .marks').length === 4")
    page.wait_for_timeout(300)
    boxes = page.evaluate(BOXES)
    assert all(box["width"] >= 250 and box["height"] >= 250 and box["right"] <= width for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.title() != "broken"
    # every line of the legend lies inside its picture
    assert page.evaluate(
        "[...document.querySelectorAll('.chart .marks')].every(s => [...s.querySelectorAll('text')].every(t =>"
        " t.getBoundingClientRect().right <= s.getBoundingClientRect().right + 1))"
    )
    # by keyboard: the first stop is the first chart's menu, then come tables
    stops = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        stops.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    assert {"scroll", "SUMMARY"} <= stops
    assert said == []
    assert asked == [file.as_uri()]
    context.close()
