"""Checkpoints against damage: every flipped bit is noticed, nothing is unpickled, the one before is kept."""

import json
import pickle
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.errors import ReslabError, RunError, UserError
from reslab.models import checkpoints
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store.files import MANIFEST, publish_folder
from reslab.training import saving
from reslab.training.job import Job
from reslab.training.loop import train

TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
FILES = (checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.FACTS, MANIFEST)


def facts(iteration: int) -> dict:
    return {
        "iteration": iteration, "spec": TINY.to_dict(), "classes": list("0123456789"), "data": {"source": "digits"},
        "recipe": recipe("digits").to_dict(), "seed": 0, "rate": 0.1, "warming": False, "measured": True,
    }  # fmt: skip


def save(run: Path, iteration: int) -> Path:
    sums = {key: torch.zeros(3, dtype=torch.float64) for key in ("logs", "window")}
    state = {"momentum.head.fc.bias": torch.arange(10.0), "mean": torch.zeros(8, 8, 1), "scale": torch.ones(1), **sums}
    return saving.save(run, build(TINY, seed=iteration), state, facts(iteration))


def names(run: Path) -> list[str]:
    return sorted(f.name for f in (run / "checkpoints").iterdir())


@pytest.fixture
def folder(tmp_path) -> Path:
    return save(tmp_path / "run", 7)


def test_what_was_saved_is_loaded(folder):
    found = checkpoints.load(folder)
    assert sorted(f.name for f in folder.iterdir()) == sorted(FILES)
    assert (found.iteration, found.spec, found.facts) == (7, TINY, json.loads(json.dumps(facts(7))))
    net = checkpoints.network(found.spec, found.weights, str(found.folder))
    for name, value in build(TINY, seed=7).state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    assert torch.equal(found.state["momentum.head.fc.bias"], torch.arange(10.0))


def test_300_flipped_bits_are_all_noticed(folder):
    """Spread evenly over the four files, the manifest itself included."""
    draws, silent, told = random.Random(0), [], []
    for number in range(300):
        file = folder / FILES[number % 4]
        good = file.read_bytes()
        bad, place, bit = bytearray(good), draws.randrange(len(good)), draws.randrange(8)
        bad[place] ^= 1 << bit
        file.write_bytes(bad)
        try:
            checkpoints.load(folder)
            silent.append((file.name, place, bit))
        except ReslabError as error:
            told.append(str(error))
        file.write_bytes(good)
    assert silent == []
    assert all(str(folder) in text and "\n" not in text for text in told)
    assert checkpoints.load(folder).iteration == 7


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_lengthened_or_gone_is_noticed(folder, name):
    file = folder / name
    good = file.read_bytes()
    for length in {0, 1, 8, len(good) // 2, len(good) - 1}:
        file.write_bytes(good[:length])
        with pytest.raises(ReslabError, match=str(folder)):
            checkpoints.load(folder)
    file.write_bytes(good + b"\0")
    with pytest.raises(ReslabError, match=str(folder)):
        checkpoints.load(folder)
    file.unlink()
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        checkpoints.load(folder)


def test_a_manifest_that_vouches_for_nothing_is_refused(folder):
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "sha256": {}}))
    with pytest.raises(ReslabError, match="manifest"):
        checkpoints.load(folder)


def test_another_format_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(UserError, match="format 2, this reslab reads 1"):
        checkpoints.load(folder)


class Canary:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.bin"])
def test_a_pickle_is_refused_and_not_run(tmp_path, name):
    canary = tmp_path / "canary"
    torch.save({"weights": Canary(canary)}, tmp_path / name)
    for read in (checkpoints.load, checkpoints.find):
        with pytest.raises(UserError, match="not a checkpoint folder of reslab"):
            read(tmp_path / name)
    assert not canary.exists()
    torch.load(tmp_path / name, weights_only=False)
    assert canary.exists()  # the trap works


def test_a_pickle_in_a_checkpoints_clothes_is_refused_and_not_run(folder, tmp_path):
    """Its hash is right, so only the format of the tensors stands between it and the reader."""
    canary = tmp_path / "canary"
    forged = tmp_path / "step-00000008"
    shutil.copytree(folder, tmp_path / "aside")
    (tmp_path / "aside" / MANIFEST).unlink()
    (tmp_path / "aside" / checkpoints.WEIGHTS).write_bytes(pickle.dumps(Canary(canary)))
    publish_folder(tmp_path / "aside", forged, checkpoints.FORMAT)
    with pytest.raises(RunError, match="damaged"):
        checkpoints.load(forged)
    assert not canary.exists()
    pickle.loads((forged / checkpoints.WEIGHTS).read_bytes())
    assert canary.exists()


