"""What is taken up of a part before it is trained: runs that were set aside, and to extend it those of results/."""

from pathlib import Path

import pytest

from benchmarks import evidence
from benchmarks.parts import PARTS
from reslab.store.sealed import read_sealed

NAME = "digits-removal"


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(evidence, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(evidence, "UNFINISHED", tmp_path / "unfinished")
    return tmp_path / "runs"


def test_a_part_is_extended_by_what_it_lacks(runs, capfd):
    """Its runs of results/ count as finished, so that only what it has gained would be trained."""
    evidence.take_up(NAME)
    assert not runs.exists()
    evidence.take_up(NAME, extend=True)
    kept = sorted(path.parent.name for path in (evidence.RESULTS / NAME).glob("*/run.json"))
    assert kept
    assert sorted(path.parent.name for path in (runs / NAME).glob("*/run.json")) == kept
    evidence.trained(PARTS[NAME], "digits", runs / NAME)
    assert f"{len(kept)} runs: {len(kept)} finished already, 0 to do" in "".join(capfd.readouterr())
    study = "study.json"
    assert read_sealed(runs / NAME / study) == read_sealed(evidence.RESULTS / NAME / study)


def test_what_runs_has_is_not_overwritten(runs):
    (runs / NAME).mkdir(parents=True)
    (runs / NAME / "study.json").write_text("mine")
    evidence.take_up(NAME, extend=True)
    assert (runs / NAME / "study.json").read_text() == "mine"
    assert len(list((runs / NAME).glob("*/run.json"))) == len(list((evidence.RESULTS / NAME).glob("*/run.json")))
