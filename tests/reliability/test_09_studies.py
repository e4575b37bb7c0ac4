"""Rows 8 and 9 for records: studies, their runs and measurements, and the committed ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from counts import FLIPS, SLOW_FLIPS
from damage import Tally, copied, crash, cuts, flips, outcome
from trained import sets

RESULTS = Path(__file__).parents[2] / "results"
STUDY = RESULTS / "digits"


@pytest.fixture
def study(reslab) -> Path:
    """A copy of a committed study, with what holds over all of results/ beside it."""
    results = reslab.here / "results"
    results.mkdir()
    for file in RESULTS.iterdir():
        if file.is_file():
            shutil.copy2(file, results)
    return copied(STUDY, results / "digits")


def kinds(study: Path) -> dict[str, list[Path]]:
    """Files of a study by kind."""
    return {
        "study.json": [study / "study.json"],
        "measured/*.json": sorted(study.glob("measured/*.json")),
        "run.json": sorted(study.glob("*/run.json")),
        "metrics.jsonl": sorted(study.glob("*/metrics.jsonl")),
    }


@pytest.mark.parametrize("kind", ["study.json", "measured/*.json", "run.json", "metrics.jsonl"])
def test_fault_08_09_claims_of_a_study(reslab, study, count, kind):
    """Every verdict, figure and sentence is as without the damage, or the file is named."""
    words = ("claims", "--records", study, "--json")
    before, draws, flipped, cut = reslab(*words).good().out, Random(kind), Tally(), Tally()
    for number in range(FLIPS):
        file = draws.choice(kinds(study)[kind])
        good = file.read_bytes()
        cases = [next(flips(good, 1, draws))] if number % 2 else [draws.choice(list(cuts(good, 4, draws)))]
        for case, content in cases:
            file.write_bytes(content)
            ended = reslab(*words)
            wrong = outcome(ended, ended.out == before, (file.name, file.parent.name), before)
            (flipped if "bit" in case else cut).add(f"{case} of {file.relative_to(study)}", wrong)
        file.write_bytes(good)
    assert reslab(*words).good().out == before
    flipped.told(count, 9, f"study: {kind}, claims")
    cut.told(count, 8, f"study: {kind}, claims")


def test_fault_09_any_committed_file(reslab, count):
    """The whole of results/, found by `claims` itself."""
    shutil.copytree(RESULTS, reslab.here / "results")
    before, draws, tally = reslab("claims", "--json").good().out, Random(99), Tally()
    files = sorted(f for f in (reslab.here / "results").rglob("*.json*") if f.is_file())
    for _ in range(2 * SLOW_FLIPS):
        file = draws.choice(files)
        good = file.read_bytes()
        ((case, content),) = flips(good, 1, draws)
        file.write_bytes(content)
        ended = reslab("claims", "--json")
        wrong = outcome(ended, ended.out == before, (file.name, file.parent.name), before)
        tally.add(f"{case} of {file.relative_to(reslab.here)}", wrong)
        file.write_bytes(good)
    tally.told(count, 9, "committed results: any file, claims")


def test_fault_09_report_of_a_study(reslab, study, count):
    page, draws, tally = reslab.here / "page.html", Random(98), Tally()
    words = ("report", study, "--out", page)
    reslab(*words, seconds=300).good()
    drawn = page.read_text()
    for kind, files in kinds(study).items():
        for _ in range(max(1, SLOW_FLIPS // 4)):
            file = draws.choice(files)
            good = file.read_bytes()
            ((case, content),) = flips(good, 1, draws)
            file.write_bytes(content)
            page.unlink(missing_ok=True)
            ended = reslab(*words, seconds=300)
            text = page.read_text() if page.exists() else ""
            names = (file.name, file.parent.name)
            wrong = outcome(ended, text == drawn, names)
            known = set(drawn.splitlines())
            if wrong and any(n in line for line in text.splitlines() if line not in known for n in names):
                wrong = ""
            tally.add(f"{case} of {kind}", wrong)
            file.write_bytes(good)
    tally.told(count, 9, "study: all kinds of file, report")


@pytest.fixture(scope="module")
def small_study(server, tmp_path_factory) -> Path:
    """A study of two nets, two seeds, twelve updates each, made by `reproduce`."""
    here = tmp_path_factory.mktemp("study")
    server(*reproduce(here / "study"), cwd=here, seconds=300).good()
    return here / "study"


def reproduce(out: Path) -> tuple[object, ...]:
    return (
        "reproduce", "degradation", "--depths", "8,14", "--seeds", "2", "--recipe", "digits-smoke", *sets("drops=8"),
        "--scale", "0.6", "--processes", "1", "--device", "cpu", "--out", out,
    )  # fmt: skip


def test_fault_08_09_reproduced(reslab, small_study, count):
    """`reproduce` over a finished study with one damaged file: refused, named, made again, or the same verdicts."""
    draws, tally = Random(97), Tally()
    study = copied(small_study, reslab.here / "study")
    before = reslab("claims", "--records", study, "--json").good().out
    for number in range(2 * SLOW_FLIPS):
        study = copied(small_study, reslab.here / "study")
        files = [f for of in kinds(study).values() for f in of]
        file = draws.choice(files)
        good = file.read_bytes()
        ((case, content),) = flips(good, 1, draws) if number % 2 else [draws.choice(list(cuts(good, 4, draws)))]
        file.write_bytes(content)
        ended = reslab(*reproduce(study), seconds=120)
        after = reslab("claims", "--records", study, "--json")
        wrong = crash(ended) or outcome(ended, after.out == before, (file.name, file.parent.name, "damaged"))
        tally.add(f"{case} of {file.relative_to(study)}", wrong)
    tally.told(count, 9, "study: all kinds of file, reproduce")