def test_fill_names_the_first_mismatches():
    net = build(TINY)
    good = {k: v.clone() for k, v in build(TINY, seed=1).state_dict().items()}
    checkpoints.fill(net, good, "here")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert all(torch.equal(before[k], good[k]) for k in good)
    bad = {k: v + 1 for k, v in good.items() if k != "head.fc.bias"}
    bad["head.fc.weight"] = torch.zeros(7, 8)
    bad["head.fc8.weight"] = torch.zeros(1)
    with pytest.raises(UserError) as told:
        checkpoints.fill(net, bad, "there")
    assert str(told.value).startswith("there: its weights do not fit cifar_resnet8: ")
    for words in ("head.fc.bias (missing)", "head.fc.weight ((7, 8) for (10, 8))", "head.fc8.weight (not in the net)"):
        assert words in str(told.value)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())  # nothing was copied
    with pytest.raises(UserError) as told:
        checkpoints.fill(build(replace(TINY, widths=(8, 8, 16))), good, "there")
    assert str(told.value).count(" for ") == 5  # the first five stand for all
    assert "stem.conv1.weight ((4, 1, 3, 3) for (8, 1, 3, 3))" in str(told.value)


def test_two_are_kept(tmp_path):
    for iteration in (3, 20, 100, 101):
        assert save(tmp_path, iteration).is_dir()
    assert names(tmp_path) == ["step-00000100", "step-00000101"]
    assert checkpoints.newest(tmp_path).iteration == 101


def damage(folder: Path) -> None:
    raw = bytearray((folder / checkpoints.WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / checkpoints.WEIGHTS).write_bytes(raw)


def test_newest_passes_over_what_is_damaged_and_says_so(tmp_path):
    assert checkpoints.newest(tmp_path) is None
    for iteration in (1, 2):
        save(tmp_path, iteration)
    damage(checkpoints.folder_of(tmp_path, 2))
    told: list[str] = []
    assert checkpoints.newest(tmp_path, told).iteration == 1
    assert len(told) == 1
    assert "step-00000002" in told[0]
    damage(checkpoints.folder_of(tmp_path, 1))
    with pytest.raises(
        UserError,
        match=r"step-00000002.*SHA-256.*nor can the 1 before it be read; nothing was changed: .*to train",
    ):
        checkpoints.newest(tmp_path)


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path):
    """A real EIO, from what is mapped nowhere in a process's memory."""
    for iteration in (1, 2):
        save(tmp_path, iteration)
    weights = checkpoints.folder_of(tmp_path, 2) / checkpoints.WEIGHTS
    weights.unlink()
    weights.symlink_to("/proc/self/mem")
    if not weights.is_file():
        pytest.skip("no /proc here")
    told: list[str] = []
    assert checkpoints.newest(tmp_path, told).iteration == 1
    assert told == [f"{weights}: cannot be read (Input/output error)"]


def test_what_others_leave_in_a_checkpoint_or_beside_it_is_let_be(tmp_path):
    folder = save(tmp_path, 7)
    (folder / "notes.txt").write_text("the good one")
    (folder / "weights (conflicted copy).safetensors").write_bytes(b"")
    copy = folder.with_name("step-00000007 (conflicted copy)")
    shutil.copytree(folder, copy)
    damage(copy)
    told: list[str] = []
    assert checkpoints.newest(tmp_path, told).folder == folder
    assert told == []
    for iteration in (8, 9):
        save(tmp_path, iteration)
    assert names(tmp_path) == [copy.name, "step-00000008", "step-00000009"]


def test_iterations_of_nine_digits_are_newer_than_those_of_eight(tmp_path):
    for iteration in (99_999_998, 99_999_999, 100_000_000):
        save(tmp_path, iteration)
    assert checkpoints.newest(tmp_path).iteration == 100_000_000
    assert names(tmp_path) == ["step-100000000", "step-99999999"]


def test_a_later_format_is_never_passed_over(tmp_path):
    for iteration in (1, 2):
        folder = save(tmp_path, iteration)
    (folder / MANIFEST).write_text(json.dumps({"format": checkpoints.FORMAT + 1, "files": {}}))
    with pytest.raises(UserError, match=r"step-00000002: checkpoint format 2, this reslab reads 1; use the newer"):
        checkpoints.newest(tmp_path)


