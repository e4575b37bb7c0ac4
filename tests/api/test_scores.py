"""What a run is scored on: the very files it was trained on, cut as it cut them; or others, and it says so."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reslab
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.store.files import MANIFEST, sha256
from reslab.training.saving import copied

SHORT = {"batch": 8, "iterations": 2, "drops": (), "log_every": 1, "save_every": 1, "eval_every": 2, "clean_every": 2}
LEVELS = {"dark": 40, "grey": 120, "light": 200}


def photos(root: Path, count: int = 10, *, classes=tuple(LEVELS), seed: int = 0) -> Path:
    """root/CLASS/0.png …, 16x16, told apart by their brightness."""
    draws = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.clip(draws.normal(LEVELS.get(name, 90), 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def trained(out: Path, data: str | Path, **options) -> Path:
    reslab.train(
        "cifar_resnet8", str(data), recipe="paper-cifar", set=SHORT, out=out, threads=1, workers=0, widths=(4, 4, 8),
        **{"image_size": 16, **options}, tell=lambda event: None,
    )  # fmt: skip
    return out


def scored(run: Path, data: str | Path | None = None, **options):
    (found,) = reslab.evaluate(run, None if data is None else str(data), threads=1, workers=0, **options)
    return found


def refused(run: Path, data: str | Path | None = None, **options) -> str:
    with pytest.raises(UserError) as told:
        scored(run, data, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


def probed(run: Path, **options):
    return reslab.probe(run, samples=4, only="responses", threads=1, workers=0, **options)


@pytest.fixture
def flat(tmp_path) -> tuple[Path, Path]:
    """A folder of 30 images of three classes, and a run on it that held a fifth of them out."""
    data = photos(tmp_path / "flat")
    return data, trained(tmp_path / "run", data, val_share=0.2)


def older(run: Path) -> Path:
    """The run as an earlier version of the program wrote it, which kept neither cut nor place nor kind."""
    for folder in checkpoints.folders(run):
        facts = json.loads((folder / checkpoints.FACTS).read_text())
        facts["data"] = {key: facts["data"][key] for key in ("name", "source", "fingerprint")}
        (folder / checkpoints.FACTS).write_text(json.dumps(facts))
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["sha256"][checkpoints.FACTS] = sha256(folder / checkpoints.FACTS)
        (folder / MANIFEST).write_text(json.dumps(manifest))
    return run


def test_the_share_held_out_is_the_trainings_own(flat):
    data, run = flat
    record = json.loads((run / "run.json").read_text())
    assert {k: record["data"][k] for k in ("kind", "val_share", "bad_images")} == {
        "kind": "folder", "val_share": 0.2, "bad_images": "error",
    }  # fmt: skip
    last = [m for m in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if m.get("split") == "val"][-1]
    for options in ({}, {"val_share": 0.2}, {"data": data}):
        found = scored(run, **options)
        assert (found.split, found.scores.n, found.scores.top1_error) == ("val", 6, last["top1_error"])
        assert found.to_dict()["data_notes"] == ["6 of 30 images held out as val by a hash of their paths"]
    for options in ({}, {"data": data}, {"data": f"{data}/."}):
        line = refused(run, val_share=0.7, **options)
        assert line.startswith(f"--val-share 0.7: {run / 'checkpoints' / 'step-00000002'} was trained with 0.2")
    assert probed(run, split="val").to_dict()["n"] == 4
    with pytest.raises(UserError, match=r"--val-share 0\.7"):
        probed(run, val_share=0.7)


def test_files_left_out_in_training_are_left_out_again(tmp_path):
    data = photos(tmp_path / "flat")
    (data / "grey" / "notes.txt").write_text("no image")
    run = trained(tmp_path / "run", data, val_share=0.2, bad_images="skip")
    assert scored(run).scores.n == 6
    assert [(f.kind, f.count, f.examples) for f in scored(run).findings] == [("no-image", 1, ("grey/notes.txt",))]
    assert json.loads((run / "run.json").read_text())["data"]["bad_images"] == "skip"


def test_a_run_finds_its_data_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    run = trained(Path("run"), photos(Path("flat")), val_share=0.2)
    assert scored(run).scores.n == 6
    monkeypatch.chdir(tmp_path / "there" / "deep")
    run = Path("../../here/run")
    photos(Path("flat"), seed=1)  # another folder of the name that was typed
    assert scored(run).scores.n == 6
    assert probed(run).to_dict()["n"] == 4
    shutil.rmtree("flat")
    (tmp_path / "here" / "flat").rename(tmp_path / "here" / "moved")
    line = refused(run)
    assert f"was trained on flat ({tmp_path / 'here' / 'flat'}), which is not here; give its place with --data" in line
    found = scored(run, "../../here/moved")  # the very files, elsewhere: cut as they were
    assert (found.split, found.scores.n) == ("val", 6)
    assert len(found.data_notes) == 1


def test_the_place_is_in_the_checkpoint_and_in_no_copy_of_it(flat, tmp_path):
    """What is committed of a run names no path of the machine that made it."""
    data, run = flat
    assert checkpoints.find(run).facts["data"]["place"] == str(data)
    copied(run, tmp_path / "copy", "PHOTOS", to_resume=True)
    text = "".join(f.read_text() for f in (tmp_path / "copy").rglob("*.json"))
    assert str(tmp_path) not in text
    record = json.loads((run / "run.json").read_text())
    assert str(tmp_path) not in json.dumps(record["data"] | {"source": ""})
    (tmp_path / "copy" / "run.json").write_text((run / "run.json").read_text())
    assert "was trained on PHOTOS, which is not here" in refused(tmp_path / "copy")
    assert scored(tmp_path / "copy", data).scores == scored(run).scores


def test_changed_files_are_scored_only_when_they_are_named(flat):
    data, run = flat
    photos(data, 11, seed=2)
    line = refused(run)
    assert line.startswith(f"{data}: its files are not those that {run / 'checkpoints' / 'step-00000002'} was trained")
    assert "give --data to score others" in line
    with pytest.raises(UserError, match="its files are not those"):
        probed(run)
    found = scored(run, data)
    assert found.split == "val"
    assert found.data_notes[-1] == "not the files that it was trained on"
    assert found.to_dict()["data_notes"] == list(found.data_notes)


def test_what_is_told_of_one_member_is_told_of_the_ensemble(tmp_path):
    data = photos(tmp_path / "flat")
    runs = [trained(tmp_path / f"run{seed}", data, val_share=share, seed=seed) for seed, share in ((0, 0.2), (1, 0.3))]
    new = photos(tmp_path / "new", 4, seed=6)
    told = reslab.evaluate(runs, str(new), ensemble="softmax", threads=1, workers=0)
    assert [r.data_notes for r in told] == [
        ("every image is scored; files that it was trained on may be among them",)
    ] * 3
    with pytest.raises(UserError, match="trained on different data or splits"):
        reslab.evaluate(runs, ensemble="softmax", threads=1, workers=0)


def test_what_the_data_set_has_to_tell_stands_on_the_result(tmp_path):
    for room in ("train", "val"):
        photos(tmp_path / "set" / room, 3)
    shutil.rmtree(tmp_path / "set" / "val" / "grey")
    found = scored(trained(tmp_path / "run", tmp_path / "set"))
    (missing,) = (each for each in found.to_dict()["findings"] if each["kind"] == "missing-class")
    assert (missing["kind"], missing["split"], missing["examples"]) == ("missing-class", "val", ["grey"])


def test_older_checkpoints_are_held_to_their_fingerprint(flat):
    data, run = flat
    same = scored(run).scores
    older(run)
    assert "--val-share 0.1" in refused(run)
    assert "--val-share 0.1" in refused(run, data)  # not scored whole: most of it was trained on
    assert scored(run, val_share=0.2).scores == same
    line = refused(run, val_share=0.7)
    assert "its files are not those" in line
    assert "(or --val-share is another)" in line


@pytest.mark.parametrize("room", ["", "test", "val"])
def test_new_photographs_are_scored_whole(flat, tmp_path, room):
    """Some of the classes, in another order than the net's rows; labels by the folder's name alone."""
    _, run = flat
    new = photos(tmp_path / "new" / room, 4, classes=("light", "grey"), seed=3)
    found = scored(run, tmp_path / "new")
    assert (found.split, found.scores.n) == (room or "test", 8)
    assert [(c["class"], c["n"]) for c in found.to_dict()["per_class"]] == [("dark", 0), ("grey", 4), ("light", 4)]
    assert "every image is scored" in found.data_notes[-1]
    photos(tmp_path / "all" / "train", 2)
    photos(tmp_path / "all" / "val", 4, seed=4)
    shutil.rmtree(tmp_path / "all" / "val" / "dark")
    whole = scored(trained(tmp_path / "other", tmp_path / "all"), tmp_path / "new")
    assert whole.scores.n == 8
    photos(new, 1, classes=("lihgt",))
    line = refused(run, tmp_path / "new")
    assert line == f"{new / 'lihgt'}: the network knows no class 'lihgt'; did you mean light?"


def test_each_image_gets_the_label_of_its_folder(tmp_path):
    """A net that tells dark from light is right about new photographs, and wrong once two folders change names."""
    data = photos(tmp_path / "flat", 12)
    run = trained(tmp_path / "run", data, val_share=0.2, iterations=40)
    new = photos(tmp_path / "new", 8, seed=5)
    assert scored(run, new).scores.top1_error < 15
    for old, name in (("dark", "x"), ("light", "dark"), ("x", "light")):
        (new / old).rename(new / name)
    assert 60 < scored(run, new).scores.top1_error < 75


def test_other_classes_are_refused_by_the_first_that_differs(tmp_path):
    for name, classes in (("mine", ("dark", "grey", "light")), ("theirs", ("dark", "lime"))):
        for room in ("train", "val"):
            photos(tmp_path / name / room, 2, classes=classes)
    run = trained(tmp_path / "run", tmp_path / "mine")
    line = refused(run, tmp_path / "theirs")
    assert "its 2 classes are not the 3" in line
    assert line.endswith("(dark, grey, light …): class 1 is 'lime' here and 'grey' there")
    shutil.rmtree(tmp_path / "theirs" / "train" / "lime")
    (tmp_path / "theirs" / "val" / "lime").rename(tmp_path / "theirs" / "val" / "grey")
    photos(tmp_path / "theirs" / "train", 2, classes=("grey",))
    assert refused(run, tmp_path / "theirs").endswith("class 2 is missing here and 'light' there")


@pytest.mark.slow
def test_the_recorded_command_runs_again(flat, tmp_path):
    """A real process, given the words that stand in run.json: the same run, its weights bit for bit."""
    data, _ = flat
    (data / "grey" / "notes.txt").write_text("no image")
    run = trained(tmp_path / "again", data, val_share=0.2, bad_images="skip", precision="fp32")
    words = shlex.split(json.loads((run / "run.json").read_text())["command"])
    assert words[0] == "reslab"
    out = tmp_path / "command"
    more = ["--out", str(out), "--threads", "1", "--workers", "0"]
    done = subprocess.run([sys.executable, "-m", "reslab", *words[1:], *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((folder / "run.json").read_text()) for folder in (run, out))
    assert first["data"] == second["data"]
    assert first["settings"]["precision"] == second["settings"]["precision"] == "fp32"
    hashes = {sha256(checkpoints.folder_of(folder, 2) / checkpoints.WEIGHTS) for folder in (run, out)}
    assert len(hashes) == 1


def test_a_damaged_newest_checkpoint_is_not_passed_over_in_silence(flat):
    _, run = flat
    newest = checkpoints.folders(run)[-1]
    with (newest / checkpoints.WEIGHTS).open("ab") as file:
        file.write(b"\0")
    line = refused(run)
    assert str(newest / checkpoints.WEIGHTS) in line
    before = checkpoints.folder_of(run, 1)
    assert line.endswith(f"give {before}")
    assert scored(before).iteration == 1
