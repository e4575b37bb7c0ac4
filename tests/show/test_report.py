"""The pages: the answer first, every claim with its figures and runs, both languages; names from outside are text."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import altair as alt
import pytest
from altair.utils.schemapi import SchemaValidationError
from written_runs import COMMAND, INEXACT, ITERATIONS, judged, write_run, write_study

from reslab.api.reports import report
from reslab.claims.catalogue import default_setting
from reslab.claims.evidence import net
from reslab.claims.ledger import order
from reslab.claims.overview import is_exploratory
from reslab.claims.rules import NOT_RUN
from reslab.errors import UserError
from reslab.runs.openchoices import OPEN_BEYOND, OPEN_CHOICES
from reslab.runs.runlog import Record, read
from reslab.show import choices, words
from reslab.show.pages.embed import packed, unpacked
from reslab.show.pages.page import is_ours, publish
from reslab.show.pages.report import study_page
from reslab.show.pages.runpage import runs_page
from reslab.show.scores import class_table, score_head, score_table, wilson
from reslab.show.tables import departures, difference_table, run_table
from reslab.show.terminal.verdicts import EXPLORATORY
from reslab.show.words import VERDICT
from reslab.store.sealed import read_sealed, write_sealed

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028'\"{{7*7}}"


class Outline(HTMLParser):
    """Tags with their attributes, and the text outside script and style."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inside, self.json, self.headings, self.ids = [], [], "", [], [], []
        self.heading = False
        self.feed(html)
        self.words = re.sub(r"\s+", " ", " ".join(self.text))

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.tags.append((tag, said))
        self.ids += [said["id"]] if "id" in said else []
        column = tag == "th" and said.get("scope") == "col"
        self.heading = column or tag in ("h1", "h2", "h3", "h4", "summary") or (self.heading and tag == "span")
        self.inside = tag if tag in ("script", "style") else self.inside
        if tag == "script" and said.get("type") == "application/json":
            self.inside = "json"

    def handle_endtag(self, tag):
        self.inside = "" if tag in ("script", "style") else self.inside
        self.heading = False

    def handle_data(self, data):
        if self.inside == "json":
            self.json.append(json.loads(data))
        elif not self.inside:
            self.text.append(data)
            self.headings += [data.strip()] if self.heading and data.strip() else []


@pytest.fixture(scope="module")
def pages(study_pages):
    """Every claim on both studies, the page in each language, and its outline."""
    told, made = study_pages
    return told, {language: (html, Outline(html)) for language, html in made.items()}