def test_damaged_checkpoints_ahead_do_not_push_out_new_ones(tmp_path):
    """What a run saves that resumed before them must survive, though its numbers are lower."""
    for iteration in (50, 60):
        damage(save(tmp_path, iteration))
    for iteration in (10, 20, 30):
        assert save(tmp_path, iteration).is_dir()
        assert checkpoints.newest(tmp_path).iteration == iteration
    damage(checkpoints.folder_of(tmp_path, 30))
    assert checkpoints.newest(tmp_path).iteration == 20


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    save(tmp_path, 1)
    net = build(TINY)
    with torch.no_grad():
        net.head.fc.weight[3, 2] = value
    with pytest.raises(RunError, match=r"head\.fc\.weight is not finite at iteration 2"):
        saving.save(tmp_path, net, {}, facts(2))
    assert names(tmp_path) == ["step-00000001"]


def test_what_an_interrupted_writer_left_is_swept(tmp_path):
    out, data = tmp_path / "run", digits()
    base = changed(recipe("digits"), {"batch": 16, "iterations": 2, "drops": (), "log_every": 1, "save_every": 1})
    job = Job(TINY, "digits", base, 0, out, ComputeOptions("cpu", "fp32", "eager", 1))

    def killed(event: dict) -> None:
        if event["kind"] == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, data, killed)
    orphans = [out / ".writing-1-run.json", out / "checkpoints" / ".writing-1-step-00000002"]
    orphans[1].mkdir()
    (orphans[1] / checkpoints.WEIGHTS).write_bytes(b"half")
    orphans[0].write_text("{")
    assert train(job, data, lambda event: None).finished
    assert [o for o in orphans if o.exists()] == []
    assert names(out) == ["step-00000001", "step-00000002"]


