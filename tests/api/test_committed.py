"""Which studies `claims`, `figure` and `report` read: one's own, then the committed ones of the nearest place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import reslab
from reslab.api.verdicts import studies_found

RESULTS = Path(__file__).parents[2] / "results"
NAMES = [
    "cifar10-eighth",
    "cifar10-initial",
    "cifar10-quarter",
    "cifar10-tenth",
    "cifar10-twentieth",
    "cifar10-unseen",
    "cifar10-whole",
    "digits",
    "digits-again",
    "digits-removal",
    "digits-review",
    "digits-unseen",
    "gpu-whole",
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ones_own_studies_come_first_then_results_here(here):
    assert studies_found() == [RESULTS / name for name in NAMES]  # beside the package
    (here / "results").mkdir()
    assert studies_found() == [RESULTS / name for name in NAMES]  # a folder without a study hides none
    shutil.copytree(RESULTS / "cifar10-whole", here / "results" / "whole")
    assert studies_found() == [Path("results/whole")]
    shutil.copytree(RESULTS / "cifar10-whole", here / "runs" / "mine")
    assert studies_found() == [Path("runs/mine"), Path("results/whole")]


def test_the_report_says_which_records_are_the_projects_own(here):
    shutil.copytree(RESULTS / "cifar10-whole", here / "results" / "whole")
    sentences = {
        "en": "the records of whole are the committed results of the reslab project",
        "ko": "whole의 기록은 reslab 저장소에 커밋된 결과다",
    }
    for lang, sentence in sentences.items():
        assert reslab.report(out=f"{lang}.html", lang=lang).read_text(encoding="utf-8").count(sentence) == 1
    named = reslab.report(["results/whole"], out="named.html").read_text(encoding="utf-8")
    assert "committed results" not in named  # its command names the folder
    shutil.copytree(RESULTS / "cifar10-whole", here / "runs" / "mine")
    own = reslab.report(out="own.html").read_text(encoding="utf-8")
    assert "committed results" not in own  # of equal studies one's own is judged
