"""The page: complete, in order, self-contained, and no name from outside is ever markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from reslab.claims.degradation import judge
from reslab.show.report import degradation_page, inert, publish
from reslab.show.tables import departures, run_table, seconds, spread
from reslab.training.recipe import OPEN_CHOICES
from reslab.training.runlog import Record

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028'\"{{7*7}}"
COMMAND = "reslab reproduce degradation --out 'a & b'"


class Outline(HTMLParser):
    """Tags with their attributes, and the text outside script and style."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inside, self.json = [], [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else self.inside
        if tag == "script" and dict(attrs).get("type") == "application/json":
            self.inside = "json"

    def handle_endtag(self, tag):
        self.inside = "" if tag in ("script", "style") else self.inside

    def handle_data(self, data):
        if self.inside == "json":
            self.json.append(json.loads(data))
        elif not self.inside:
            self.text.append(data)


def made(records, notes=()):
    return degradation_page(judge(records), records, COMMAND, notes)


def test_the_page_is_complete_and_in_order(study):
    records = study()
    page = Outline(made(records, ["a note of the caller"]))
    words = " ".join(page.text)
    order = [
        "Plain and residual networks by depth", "Answer", judge(records).sentence, "holds", "Error against iterations",
        "errors above 30 % are cut off",
        "Final error against depth", "Every run", "Recipe", "What the paper leaves open", "Data, hardware", "Command",
        COMMAND, "Departures from the paper", "a note of the caller",
    ]  # fmt: skip
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    for field in records[0].run["recipe"]:
        assert field in words
    for field, said in OPEN_CHOICES.items():
        assert field in words
        assert said in words
    cell = next(c for c in judge(records).cells if c.model == "cifar_plain44")
    assert spread(cell.train_mean, cell.train_std, 3) in words
    assert sum(text == "cifar_plain44" for text in page.text) == 3


def test_the_libraries_are_inlined_once_and_nothing_is_fetched(study):
    html = made(study())
    assert len(html.encode()) < 3_000_000
    page = Outline(html)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert not any("src" in attrs for attrs in scripts)
    assert len([s for s in scripts if not s]) == 2  # the libraries, and the few lines that draw
    assert len(page.json) == 4
    assert not any("$schema" in spec for spec in page.json)
    assert not any(attrs.get("href", "data:").startswith("http") for _, attrs in page.tags)
    assert "sourceMappingURL" not in html


def test_each_figure_has_words_and_a_table(study):
    page = Outline(made(study()))
    charts = [attrs for tag, attrs in page.tags if attrs.get("class") == "chart"]
    assert len(charts) == 4
    assert all("percent" in attrs["aria-label"] for attrs in charts)
    tables = [attrs for tag, attrs in page.tags if attrs.get("class") == "scroll"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-labelledby"] for attrs in tables)


def test_names_from_outside_are_text(study):
    records = study(depths=(8, 20), seeds=(0,), hostile=HOSTILE, name=HOSTILE, source=HOSTILE, classes=[HOSTILE, "b"])
    html = degradation_page(judge(records), records, HOSTILE, [HOSTILE])
    page = Outline(html)
    assert not [attrs for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert HOSTILE not in html
    assert len(page.json) == 4  # each is whole JSON still
    assert "{{7*7}}" in " ".join(page.text)


def test_json_in_a_page_ends_no_script():
    text = inert({"a": HOSTILE})
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == {"a": HOSTILE}


def test_nothing_finished_and_nothing_at_all(study):
    whole = study(depths=(8,), seeds=(0,))
    cut = [Record(r.folder, r.run, tuple(m for m in r.metrics if m["kind"] != "end")) for r in whole]
    html = made(cut)
    assert "0 of 2 runs finished" in html
    assert "600, unfinished" in html
    assert "No run has ended yet." in html
    assert "No run has a measured error yet." in made([])


def test_time_adds_up_over_resumes(study):
    record = study(depths=(8,), seeds=(0,))[0]
    lines = [
        {"kind": "train", "iteration": 10, "clock": {"seconds": 5.0}},
        {"kind": "resume", "iteration": 10},
        {"kind": "train", "iteration": 20, "clock": {"seconds": 4.0}},
        {"kind": "end", "iteration": 20, "clock": {"seconds": 4.5}},
    ]
    resumed = Record(record.folder, record.run, tuple(lines))
    assert seconds(resumed) == 9.5
    assert run_table([resumed]) == [["cifar_plain8", "0", "–", "–", "20", "10 s"]]


def test_departures_are_read_from_the_records(study):
    found = departures(study(depths=(8, 20), seeds=(0,)))
    assert "the data are digits, not CIFAR-10" in found
    assert "nets of 8 layers are not in the paper" in found
    assert "batch is 64, in the paper 128" in found
    assert not any(line.startswith(("warmup", "eval_every", "holdout")) for line in found)
    assert departures([]) == []


def test_publish_replaces_the_whole_file(tmp_path):
    publish("<p>ä</p>", tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == "<p>ä</p>"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]