def test_the_answer_stands_first_and_all_is_there(pages):
    told, made = pages
    page = made["en"][1]
    wanted = ["study_title", "claims", "paper_tables", "nets", "recipe", "departures", "machine", "command"]
    said = [words.PAGE[key].en for key in wanted]
    places = [next(i for i, h in enumerate(page.headings) if h == one) for one in said]
    assert places == sorted(places)
    for one in told:
        assert one.claim.id in page.ids
        assert re.sub(r"\s+", " ", one.claim.text.en) in page.words
        assert (re.sub(r"\s+", " ", one.sentence.en) in page.words) or one.verdict == NOT_RUN
        assert VERDICT[one.verdict].en in page.words
    assert len(page.ids) == len(set(page.ids))
    links = {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    assert links <= set(page.ids)
    assert COMMAND in page.words
    assert set(OPEN_CHOICES) <= set(page.words.split())
    # each says which came first, the rule or the runs
    trained = [one for one in told if one.seeds and one.verdict != NOT_RUN]
    for language, (_, outline) in made.items():
        for said in {order(one.claim.id, one.evidence.beginning)(language) for one in trained}:
            wanted = sum(order(one.claim.id, one.evidence.beginning)(language) == said for one in trained)
            assert outline.words.count(said) == wanted, said
        # and those whose rule is younger than their runs say so before their answer
        marked = sum(is_exploratory(one) for one in told if one.seeds)
        assert marked > 0
        assert outline.words.count(f"{EXPLORATORY(language)}: ") == marked


def levels(page):
    return [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4", "h5")]


def test_no_heading_skips_a_level(pages, tmp_path):
    runs = [read(write_run(tmp_path / name, name, 0)) for name in ("cifar_resnet20", "cifar_plain8")]
    made = [page for _, page in pages[1].values()]
    for page in (*made, Outline(runs_page(runs)), Outline(runs_page(runs[:1], "ko"))):
        found = levels(page)
        assert found[0] == 1
        assert found.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(found))


def test_inexact_data_are_told_wherever_a_cifar_figure_stands(pages):
    told, made = pages
    html = made["en"][0]
    for part in re.split(r'<(?:div|details) class="part">', html)[1:]:
        about = re.search(r'-statements-caption">[^<(]*\((\w+)', part)[1]
        assert (INEXACT in part.partition('class="more"')[0]) == (about == "cifar10")
    trained = [j for j in told if j.evidence.setting.data == "cifar10" and j.seeds and j.verdict != NOT_RUN]
    assert html.count(INEXACT) >= len(trained) + 2  # at the answer and under Table 6, too


def test_each_language_says_everything_in_its_own_words(pages):
    _, made = pages
    both = {key: (text.en.strip(), text.ko.strip()) for key, text in words.PAGE.items()}
    both |= {f"{k}{i}": (t.en, t.ko) for k, row in words.HEADS.items() for i, t in enumerate(row)}
    assert [k for k, (en, ko) in both.items() if not en or not ko] == []
    alike = {k for k, (en, ko) in both.items() if en == ko}
    assert alike == set()
    english, korean = made["en"][1], made["ko"][1]
    assert ("html", {"lang": "en"}) in english.tags
    assert ("html", {"lang": "ko"}) in korean.tags
    assert {en for en, _ in both.values()} & set(korean.headings) == set()
    assert set(choices.CHOICES_KO) == set(OPEN_CHOICES)
    assert set(choices.BEYOND_KO) == set(OPEN_BEYOND)
    remarks = [*OPEN_CHOICES.values(), *(remark for _, remark in OPEN_BEYOND.values())]
    assert all(remark in english.words for remark in remarks)
    assert not any(remark in korean.words for remark in remarks)


def test_it_is_small_self_contained_and_every_figure_has_words(pages):
    _, made = pages
    for html, page in made.values():
        assert len(html.encode()) < 3_000_000
        assert not any("src" in a for tag, a in page.tags if tag == "script")
        assert not any(a.get("href", "data:").startswith("http") for _, a in page.tags)
        charts = [a for _, a in page.tags if a.get("class") == "chart"]
        assert len(charts) > 30
        assert all(a["aria-label"].strip() and a["role"] == "group" for a in charts)
        scrolls = [a for _, a in page.tags if a.get("class") == "scroll"]
        assert all(a["tabindex"] == "0" and set(a["aria-labelledby"].split()) <= set(page.ids) for a in scrolls)


def test_points_stand_once_and_come_back_whole(pages):
    _, made = pages
    *specs, sets = made["en"][1].json
    text = json.dumps(specs)
    assert all(f'"{name}"' in text for name in sets)  # none that no chart shows
    assert '"values": [{' not in text
    rows = [{"a": 1, "b": "x"}, {"a": 1, "b": "x"}, {"a": 2.5, "c": True}, {"a": True}, {"b": "x", "c": False}]
    assert unpacked(json.loads(json.dumps(packed(rows)))) == rows
    assert unpacked(packed([{"a": math.nan}, {"a": math.inf}, {"a": 0}])) == [{}, {}, {"a": 0}]


def test_every_chart_is_one_of_altairs_schema(tmp_path):
    """Pages are drawn without Altair's validation, which takes half of their time; with it they are the same."""
    told = judged(write_study(tmp_path / "s", default_setting("digits", 1, (8, 20))))
    with pytest.raises(SchemaValidationError):
        alt.Chart().mark_point(nonsense=3).to_dict()
    assert study_page.__wrapped__(told) == study_page(told)


def test_nothing_judged_and_nothing_run(tmp_path):
    assert words.PAGE["nothing"].en in Outline(study_page([])).words
    empty = tmp_path / "study"
    empty.mkdir()
    write_sealed(empty / "study.json", default_setting("digits").to_dict())
    told = judged(empty)
    page = Outline(study_page(told))
    assert words.PAGE["nothing"].en in page.words
    assert not {j.claim.id for j in told} & set(page.ids)  # a line names them
    assert ", ".join(j.claim.id for j in told) in page.words
    two = Outline(study_page([*told, *judged(empty)]))  # of several studies every claim has its line
    assert {j.claim.id for j in told} <= set(two.ids)


def test_names_from_outside_are_text(tmp_path):
    setting = replace(default_setting("digits", 1, (8, 20)), data=HOSTILE)
    folder = write_study(tmp_path / "s", setting, notes=[HOSTILE], classes=[HOSTILE, "b"])
    (folder / "run0-0" / "run.json").write_text((folder / "run0-0" / "run.json").read_text() + HOSTILE)
    records = [
        read(write_run(tmp_path / "r" / str(i), "cifar_resnet8", i, shown=HOSTILE, name=HOSTILE)) for i in (0, 1)
    ]
    for html in (study_page(judged(folder), "en", HOSTILE, [HOSTILE]), runs_page(records, "ko", HOSTILE, [HOSTILE])):
        page = Outline(html)
        assert not [a for tag, a in page.tags if tag == "img" or "onerror" in a]
        assert HOSTILE not in html
        assert "{{7*7}}" in page.words


def test_records_that_cannot_be_read_are_told(tmp_path):
    folder = write_study(tmp_path / "s", default_setting("digits", 2, (8, 20)))
    (folder / "run0-0" / "run.json").write_text("{torn")
    (folder / "run0-1" / "metrics.jsonl").write_text("")
    other = read_sealed(folder / "run1-0" / "run.json")
    other["recipe"]["lr"] = 0.5
    write_sealed(folder / "run1-0" / "run.json", other)
    (folder / "run1-1" / "run.json").write_text(json.dumps({**other, "format": 99}))
    page = Outline(report([folder], lang="en").read_text())
    assert words.PAGE["problems"].en in page.words
    for name in ("run0-0", "run1-0", "run1-1"):
        assert str(folder / name) in page.words
    assert "0 of 2" in page.words


TORN = [
    '{"kind": "eval", "split": "test", "iteration": 600, "top1_error": NaN}',
    '{"kind": "eval", "split": "test", "iteration": 600, "top1_error": null}',
    '{"kind": "eval", "split": "test", "iteration": "x", "top1_error": 3}',
    '{"kind": "train", "iteration": 600, "loss": NaN, "clock": {"seconds": NaN}}',
    '{"kind": "train", "iteration": Infinity, "loss": 1, "clock": 7}',
    '{"kind": "probe", "iteration": 600, "gradients": null}', '{"no": "kind"}', "[1]", '{"kind": "ev',
]  # fmt: skip


@pytest.mark.parametrize("line", TORN)
def test_a_torn_line_leaves_a_run_its_page(tmp_path, line):
    folder = write_run(tmp_path / "run", "cifar_resnet8", 0)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    page = Outline(report([folder]).read_text())
    assert page.json
    assert {"nan", "inf"}.isdisjoint(page.words.lower().split())


@pytest.mark.parametrize("lines", [[TORN[0], TORN[3], *TORN[7:]], TORN], ids=["still readable", "all of them"])
def test_torn_lines_leave_a_study_its_page_or_one_line(tmp_path, lines):
    folder = write_study(tmp_path / "s", default_setting("digits", 1, (8, 20)), probed=False)
    with (folder / "run0-0" / "metrics.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    try:
        assert Outline(report([folder]).read_text()).json
    except UserError as error:
        assert lines == TORN
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.slow
def test_a_long_run_keeps_its_spike(tmp_path):
    record = read(write_run(tmp_path / "long", "cifar_resnet8", 0))
    line = record.evaluations("test")[0]
    many = [{**line, "iteration": i, "top1_error": 99.0 if i == 77_777 else 10.0} for i in range(100_000)]
    html = runs_page([Record(record.folder, record.run, (*many, {"kind": "end", "iteration": 100_000}))])
    assert len(html) < 2_000_000
    sets = Outline(html).json[-1]
    assert any(r.get("error") == 99.0 for told in sets.values() for r in unpacked(told))


# -- runs


def test_a_run_alone_and_several_of_two_recipes(tmp_path):
    a = read(write_run(tmp_path / "a", "cifar_resnet20", 0, of=net("cifar_resnet20", shortcut="B")))
    b = read(write_run(tmp_path / "b", "cifar_plain20", 1))
    b.run["recipe"]["lr"] = 0.7
    alone = Outline(runs_page([a], "en", COMMAND))
    assert alone.headings[0] == "a"  # its folder's name
    assert "cifar_resnet20 (shortcut B), seed 0, on digits" in alone.words
    assert words.PAGE["differences"].en not in alone.headings
    final = a.final("test")
    low, high = wilson(final["top1_error"], final["n"])
    assert f"{final['top1_error']:.2f}" in alone.words
    assert f"Test error {final['top1_error']:.2f} % (95 % interval {low:.2f} to {high:.2f}, 500 images)" in alone.words
    assert f"{low:.2f} … {high:.2f}" in alone.words
    both = Outline(runs_page([a, b]))
    assert "b, a" in both.words  # the members, plain before residual
    assert words.PAGE["differences"].en in both.headings
    fields = {row[0]: row[1] for row in difference_table([a, b], ["a", "b"])}
    assert fields["recipe: lr"].splitlines() == [f"{a.run['recipe']['lr']:g}: a", "0.7: b"]
    assert fields["switches: shortcut"].splitlines() == ["B: a", "–: b"]
    assert "seed" not in fields
    assert fields["model: name"].splitlines() == ["cifar_resnet20: a", "cifar_plain20: b"]
    same = difference_table([a, a], ["a", "c"])
    assert same == []
    assert Outline(runs_page([], "ko")).tags


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_run_without_a_test_split_shows_its_validation_error(tmp_path, language):
    record = read(write_run(tmp_path / "a", "cifar_resnet20", 0))
    lines = tuple({**m, "split": "val"} if m.get("split") == "test" else m for m in record.metrics)
    page = Outline(runs_page([replace(record, metrics=lines)], language))
    assert words.ERRORS["val"](language) in page.headings
    assert words.ERRORS["test"](language) not in page.headings
    sets = page.json[-1].values()
    assert words.VAL_ERROR(language) in {r.get("measure") for told in sets for r in unpacked(told)}


def with_classes(record, count):
    """The record with so many classes, scored exactly: class i has i wrong of 50 images."""
    names = [f"class{i:02}" for i in range(count)]
    rows = [{"class": c, "n": 50, "wrong": i, "error": 2.0 * i} for i, c in enumerate(names)]
    exact = {"test": {**record.final("test"), "per_class": rows}}
    return replace(record, run=record.run | {"data": record.run["data"] | {"classes": names}}, exact=exact)


@pytest.mark.parametrize("count", [4, 10, 30])
def test_errors_by_class_stand_on_the_page_of_a_run_the_worst_first(tmp_path, count):
    record = read(write_run(tmp_path / "a", "cifar_resnet20", 0))
    assert class_table(record) == []
    assert words.PAGE["by_class"].en not in Outline(runs_page([record])).headings
    scored = with_classes(record, count)
    rows = class_table(scored)
    assert [row[0] for row in rows] == [f"class{i:02}" for i in reversed(range(count))]
    low, high = wilson(2.0 * (count - 1), 50)
    assert rows[0][1:] == [f"{2 * (count - 1):.2f}", f"{low:.2f}\u00a0…\u00a0{high:.2f}", str(count - 1), "50"]
    page = Outline(runs_page([scored]))
    places = [page.words.index(row[0]) for row in rows]
    assert places == sorted(places)
    head = words.PAGE["more_classes"].en  # of many classes the first twenty are open
    assert (f"{head} ({count - 20})" in page.headings) == (count > 20)


def test_top_5_of_four_classes_is_left_out(tmp_path):
    record = read(write_run(tmp_path / "a", "cifar_resnet20", 0))
    few, many = with_classes(record, 4), with_classes(record, 6)
    assert "top-5" not in Outline(runs_page([few])).words
    assert "top-5 error" in Outline(runs_page([many])).headings
    for runs in ([few], [many], [few, many]):
        table = score_table(runs, ["a", "b"][: len(runs)])
        assert {len(row) for row in table} == {len(score_head(runs))}
    assert [row[4] for row in score_table([few, many], ["a", "b"]) if row[1] == "train"] != ["–", "–"]


def test_no_axes_without_a_line(tmp_path):
    """A run that was measured once and told nothing has no curve."""
    record = read(write_run(tmp_path / "a", "cifar_resnet20", 0))
    kept = [m for m in record.metrics if m["kind"] == "end" or (m["kind"] == "eval" and m["iteration"] == ITERATIONS)]
    page = Outline(runs_page([replace(record, metrics=tuple(kept))]))
    assert not [a for _, a in page.tags if a.get("class") == "chart"]
    assert f"Test error {record.final('test')['top1_error']:.2f} %" in page.words


def test_several_runs_name_every_member(tmp_path):
    runs = [read(write_run(tmp_path / f"run{i}", "cifar_resnet8", i)) for i in range(7)]
    page = Outline(runs_page(runs))
    assert "7 training runs compared" in page.headings
    assert ", ".join(f"run{i}" for i in range(7)) in page.words


def test_the_interval_is_wilsons():
    pytest.importorskip("torch")
    from reslab.measure.evaluate import wilson as counted

    for wrong, n in ((0, 500), (3, 500), (250, 500), (500, 500), (875, 10_000)):
        assert wilson(100 * wrong / n, n) == pytest.approx(counted(wrong, n), abs=1e-9)


def test_time_adds_up_over_resumes(study):
    record = study(depths=(8,), seeds=(0,))[0]
    lines = [
        {"kind": "train", "iteration": 10, "clock": {"seconds": 5.0}},
        {"kind": "resume", "iteration": 10},
        {"kind": "train", "iteration": 20, "clock": {"seconds": 4.0}},
        {"kind": "end", "iteration": 20, "clock": {"seconds": 4.5}},
    ]
    resumed = Record(record.folder, record.run, tuple(lines))
    assert resumed.seconds == 9.5
    assert run_table([resumed]) == [["cifar_plain8", "–", "0", "–", "–", "20", "10 s"]]
    unfinished = Record(record.folder, record.run, tuple(lines[:3]))
    assert run_table([unfinished], "ko")[0][5] == "20, 미완료"


def test_departures_are_read_from_the_records(study):
    found = departures(study(depths=(8, 20), seeds=(0,)))
    assert "the data are digits, not CIFAR-10" in found
    assert "nets of 8 layers are not in the paper" in found
    assert "batch is 64, in the paper 128" in found
    assert not any(line.startswith(("warmup", "eval_every", "holdout")) for line in found)
    assert departures([]) == []


def test_records_older_than_a_field_depart_in_nothing_by_it(study):
    """They were made as the paper's recipe stands in that field."""
    new = study(depths=(20,), seeds=(0,))[0]
    recipe = {k: v for k, v in new.run["recipe"].items() if k not in ("optimizer", "schedule", "flip")}
    old = Record(new.folder, {**new.run, "recipe": recipe}, new.metrics)
    assert departures([old]) == departures([new])
    assert difference_table([old, new], ["old", "new"]) == []
    muon = Record(new.folder, {**new.run, "recipe": {**recipe, "optimizer": "muon"}}, new.metrics)
    assert "optimizer is muon, in the paper sgd" in departures([muon])
    assert difference_table([old, muon], ["old", "muon"]) == [["recipe: optimizer", "sgd: old\nmuon: muon"]]


# -- where it is written


def test_sources_and_targets(tmp_path, monkeypatch, digits_study):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "runs" / "a", "cifar_resnet8", 0)
    write_run(tmp_path / "runs" / "b", "cifar_plain8", 0)
    assert report([run], lang="ko") == run / "report.ko.html"
    assert report([run, tmp_path / "runs" / "b"]).name == "report.html"
    assert is_ours(tmp_path / "report.html")
    assert report([tmp_path / "runs"], out=tmp_path / "all.html") == tmp_path / "all.html"
    assert str(ITERATIONS) in Outline((tmp_path / "all.html").read_text()).words
    assert report([run], out=tmp_path / "all.html")  # our own page is replaced
    mine = tmp_path / "mine.html"
    mine.write_text("<p>a letter</p>")
    with pytest.raises(UserError, match="not a report of reslab"):
        report([run], out=mine)
    assert report([run], out=mine, overwrite=True) == mine
    for bad, said in (([run, digits_study], "studies and runs"), ([tmp_path / "nowhere"], "no such folder"),
                       ([run.parent.parent], "holds no study")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            report(bad, out=tmp_path / "x.html")
    with pytest.raises(UserError, match="html"):
        report([run], out=tmp_path / "x.pdf")
    with pytest.raises(UserError, match="--lang"):
        report([run], lang="fr")


def test_publish_replaces_the_whole_file(tmp_path):
    publish("<p>ä</p>", tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == "<p>ä</p>"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]
