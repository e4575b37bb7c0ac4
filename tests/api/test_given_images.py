"""Images given in Python, through the verbs: trained on, resumed, refused, scored and probed, bit for bit as a set."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import reslab
from reslab.api.runs import rehearse
from reslab.data.batches.views import whole
from reslab.data.source import GIVEN
from reslab.data.sources import load
from reslab.errors import UserError
from reslab.store import jsonl

HOW = {"recipe": "digits-smoke", "threads": 1, "device": "cpu", "engine": "eager", "tell": lambda event: None}
WHOLE = load("digits")


def arrays(count: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The first `count` digits of each split as a user has them, not yet [N, H, W, C]."""
    return {name: (part.images[:count, ..., 0], part.labels[:count]) for name, part in WHOLE.splits().items()}


class Digits(Dataset):
    """The training digits as torchvision gives a set: Pillow images, labels, names."""

    classes = tuple("0123456789")

    def __len__(self):
        return len(WHOLE.train)

    def __getitem__(self, index):
        return Image.fromarray(WHOLE.train.images[index, ..., 0]), int(WHOLE.train.labels[index])


def refused(call, *words, **options) -> str:
    with pytest.raises(UserError) as told:
        call(*words, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


def figures(record) -> list[str]:
    """Every measurement but the clock, floats in hex."""
    kept = [{k: v for k, v in m.items() if k != "clock"} for m in record.metrics]
    return [json.dumps({k: v.hex() if isinstance(v, float) else v for k, v in m.items()}) for m in kept]


def assert_equal_bits(one: Path, other: Path) -> None:
    a, b = reslab.load(one), reslab.load(other)
    assert a.weights.keys() == b.weights.keys()
    for name, value in a.weights.items():
        assert torch.equal(value, b.weights[name]), name
    for part in ("mean", "scale"):
        assert np.array_equal(getattr(a.transform.statistics, part), getattr(b.transform.statistics, part))
    assert (a.classes, a.transform.view) == (b.classes, b.transform.view) == (tuple("0123456789"), whole(8))


@pytest.fixture(scope="module")
def by_word(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("word") / "run"
    reslab.train("cifar_resnet8", "digits", out=out, **HOW)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A short run on arrays."""
    out = tmp_path_factory.mktemp("given") / "run"
    reslab.train("cifar_resnet8", arrays(), out=out, **HOW)
    return out


def test_arrays_end_bit_for_bit_where_the_set_ends(by_word, run):
    """The same batches, statistics, updates and scores."""
    assert_equal_bits(by_word, run)
    records = [
        reslab.train("cifar_resnet8", data, out=out, **HOW) for data, out in (("digits", by_word), (arrays(), run))
    ]
    assert figures(records[0]) == figures(records[1])


def test_a_dataset_of_pillow_images_ends_there_too(by_word, tmp_path):
    data = {"train": Digits(), "test": torch.utils.data.TensorDataset(
        torch.from_numpy(WHOLE.test.images).permute(0, 3, 1, 2), torch.from_numpy(WHOLE.test.labels))}  # fmt: skip
    reslab.train("cifar_resnet8", data, out=tmp_path / "run", **HOW)
    assert_equal_bits(by_word, tmp_path / "run")
    assert reslab.evaluate(tmp_path / "run", arrays(), threads=1)[0].data_notes == ()  # the same data in another form


def test_a_hold_out_is_that_of_the_set(tmp_path):
    for data, out in (("digits", tmp_path / "word"), (arrays(), tmp_path / "given")):
        reslab.train("cifar_resnet8", data, out=out, **HOW, set={"holdout": 97})
    assert_equal_bits(tmp_path / "word", tmp_path / "given")
    scores = [
        reslab.evaluate(tmp_path / out, data, split="val", threads=1)[0]
        for out, data in (("word", None), ("given", arrays()))
    ]
    assert [one.to_dict()["n"] for one in scores] == [97, 97]
    assert scores[0].to_dict()["loss"] == scores[1].to_dict()["loss"]


def test_the_record_says_what_it_was_trained_on(run):
    record = json.loads((run / "run.json").read_text())
    data = record["data"]
    assert (data["source"], data["kind"], data["name"]) == (GIVEN, "given", "given")
    assert data["fingerprint"] == load(arrays()).fingerprint
    assert data["sizes"] == {"train": 1297, "test": 500}
    facts = json.loads((sorted(run.glob("checkpoints/step-*"))[-1] / "state.json").read_text())
    assert facts["data"] == {"source": GIVEN, "name": "given", "kind": "given", "fingerprint": data["fingerprint"]}


def test_the_recorded_command_is_a_call_that_finds_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {**HOW, "recipe": "digits", "set": {"lr": 0.05, "drops": (), "pad": 2}, "iterations": 2, "seed": 4}
    first = reslab.train("cifar_resnet8", arrays(64), shortcut="C", widths=(4, 4, 8), precision="fp32", **how)
    command = first.run["command"]
    assert command == (
        "reslab.train('cifar_resnet8', data, recipe='digits', seed=4, set={'iterations': 2, 'lr': 0.05, 'drops': [], "
        "'pad': 2}, precision='fp32', shortcut='C', widths=(4, 4, 8))"
    )
    again = eval(command, {"reslab": reslab, "data": arrays(64)})
    assert (again.folder, again.finished, len(again.metrics)) == (first.folder, True, len(first.metrics))
    assert [path.name for path in Path("runs").iterdir()] == [first.folder.name]


def test_the_default_recipe_is_sized_by_the_images(tmp_path):
    found = rehearse("cifar_resnet8", arrays(200), out=tmp_path / "run", threads=1, engine="eager", device="cpu")
    assert (found.iterations, found.sizes) == (625, {"train": 200, "test": 200})


def test_other_arrays_are_refused(run):
    other = arrays()
    images, labels = other["train"]
    other["train"] = images.copy(), labels
    other["train"][0][1296, 7, 7] ^= 1
    for data in (other, "digits", arrays()["train"]):
        told = refused(reslab.train, "cifar_resnet8", data, out=run, **HOW)
        assert "holds another run (the data's fingerprint is another)" in told
    (untouched,) = reslab.evaluate(run, arrays(), threads=1)
    assert untouched.iteration == 20


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        ((np.zeros((4, 8, 8), np.float32), [0, 1, 0, 1]), {}, "images are float32"),
        (arrays(), {"val_share": 0.1}, "--val-share: only folders"),
        (arrays(), {"download": True}, "only the words cifar10"),
        (arrays(), {"classes": 7}, "classes: 7, but given has 10"),
        ({"test": arrays()["test"]}, {}, "given has no 'train' split"),
        (None, {}, "a NoneType is no data"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path, data, options, told):
    assert told in refused(reslab.train, "cifar_resnet8", data, out=tmp_path / "run", **HOW, **options)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_study_names_its_data(tmp_path):
    assert "a study records its data by name" in refused(reslab.reproduce, "C1", arrays(), out=tmp_path / "study")


# -- scored and probed


def test_without_data_it_says_that_they_must_be_given_again(run):
    for call in (reslab.evaluate, reslab.probe):
        told = refused(call, run)
        assert told.startswith(str(run))
        assert "was trained on images given in Python" in told
        assert "give them again" in told


@pytest.mark.slow
def test_the_command_line_says_so_too(run):
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "evaluate", str(run)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "was trained on images given in Python" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_scores_are_those_of_the_set(by_word, run):
    (word,) = reslab.evaluate(by_word, threads=1)
    (given,) = reslab.evaluate(run, arrays(), threads=1)
    (pair,) = reslab.evaluate(run, arrays()["test"], threads=1)
    (other,) = reslab.evaluate(by_word, arrays()["test"], threads=1)  # a run on a set, scored on arrays
    (named,) = reslab.evaluate(run, "digits", threads=1)  # and the other way round
    every = [one.to_dict() for one in (word, given, pair, other, named)]
    for key in ("split", "n", "top1_error", "loss", "per_class"):
        assert all(one[key] == every[0][key] for one in every), key
    assert (word.data_notes, given.data_notes) == ((), ())
    note = "given in Python; images that it was trained on may be among them"
    assert note in pair.data_notes
    assert note in other.data_notes
    assert "not the files that it was trained on" in named.data_notes


def test_a_pair_is_the_split_that_is_asked_for(run):
    (train,) = reslab.evaluate(run, arrays()["train"], split="train", threads=1)
    assert (train.split, train.to_dict()["n"]) == ("train", 1297)
    assert "no 'val' split" in refused(reslab.evaluate, run, arrays(), split="val", threads=1)


def test_an_ensemble_reads_arrays_once(by_word, run):
    *_, both = reslab.evaluate([by_word, run], arrays(), ensemble="softmax", threads=1)
    assert both.to_dict()["n"] == 500


def test_images_of_other_classes_and_sizes_are_refused(run):
    images, labels = arrays()["test"]
    named = {"test": (images, labels), "classes": [f"digit {n}" for n in range(10)]}
    assert "class 0 is 'digit 0' here and '0' there" in refused(reslab.evaluate, run, named)
    assert "label 10 is outside 0..9" in refused(reslab.evaluate, run, (images, labels + 1))
    assert "image_size" in refused(reslab.evaluate, run, (images[:, :6, :6], labels))
    assert "in_channels" in refused(reslab.evaluate, run, (np.repeat(images[..., None], 3, 3), labels))
    few = reslab.evaluate(run, (images[labels < 3], labels[labels < 3]), threads=1)[0]  # not every class is there
    assert few.to_dict()["n"] == (labels < 3).sum()


def test_probes_see_the_same_images(by_word, run):
    how = {"samples": 20, "only": ("responses", "residuals"), "threads": 1}
    every = [
        reslab.probe(by_word, **how), reslab.probe(run, arrays(), **how), reslab.probe(run, arrays()["train"], **how),
    ]  # fmt: skip
    assert every[0].responses == every[1].responses == every[2].responses
    fresh = [reslab.probe("cifar_resnet8", data, seed=3, **how) for data in (arrays(), arrays()["train"])]
    assert fresh[0].residuals == fresh[1].residuals != every[0].residuals


def test_a_folder_called_as_the_set_is_not_that_set(by_word, tmp_path, monkeypatch):
    """It lies where the word would lead if it were a path."""
    monkeypatch.chdir(tmp_path)
    for name in "01":
        (tmp_path / "digits" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "digits" / name / "0.png")
    (scored,) = reslab.evaluate(by_word, str(tmp_path / "digits"))  # in grey, as the net has one channel
    assert (scored.scores.n, scored.split) == (2, "test")
    assert "every image is scored; files that it was trained on may be among them" in scored.data_notes


# -- killed

SCRIPT = """
import sys
import numpy as np, reslab
from reslab.data.sources import load
whole = load("digits")
data = {name: (part.images, part.labels) for name, part in whole.splits().items()}
if "other" in sys.argv:
    data["test"] = data["test"][0][::-1], data["test"][1][::-1]
reslab.train("cifar_resnet8", data, recipe="digits-smoke", iterations=60, set={"save_every": 7, "log_every": 1},
             out=sys.argv[1], threads=1, device="cpu", engine="eager")
"""


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), *more], stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_run_on_arrays_ends_where_an_uninterrupted_one_ends(tmp_path):
    whole, killed = start(tmp_path / "whole"), start(tmp_path / "killed")
    until = time.monotonic() + 240
    while len(jsonl.read(tmp_path / "killed" / "metrics.jsonl").records) < 17:
        assert killed.poll() is None, killed.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    assert not (tmp_path / "killed" / "checkpoints" / "step-00000060").exists()
    assert whole.communicate(timeout=240)[1]
    assert whole.returncode == 0
    refused = start(tmp_path / "killed", "other")
    assert "holds another run (the data's fingerprint is another)" in refused.communicate(timeout=240)[1]
    assert refused.returncode != 0
    resumed = start(tmp_path / "killed")
    assert "resumes at iteration" in resumed.communicate(timeout=240)[1]
    assert resumed.returncode == 0
    assert_equal_bits(tmp_path / "whole", tmp_path / "killed")
