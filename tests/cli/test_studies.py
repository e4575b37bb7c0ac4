"""claims, report, figure, reproduce --budget through the real command line, on studies as they stand on disk."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "digits"
SMALL = (
    "--depths", "8,14", "--seeds", "2", "--set", "iterations=6", "--set", "drops=4", "--set", "batch=16", "--set",
    "eval_every=3", "--set", "clean_every=3", "--set", "log_every=3", "--set", "probe_every=3",
)  # fmt: skip


@pytest.fixture(scope="session")
def study(server, tmp_path_factory) -> Path:
    """A study of eight tiny runs (C1, C2). To be read; copy it before changing anything."""
    out = tmp_path_factory.mktemp("studies") / "study"
    server("reproduce", "degradation", *SMALL, "--processes", "1", "--out", out).good()
    return out


@pytest.fixture
def mine(study, tmp_path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "mine"))


# -- claims


def test_the_list_tells_every_claim_once(cold):
    told = cold("claims", "--records", RESULTS).good()
    heads = [line.split()[0] for line in told.out.splitlines() if line.startswith("C")]
    assert heads == [f"C{i}" for i in range(1, 28)]


def test_json_and_words_agree(warm):
    told = json.loads(warm("claims", "--json", "--records", RESULTS).good().out)
    listed = warm("claims", "--records", RESULTS).good().out.splitlines()
    for claim in told:
        (line,) = [x for x in listed if x.startswith(f"{claim['id']} ")]
        assert claim["verdict"] in line
        for one in claim["studies"]:
            assert len(one["statements"]) >= 1 or one["verdict"] == "not run"
            for statement in one["statements"]:
                assert statement["n"] == len(statement["values"])


def test_in_korean(warm):
    told = warm("claims", "--lang", "ko", "--records", RESULTS).good().out
    assert "주장 27개" in told
    assert "명령: reslab reproduce C25" in warm("claims", "C25", "--lang", "ko", "--records", RESULTS).good().out
    warm("claims", "--lang", "kr").refused("--lang", "kr", "en", "ko")


def test_one_in_full(warm):
    told = warm("claims", "c1", "--records", RESULTS).good().out
    for fragment in (
        "degradation!",
        "threshold > 0",
        "[95 % interval",
        "reslab reproduce C1 --data digits",
        str(RESULTS),
    ):
        assert fragment in told, fragment


@pytest.mark.slow
def test_ones_own_study_is_found_where_one_stands(warm, study, tmp_path):
    here = tmp_path / "desk"
    shutil.copytree(study, here / "runs" / "study-digits")
    told = json.loads(warm("claims", "C1", "--json", cwd=here).good().out)
    assert "runs/study-digits" in [one["records"] for one in told[0]["studies"]]


def test_two_recipes_of_one_data_set_stand_apart(warm, study):
    told = json.loads(warm("claims", "C1", "--json", "--records", study, "--records", RESULTS).good().out)
    assert [len(one["seeds"]) for one in told[0]["studies"]] == [5, 2]  # the one that decides stands first


def test_claims_refused(warm, study, tmp_path):
    warm("claims", "C99", "--records", RESULTS).refused("'C99' is not known", "C1 to C27")
    warm("claims", "--records", tmp_path / "nowhere").refused("nowhere", "holds no study")
    warm("claims", "--records", next(study.glob("*/run.json")).parent).refused("holds no study")


# -- report


def test_a_page_of_a_study_and_of_its_runs(warm, mine):
    page = Path(warm("report", mine, "--lang", "ko").good().out.split()[-1])
    assert page == mine / "report.ko.html"
    assert '<html lang="ko"' in page.read_text(encoding="utf-8")
    first, second, *_ = sorted(p.parent for p in mine.glob("*/run.json"))
    assert Path(warm("report", first).good().out.split()[-1]) == first / "report.html"
    both = mine / "both.html"
    assert Path(warm("report", first, second, "--out", both).good().out.split()[-1]) == both
    assert first.name.split("-")[0] in both.read_text(encoding="utf-8")


def test_report_refused(warm, mine, tmp_path):
    warm("report", tmp_path / "nowhere").refused("nowhere: no such folder")
    run = next(mine.glob("*/run.json")).parent
    warm("report", mine, run).refused("studies and runs in one call")
    other = tmp_path / "mine.html"
    other.write_text("a letter")
    warm("report", mine, "--out", other).refused("is not a report of reslab", "--overwrite")
    assert other.read_text() == "a letter"
    warm("report", mine, "--out", other, "--overwrite").good()
    warm("report", mine, "--out", tmp_path / "page.pdf").refused(".html")
    (mine / "study.json").write_text("{")
    warm("report", mine).refused("study.json")


# -- figure


def test_a_figure_from_records_and_one_without(warm, mine, tmp_path):
    out = tmp_path / "curves.svg"
    assert Path(warm("figure", "fig6", mine, "--out", out).good().out.split()[-1]) == out
    assert "<svg" in out.read_text(encoding="utf-8")
    warm("figure", "fig6", mine, "--out", out).refused("curves.svg", "--overwrite")
    warm("figure", "table1", "--out", tmp_path / "table1.svg").good()


def test_figure_refused(warm, tmp_path):
    warm("figure", "fig66").refused("'fig66'", "did you mean fig6")
    warm("figure", "fig6", tmp_path / "nowhere").refused("nowhere: no such folder")


# -- reproduce


@pytest.mark.slow
def test_messages_in_korean(warm, mine):
    told = warm("reproduce", "C1", "C10", *SMALL, "--processes", "1", "--out", mine, "--lang", "ko").good()
    assert "실행 4개: 4개는 이미 끝났고 0개를 학습한다" in told.err
    assert "측정 중" in told.err
    assert "C10 성립하지 않음: " in told.err
    assert told.out.strip().endswith("report.ko.html")


def test_a_budget_leaves_out_what_does_not_fit(warm, tmp_path):
    out = tmp_path / "study"
    told = warm("reproduce", "C1", "C6", "C10", *SMALL, "--set", "iterations=100000", "--budget", "9s", "--out", out)
    told.good()
    assert "2 of 3 claims fit" in told.err
    assert "not run: C1" in told.err
    assert list(out.glob("*/run.json")) == []
    found = {c["id"]: c["verdict"] for c in json.loads(warm("claims", "--json", "--records", out).good().out)}
    assert found["C1"] == "not run"
    assert found["C6"] != "not run"
    assert found["C10"] == "does not hold"


def test_a_folder_holds_one_recipe(warm, mine):
    before = (mine / "study.json").read_bytes()
    warm("reproduce", "C1", *SMALL, "--set", "lr=0.5", "--out", mine).refused("holds a study with lr = 0.02, not 0.5")
    warm("reproduce", "C1", "--depths", "8,20", "--seeds", "1", "--out", mine).refused("holds a study with", "--out")
    assert (mine / "study.json").read_bytes() == before


def test_reproduce_refused(warm, tmp_path):
    out = tmp_path / "out"
    for words, fragments in (
        (("C77",), ("'C77' is not known", "C27")),
        (("C1", "--budget", "soon"), ("--budget: 'soon'", "30m")),
        (("C1", "--depths", "8"), ("at least two", "C1")),
        (("C1", "--seeds", "0"), ("--seeds: 0",)),
        ((), ()),
    ):
        warm("reproduce", *words, "--out", out).refused(*fragments)
        assert not out.exists()