def interrupted(out: Path, at: int = 2) -> Job:
    """A run of 4 updates with a checkpoint after each, broken off after the one at `at`."""
    fields = {"batch": 16, "iterations": 4, "drops": (), "log_every": 1, "save_every": 1}
    job = Job(TINY, "digits", changed(recipe("digits"), fields), 0, out, ComputeOptions("cpu", "fp32", "eager", 1))

    def killed(event: dict) -> None:
        if event["kind"] == "checkpoint" and event["iteration"] == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, digits(), killed)
    return job


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def later_format(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": checkpoints.FORMAT + 1}))


@pytest.mark.parametrize(
    ("harm", "words"), [(damage, "step-00000002.*is damaged.*remove"), (later_format, "format 2.*newer")]
)
def test_a_run_whose_checkpoints_cannot_be_read_is_not_begun_anew(tmp_path, harm, words):
    out = tmp_path / "run"
    job = interrupted(out)
    for folder in checkpoints.folders(out):
        harm(folder)
    before = content(out)
    for _ in range(2):
        with pytest.raises(UserError, match=words) as told:
            train(job, digits(), lambda event: None)
        assert "\n" not in str(told.value)
        assert content(out) == before
    shutil.rmtree(out / "checkpoints")  # as the line says
    assert train(job, digits(), lambda event: None).finished


def test_checkpoints_on_a_disk_that_is_not_there(tmp_path):
    """Moved to another disk with a link in their place: gone on from there, and not begun anew while it is away."""
    out = tmp_path / "run"
    job = interrupted(out)
    (out / "checkpoints").rename(tmp_path / "disk")
    (out / "checkpoints").symlink_to(tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "away")
    before = content(out)
    with pytest.raises(UserError, match=r"checkpoints: cannot be read \(No such file or directory\)"):
        train(job, digits(), lambda event: None)
    (out / "checkpoints").unlink()
    (out / "checkpoints").write_text("not a folder")
    with pytest.raises(UserError, match=r"checkpoints: cannot be read \(Not a directory\)"):
        train(job, digits(), lambda event: None)
    (out / "checkpoints").unlink()
    assert content(out) == before
    (out / "checkpoints").symlink_to(tmp_path / "away")
    told: list[dict] = []
    assert train(job, digits(), told.append).finished
    assert [e["from"] for e in told if e["kind"] == "start"] == [2]


def test_a_run_goes_on_with_a_note_in_its_checkpoint(tmp_path):
    out = tmp_path / "run"
    job = interrupted(out)
    for folder in checkpoints.folders(out):
        (folder / "notes.txt").write_text("mine")
    told: list[dict] = []
    assert train(job, digits(), told.append).finished
    assert [e["from"] for e in told if e["kind"] == "start"] == [2]
    assert not [e for e in told if e["kind"] == "warning"]


FULL = """
import json, resource, sys
from pathlib import Path
from reslab.training import saving
from reslab.nets.model import build
from reslab.nets.spec import Spec
run, limit = Path(sys.argv[1]), int(sys.argv[2])
spec = Spec.from_dict(json.loads(sys.argv[3]))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
saving.save(run, build(spec), {}, {"iteration": 2, "spec": spec.to_dict(), "classes": []})
"""


def refused_save(run: Path, limit: int) -> str:
    """The last line of a process that saves at iteration 2, where no file may be longer than `limit` bytes."""
    words = [sys.executable, "-c", FULL, str(run), str(limit), json.dumps(TINY.to_dict())]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_fault_06_a_save_that_finds_no_room(tmp_path):
    """A real limit on the size of files: told in one line, nothing left behind, the one before it as it was."""
    before = content(save(tmp_path, 1))
    for limit in (8, 3000):
        told = refused_save(tmp_path, limit)
        assert told.startswith(f"reslab.errors.RunError: {tmp_path / 'checkpoints'}: the checkpoint at iteration 2")
        assert "File too large" in told
        assert int(re.search(r"it needs ([\d,]+) bytes", told)[1].replace(",", "")) > 3000
        assert re.search(r"[\d,]{4,} are free", told)
        assert names(tmp_path) == ["step-00000001"]
    assert content(tmp_path / "checkpoints" / "step-00000001") == before
    assert checkpoints.newest(tmp_path).iteration == 1


def test_fault_06_a_full_disk(tmp_path):
    """A real file system of 8 KB, where this may be mounted."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        told = refused_save(tmp_path, 0)
        assert "No space left on device" in told
        assert str(tmp_path / "checkpoints") in told
        assert names(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_find_takes_a_run_or_a_checkpoint(tmp_path):
    run = tmp_path / "run"
    folder = save(run, 7)
    (run / "run.json").write_text("{}")
    assert checkpoints.find(run).folder == checkpoints.find(folder).folder == folder
    for path, words in ((tmp_path / "nowhere", "no such checkpoint or run"), (tmp_path, "no checkpoint of reslab")):
        with pytest.raises(UserError, match=words):
            checkpoints.find(path)
    damage(folder)
    for path in (run, folder):
        with pytest.raises(UserError, match="SHA-256"):
            checkpoints.find(path)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="no checkpoint yet"):
        checkpoints.find(run)


def test_find_takes_no_older_one_in_place_of_a_damaged_one(tmp_path):
    """One byte too many in the newest: it is named, and the folder that has the one before it."""
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    (tmp_path / "run.json").write_text("{}")
    with (newer / checkpoints.WEIGHTS).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError) as told:
        checkpoints.find(tmp_path)
    assert str(told.value) == (
        f"{newer / checkpoints.WEIGHTS}: its SHA-256 is not the manifest's, so it is damaged; "
        f"to use the checkpoint before it instead, give {older}"
    )
    assert checkpoints.find(older).iteration == 1


def test_a_copy_scores_without_momentum_and_resumes_with_it(tmp_path):
    """What is committed of a run: no path of the machine that made it, and the same weights."""
    import reslab

    short = {"batch": 16, "iterations": 6, "drops": (), "eval_every": 6, "clean_every": 6, "log_every": 3}
    run = tmp_path / "run"
    reslab.train("cifar_resnet8", set=short, out=run, threads=1, widths=(4, 4, 8), tell=lambda event: None)
    whole = checkpoints.find(run)
    for name, to_resume in (("scored", False), ("resumed", True)):
        kept = checkpoints.load(saving.copied(run, tmp_path / name, "digits", to_resume=to_resume))
        assert all(torch.equal(kept.weights[k], v) for k, v in whole.weights.items())
        assert any(k.startswith("momentum.") for k in kept.state) is to_resume
        assert kept.facts == {**whole.facts, "data": {**whole.facts["data"], "source": "digits"}}
        (tmp_path / name / "run.json").write_text((run / "run.json").read_text())
        (found,) = reslab.evaluate(tmp_path / name, "digits", threads=1)
        (same,) = reslab.evaluate(run, threads=1)
        assert found.scores == same.scores
