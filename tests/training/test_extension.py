"""A finished run continued: what goes on from which bits, what is recorded, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

import reslab
from reslab.api.runs import rehearse
from reslab.campaign.plan import is_done
from reslab.claims.evidence import read as read_study
from reslab.cli.main import main
from reslab.data.batches.training import TrainLoader
from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions, Settings
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.show.notes import run_notes
from reslab.show.pages.runpage import runs_page
from reslab.show.series import by_net
from reslab.store import jsonl
from reslab.store.sealed import read_sealed, write_sealed
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.training.step import Step

TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
SHORT = changed(
    recipe("digits"),
    {"batch": 16, "iterations": 10, "drops": (4, 12), "log_every": 3, "save_every": 4, "eval_every": 4,
     "clean_every": 5, "momentum_form": "caffe"},
)  # fmt: skip
MACHINE = ComputeOptions("cpu", "fp32", "eager", 1)
DATA = digits()


def job(out: Path, extend: int | None = None, base: Recipe = SHORT, **fields: object) -> Job:
    return Job(TINY, "digits", changed(base, fields), 3, out, MACHINE, extend=extend)


def run(wanted: Job, tell=lambda event: None) -> runlog.Record:
    return train(wanted, DATA, tell)


def lines(out: Path, *kinds: str) -> list[dict]:
    found = jsonl.read(out / "metrics.jsonl", checked=True).records
    return [line for line in found if not kinds or line["kind"] in kinds]


def figures(out: Path) -> list[dict]:
    """Every line but the clock and the marks of resuming."""
    return [{k: v for k, v in line.items() if k != "clock"} for line in lines(out) if line["kind"] != "resume"]


def files(out: Path, iteration: int) -> list[bytes]:
    folder = checkpoints.folder_of(out, iteration)
    return [(folder / name).read_bytes() for name in (checkpoints.WEIGHTS, checkpoints.STATE)]


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    run(job(out))
    return out


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory) -> Path:
    """The finished run of 10 iterations continued to 17."""
    out = copied(finished, tmp_path_factory.mktemp("extended") / "run")
    run(job(out, 17))
    return out


def test_an_extension_goes_on_from_the_last_bit(finished, extended):
    """As a slow twin that takes weights, velocities and rate from the end and makes the same updates."""
    end = checkpoints.load(checkpoints.folder_of(finished, 10))
    net = build(TINY, seed=9)
    step = Step(net, SHORT, Settings("cpu", "fp32", "channels_last", "eager", 1))
    net.load_state_dict(end.weights)
    velocities = {name[9:]: value for name, value in end.state.items() if name.startswith("momentum.")}
    step.descent.restore(velocities, 0.01)
    loader = TrainLoader(
        DATA.split("train"), end.statistics, seed=3, batch=16, augment=SHORT.augment, pad=SHORT.pad,
        last_batch=SHORT.last_batch,
    )  # fmt: skip
    net.train()
    for k in range(10, 17):
        batch = loader.at(k)
        step(batch.images, batch.labels, 0.01 if k < 12 else 0.001)  # the drop of the recipe at 12 comes, too
    ours = checkpoints.load(checkpoints.folder_of(extended, 17))
    for name, value in net.state_dict().items():
        assert torch.equal(ours.weights[name], value), name
    for name, value in step.descent.momentum().items():
        assert torch.equal(ours.state[f"momentum.{name}"], value), name
    assert ours.facts["rate"] == pytest.approx(0.001)


def test_what_is_recorded(finished, extended):
    before, record = runlog.read(finished), runlog.read(extended)
    assert record.run["extended"] == [{"from": 10, "to": 17}]
    assert {k: v for k, v in record.run.items() if k != "extended"} == before.run
    assert (before.ends, record.ends) == ((10,), (10, 17))
    note = "extended from 10 to 17 iterations: not the same as one run of 17"
    assert (before.notes, record.notes) == ((), (note,))
    assert record.finished
    assert record.problems == ()
    assert note in repr(record)
    assert figures(extended)[: len(figures(finished))] == figures(finished)
    (extend,) = lines(extended, "extend")
    assert (extend["iteration"], extend["to"]) == (10, 17)
    assert [line["iteration"] for line in lines(extended, "end")] == [10, 17]
    assert [line["iteration"] for line in lines(extended, "train")] == [3, 6, 9, 10, 12, 15, 17]
    assert [line["iteration"] for line in record.evaluations("test")] == [4, 8, 10, 12, 16, 17]
    assert [line["iteration"] for line in record.evaluations("train")] == [5, 10, 15, 17]
    facts = checkpoints.find(extended).facts
    assert facts["recipe"] == SHORT.to_dict()
    assert facts["extended"] == [{"from": 10, "to": 17}]


def test_the_same_call_again_trains_nothing(extended):
    before = {path: path.read_bytes() for path in extended.rglob("*") if path.is_file()}
    events: list[dict] = []
    run(job(extended, 17), events.append)
    assert [e["text"] for e in events] == [f"finished already at iteration 17: {extended}"]
    assert {path: path.read_bytes() for path in extended.rglob("*") if path.is_file()} == before


class PowerCut(Exception):
    pass


def cut(when):
    def tell(event: dict) -> None:
        if when(event):
            raise PowerCut

    return tell


CUTS = {
    "as it begins": lambda e: e["kind"] == "note" and e["text"].startswith("the run is extended"),
    "before a checkpoint": lambda e: e["kind"] == "train" and e["iteration"] == 12,
    "after a checkpoint": lambda e: e["kind"] == "checkpoint" and e["iteration"] == 12,
    "after its last checkpoint, scored": lambda e: e["kind"] == "eval" and e["iteration"] == 17,
    "after its last checkpoint": lambda e: e["kind"] == "checkpoint" and e["iteration"] == 17,
}


@pytest.mark.parametrize("moment", CUTS)
def test_an_extension_cut_short_is_unfinished_and_resumed_bit_for_bit(finished, extended, tmp_path, moment):
    out = copied(finished, tmp_path / "run")
    with pytest.raises(PowerCut):
        run(job(out, 17), cut(CUTS[moment]))
    record = runlog.read(out)
    assert not record.finished
    assert record.final("test") is None
    is_whole = "last checkpoint" in moment
    assert bool(record.problems) == is_whole
    if is_whole:
        assert "run the command in run.json with --extend 17 again to finish it" in record.problems[0]
    for wrong, line in (
        (None, "give --extend 17 to go on with it"),
        (16, "has not reached iteration 17; --extend 17 goes on with it"),
        (20, "has not reached iteration 17; --extend 17 goes on with it"),
    ):
        with pytest.raises(UserError, match=line):
            run(job(out, wrong))
    assert run(job(out, 17)).finished
    assert files(out, 17) == files(extended, 17)
    assert figures(out) == figures(extended)


def test_killed_between_run_json_and_its_line(finished, extended, tmp_path):
    out = copied(finished, tmp_path / "run")
    write_sealed(out / "run.json", {**read_sealed(out / "run.json"), "extended": [{"from": 10, "to": 17}]})
    assert not runlog.read(out).finished
    run(job(out, 17))
    assert files(out, 17) == files(extended, 17)
    assert figures(out) == figures(extended)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_damaged_end_is_trained_again_first(finished, extended, tmp_path, is_begun):
    """The checkpoint before the end is taken, so the old end comes again, with its line and its measurements."""
    out = copied(finished, tmp_path / "run")
    if is_begun:
        with pytest.raises(PowerCut):
            run(job(out, 17), cut(CUTS["before a checkpoint"]))
    (checkpoints.folder_of(out, 10) / checkpoints.WEIGHTS).write_bytes(b"damaged")
    run(job(out, 17))
    assert files(out, 17) == files(extended, 17)
    assert figures(out) == figures(extended)


def test_extended_twice(extended, tmp_path):
    out = copied(extended, tmp_path / "run")
    record = run(job(out, 20))
    assert record.run["extended"] == [{"from": 10, "to": 17}, {"from": 17, "to": 20}]
    assert record.notes == ("extended from 10 to 17 and then to 20 iterations: not the same as one run of 20",)
    assert [line["iteration"] for line in lines(out, "end")] == [10, 17, 20]
    assert record.final("test") == record.evaluations("test")[-1]


def test_precise_statistics_are_made_at_each_end(tmp_path):
    out = tmp_path / "run"
    run(job(out, bn_statistics="precise"))
    first = checkpoints.find(out).weights["stem.bn1.num_batches_tracked"]
    run(job(out, 17, bn_statistics="precise"))
    assert checkpoints.find(out).weights["stem.bn1.num_batches_tracked"] == first == 1297 // 16


def test_exact_scores_of_the_end_before_do_not_count(extended, tmp_path):
    out = copied(extended, tmp_path / "run")
    scores = {"top1_error": 1.0, "iteration": 10}
    write_sealed(out / "summary.json", {"test": scores})
    record = runlog.read(out)
    assert record.final("test") == record.evaluations("test")[-1]
    write_sealed(out / "summary.json", {"test": {**scores, "iteration": 17}})
    assert runlog.read(out).final("test")["top1_error"] == 1.0


# -- what is refused


def contents(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}


def refused(wanted: Job) -> str:
    before = contents(wanted.out)
    with pytest.raises(UserError) as told:
        run(wanted)
    assert "\n" not in str(told.value)
    assert contents(wanted.out) == before
    return str(told.value)


def test_no_run_and_an_unfinished_one(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(job(empty, 17)) == f"--extend 17: {empty} holds no run; leave --extend out to train it first"
    out = tmp_path / "run"
    with pytest.raises(PowerCut):
        run(job(out), cut(lambda e: e["kind"] == "checkpoint" and e["iteration"] == 4))
    assert refused(job(out, 17)) == (
        f"--extend 17: the run in {out} has not reached iteration 10; without --extend the same command resumes it"
    )


def test_fewer_iterations_and_another_run(finished, extended, tmp_path):
    for out, extend, length in ((finished, 10, 10), (finished, 9, 10), (extended, 16, 17), (extended, 10, 17)):
        copy = copied(out, tmp_path / f"{length}-{extend}")
        assert f"--extend {extend}: the run in {copy} has {length} iterations already; give more" in refused(
            job(copy, extend)
        )
    copy = copied(finished, tmp_path / "other")
    assert "holds another run (lr is 0.5 here and 0.1 there)" in refused(job(copy, 17, lr=0.5))
    assert "holds another run (iterations is 12 here and 10 there)" in refused(job(copy, 17, iterations=12))


def test_the_command_without_extend_is_another_run(extended, tmp_path):
    copy = copied(extended, tmp_path / "run")
    assert "give --extend 17 to go on with it, or another folder" in refused(job(copy))
    with pytest.raises(UserError, match="it was extended to 17 iterations"):
        is_done(job(copy))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_rate_that_has_reached_0(tmp_path, schedule):
    out = tmp_path / "run"
    run(job(out, schedule=schedule))
    line = refused(job(out, 17, schedule=schedule))
    assert f"the rate of a {schedule} schedule ends at 0" in line
    assert line.endswith(f"begin a new run with --init-from {out}")


def test_without_a_checkpoint_or_its_momentum(finished, tmp_path):
    copy = copied(finished, tmp_path / "none")
    shutil.rmtree(copy / "checkpoints")
    assert "has no checkpoint to go on from" in refused(job(copy, 17))
    from reslab.training.saving import copied as copied_checkpoint

    copy = copied(finished, tmp_path / "scored")
    shutil.rmtree(copy / "checkpoints")
    copied_checkpoint(finished, copy, "digits", to_resume=False)
    assert "its momentum does not fit the network" in refused(job(copy, 17))
    assert runlog.read(copy).finished


@pytest.mark.parametrize(
    "table",
    [3, "x", {}, [3], [{}], [{"from": 10}], [{"from": 9, "to": 17}], [{"from": 10, "to": 10}],
     [{"from": 10, "to": 17}, {"from": 18, "to": 20}], [{"from": 10, "to": True}], [{"from": 10, "to": 17.0}]],
    ids=str,
)  # fmt: skip
def test_a_damaged_table_is_one_line(finished, tmp_path, table):
    write_sealed(tmp_path / "run.json", {**read_sealed(finished / "run.json"), "extended": table})
    with pytest.raises(UserError, match=r"damaged \(its table extended"):
        runlog.read(tmp_path)


# -- readers


def test_readers_are_told(finished, extended):
    note = "extended from 10 to 17 iterations: not the same as one run of 17"
    (of_extended,), (of_finished,) = (reslab.evaluate(out, threads=1) for out in (extended, finished))
    assert (of_extended.note, of_finished.note) == (note, "")
    record = runlog.read(extended)
    assert note in runs_page([record])
    assert run_notes(record, "ko") == ["10회에서 17회로 연장했다. 처음부터 17회로 학습한 것과 같지 않다"]
    groups = by_net([runlog.read(finished), dataclasses.replace(record, run={**record.run, "seed": 4})])
    assert sorted(group.apart.get("course", "") for group in groups) == ["", "extended to 17 it."]


def test_a_study_leaves_it_out(extended, finished, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    for name, out in (("a", finished), ("b", extended)):
        copied(out, study / name)
    setting = {"data": "digits", "recipe": SHORT.to_dict(), "seeds": [3], "depths": [8]}
    write_sealed(study / "study.json", setting)
    evidence = read_study(study)
    assert [record.folder.name for record in evidence.every_record()] == ["a"]
    assert evidence.problems == (
        f"{study / 'b'}: extended from 10 to 17 iterations: not the same as one run of 17; it is left out",
    )


# -- the command line


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "cifar_resnet8", "--recipe", "digits-smoke", "--iterations", "4", "--threads", "1"]
    assert main([*words, "--extend", "6"]) == 2
    assert "holds no run; leave --extend out to train it first" in capsys.readouterr().err
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--extend", "6", "--dry-run"]) == 0
    assert "from iteration 4 to 6 iterations" in capsys.readouterr().out
    (out,) = (tmp_path / "runs").iterdir()
    assert "extended" not in json.loads((out / "run.json").read_text())
    assert rehearse("cifar_resnet8", recipe="digits-smoke", iterations=4, threads=1, extend=6).start == 4
    assert main([*words, "--extend", "6"]) == 0
    for extend, line in (("4", "has 6 iterations already; give more"), ("0", "--extend: 0 must be at least 1")):
        capsys.readouterr()
        assert main([*words, "--extend", extend]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert line in err
    assert runlog.read(out).finished
