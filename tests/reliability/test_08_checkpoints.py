"""Rows 8 and 9 for the files of a checkpoint and of a run that is resumed: cut at any length, any bit flipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest
from counts import FLIPS, LENGTHS
from damage import Tally, copied, cuts, flips, outcome
from PIL import Image
from trained import TINY, end_of, orphans, rewrite, same_end, sets

TRAIN = (*TINY, "--iterations", "24", *sets("save_every=6", "log_every=2", "eval_every=8", "clean_every=12"))
FILES = ("weights.safetensors", "state.safetensors", "state.json", "manifest.json")


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory) -> Path:
    """A finished run; the one that is resumed is this one without its end."""
    here = tmp_path_factory.mktemp("whole")
    server(*TRAIN, "--out", "run", cwd=here).good()
    return here / "run"


@pytest.fixture(scope="module")
def stopped(server, whole, tmp_path_factory) -> Path:
    """The same run killed at iteration 18, with the checkpoints of 12 and 18."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    running = server.start(*TRAIN, "--set", "save_every=6", "--out", run, cwd=run.parent)
    running.until(lambda: (run / "checkpoints" / "step-00000018").exists())
    running.signal(9)
    running.wait()
    if (run / "checkpoints" / "step-00000024").exists():  # it was too quick to be killed
        shutil.rmtree(run / "checkpoints" / "step-00000024")
        lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        (run / "metrics.jsonl").write_bytes(b"".join(line for line in lines if b'"end"' not in line))
        pytest.skip("the run was too quick to be killed before its end")
    return run


@pytest.fixture
def picture(reslab) -> Path:
    path = reslab.here / "x.png"
    Image.linear_gradient("L").resize((8, 8)).save(path)
    return path


def damages(content: bytes, number: int, draws: Random, *, cut: bool = True) -> list[tuple[str, bytes]]:
    return [*flips(content, number, draws), *(cuts(content, LENGTHS, draws) if cut else ())]


@pytest.mark.parametrize("name", FILES)
def test_fault_08_09_evaluated(reslab, whole, count, name):
    """Refused by name, or scored as without damage."""
    run = copied(whole, reslab.here / "run")
    file = run / "checkpoints" / "step-00000024" / name
    good, draws = file.read_bytes(), Random(name)
    before = reslab("evaluate", run, "--json").good().out
    flipped, cut = Tally(), Tally()
    for case, content in damages(good, 2 * FLIPS, draws):
        file.write_bytes(content)
        ended = reslab("evaluate", run, "--json")
        (flipped if "bit" in case else cut).add(case, outcome(ended, ended.out == before, (str(file.parent),), before))
    flipped.told(count, 9, f"checkpoint: {name}, evaluated")
    cut.told(count, 8, f"checkpoint: {name}, evaluated")


@pytest.mark.parametrize("name", FILES)
def test_fault_09_predicted_with(reslab, whole, picture, count, name):
    run = copied(whole, reslab.here / "run")
    file = run / "checkpoints" / "step-00000024" / name
    good, draws, tally = file.read_bytes(), Random(name + "p"), Tally()
    before = reslab("predict", run, picture, "--json").good().out
    for case, content in damages(good, FLIPS // 2, draws, cut=False):
        file.write_bytes(content)
        ended = reslab("predict", run, picture, "--json")
        tally.add(case, outcome(ended, ended.out == before, (str(file.parent),), before))
    tally.told(count, 9, f"checkpoint: {name}, predicted with")


def resumed(reslab, stopped: Path, whole: Path, name: str, number: int) -> tuple[Tally, Tally]:
    """Flips and cuts of the file `name` of a run before it is resumed."""
    end, draws = end_of(whole), Random(f"{name} resumed")
    good, flipped, cut = (stopped / name).read_bytes(), Tally(), Tally()
    for case, content in damages(good, number, draws):
        run = copied(stopped, reslab.here / "run")
        (run / name).write_bytes(content)
        ended = reslab(*TRAIN, "--out", run)
        wrong = outcome(ended, same_end(run, end), (str(run),) if ended.code else ("damaged", "passed over"))
        if not wrong and not ended.code and end_of(run)[0] != end[0]:
            wrong = f"named, but its weights are others: {ended.last}"
        (flipped if "bit" in case else cut).add(case, wrong or (f"left behind {orphans(run)}" if orphans(run) else ""))
    return flipped, cut


@pytest.mark.parametrize("name", FILES)
def test_fault_08_09_resumed_from(reslab, whole, stopped, count, name):
    """The newest checkpoint is damaged: the one before it is taken, and the run ends as without."""
    flipped, cut = resumed(reslab, stopped, whole, f"checkpoints/step-00000018/{name}", FLIPS // 2)
    flipped.told(count, 9, f"checkpoint: {name}, resumed from")
    cut.told(count, 8, f"checkpoint: {name}, resumed from")


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl"])
def test_fault_08_09_records_resumed_with(reslab, whole, stopped, count, name):
    """Refused by name, or the run ends as without; a measurement that is lost is named, and costs no weight."""
    flipped, cut = resumed(reslab, stopped, whole, name, 2 * FLIPS)
    flipped.told(count, 9, f"{name}, resumed with")
    cut.told(count, 8, f"{name}, resumed with")


@pytest.mark.parametrize("verb", ["evaluate", "report"])
@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "summary.json"])
def test_fault_08_09_records_read(reslab, whole, count, name, verb):
    """`evaluate` and `report` of a run with one damaged record; a page must be the same, refuse or name it."""
    run = copied(whole, reslab.here / "run")
    scores = reslab("evaluate", run, "--json").good()
    if name == "summary.json" and not (run / name).exists():
        summary(run, scores.out)
    page = reslab.here / "page.html"
    words = ("evaluate", run, "--json") if verb == "evaluate" else ("report", run, "--out", page)
    before = reslab(*words).good().out
    drawn = page.read_bytes() if page.exists() else b""
    good, draws, flipped, cut = (run / name).read_bytes(), Random(name + verb), Tally(), Tally()
    number = FLIPS // 2 if verb == "report" else FLIPS
    for case, content in damages(good, number, draws, cut=verb == "report"):
        (run / name).write_bytes(content)
        page.unlink(missing_ok=True)
        ended = reslab(*words)
        same = ended.out == before and (verb == "evaluate" or (page.exists() and page.read_bytes() == drawn))
        said = page.read_text() if page.exists() else ""
        wrong = outcome(ended, same, (name, str(run)), before)
        if wrong == "another outcome in silence" and name in said and name.encode() not in drawn:
            wrong = ""
        (flipped if "bit" in case else cut).add(case, wrong)
    flipped.told(count, 9, f"{name}, {verb} of the run")
    if cut.tried:
        cut.told(count, 8, f"{name}, {verb} of the run")


def summary(run: Path, scores: str) -> None:
    """Write `summary.json` as the runs behind results/ have it."""
    (found,) = json.loads(scores)
    rewrite(run / "summary.json", {"test": {k: found[k] for k in ("n", "top1_error", "top5_error", "loss")}})
