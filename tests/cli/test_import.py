"""`reslab import` on the command line, and imported models in the other verbs; bad input is one line."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from commands import environment
from PIL import Image
from torchvision.models import resnet18

import reslab
from benchmarks.origins import cifar6n2, randomised


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of a small net with ten classes, and one of torchvision's resnet18 with two."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({"state_dict": randomised(cifar6n2(8)).state_dict(), "epoch": 3}, folder / "small.th")
    torch.manual_seed(0)
    torch.save(randomised(resnet18(num_classes=2)).state_dict(), folder / "pets.pth")
    return folder


def test_what_is_printed_and_written(weights, warm, tmp_path):
    shown = warm("import", weights / "small.th").good().out
    lines = shown.splitlines()
    assert lines[0].startswith("cifar_resnet8 pad_at=both: ")
    assert [line.split()[:3] for line in lines if "assumed" in line] == [["assumed", "pad_at", "both"]]
    assert "state_dict is read, and not epoch" in shown
    assert lines[-1] == "  nothing is written; --out FOLDER writes a model folder"
    assert not any(path.name == "model" for path in tmp_path.iterdir())
    told = json.loads(warm("import", weights / "small.th", "--out", "model", "--json").good().out)
    assert (told["folder"], told["origin"]["imported"]["layout"]) == ("model", "akamaster")
    assert (tmp_path / "here" / "model" / "config.json").is_file()
    warm("import", weights / "small.th", "--out", "model").refused("--out model: holds", "already")


def test_facts_are_set(weights, warm, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\n\ndog\n")
    words = ("--names", names, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--image-size", "96", "--shorter",
             "100", "--interpolation", "bicubic", "--padding", "circular")  # fmt: skip
    told = json.loads(warm("import", weights / "pets.pth", "--json", *words).good().out)
    assert told["classes"] == ["cat", "dog"]
    assert told["input"] == {"channels": 3, "size": 96, "shorter": 100, "interpolation": "bicubic"}
    assert (told["spec"]["image_size"], told["spec"]["padding"]) == (96, "circular")
    assert told["origin"]["imported"]["assumed"] == {}


def test_bad_options(weights, warm, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    file = weights / "pets.pth"
    warm("import", file, "--names", names).refused("1 names, but the network has 2 classes")
    warm("import", file, "--names", tmp_path / "latin.txt").refused("cannot be read (no UTF-8)")
    warm("import", file, "--names", tmp_path / "none.txt").refused("cannot be read (No such file")
    warm("import", file, "--mean", "0.5").refused("--mean: 1 numbers, but the network has 3 input channels")
    warm("import", file, "--std", "1,1,0").refused("--std: 0 is not above 0")
    warm("import", file, "--mean", "a,b").refused("--mean: 'a,b': expected numbers")
    warm("import", file, "--shorter", "100").refused("--shorter 100: smaller than the crop of 224 pixels")
    warm("import", file, "--image-size", "8").refused("image_size: 8 is too small for resnet18")
    warm("import", file, "--layout", "akamaster").refused("not those of a residual network as akamaster names them")
    warm("import", file, "--layout", "kuangliv").refused("kuangliu")
    warm("import", tmp_path / "none.pth").refused("none.pth")
    warm("import", weights).refused("has neither model.safetensors nor pytorch_model.bin")
    warm("import", "hf:").refused("hf:")


@pytest.mark.slow
def test_the_other_verbs_take_it(weights, warm, tmp_path):
    here = tmp_path / "here"
    warm("import", weights / "pets.pth", "--out", "model", "--image-size", "64", "--shorter", "72").good()
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (here / "pets" / kind).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(here / "pets" / kind / f"{number}.png")
    shown = warm("predict", "model", "pets/cat/0.png").good().out
    assert shown.startswith("pets/cat/0.png: class ")
    assert warm("predict", weights / "pets.pth", "pets/cat/0.png").good().out.startswith("pets/cat/0.png: class ")
    warm("evaluate", "model").refused("imported weights do not name their data; give some with --data")
    shown = warm("evaluate", "model", "--data", "pets").good().out
    assert shown.startswith("resnet18 (imported), ")
    assert "class names of the weights are assumed" in shown
    told = json.loads(warm("evaluate", "model", "--data", "pets", "--json").good().out)
    assert (told[0]["iteration"], told[0]["n"]) == (None, 6)
    shown = warm("evaluate", "model", "model", "--data", "pets", "--ensemble", "logits").good().out
    assert "ensemble of 2" in shown
    shown = warm("probe", "model", "--data", "pets", "--split", "test", "--only", "responses").good().out
    assert shown.startswith("resnet18 (imported), ")


def test_a_run_begins_from_a_file(weights, images, warm, tmp_path):
    """Frozen parts keep the file's bits, the rest is trained, and the run goes on in the other verbs."""
    words = ("train", "--init-from", weights / "small.th", "--data", images, "--iterations", "2", "--set", "batch=4")
    said = warm(*words, "--freeze", "stem..conv2_x", "--out", "run").good()
    assert "the head is new, as there are 2 classes instead of 10" in said.out + said.err
    assert "frozen, with their BN statistics: stem, conv2_x" in said.out + said.err
    before, after = (reslab.load(model).weights for model in (weights / "small.th", tmp_path / "here" / "run"))
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert same == {name for name in before if name.startswith(("stem", "conv2_"))}
    assert json.loads(warm("evaluate", "run", "--json").good().out)[0]["n"] == 6
    warm(*words, "--out", "run").refused("run")


@pytest.mark.skipif(os.name != "posix", reason="no limit of a file's size")
@pytest.mark.slow
def test_a_full_disk_leaves_nothing(weights, tmp_path):
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-m", "reslab", "import", weights / "small.th", "--out", "model"], capture_output=True,
        text=True, cwd=tmp_path, preexec_fn=limited, timeout=120, env=environment(),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("reslab: --out model: cannot be written (File too large); make room")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written(weights, warm, tmp_path):
    (tmp_path / "here").chmod(0o500)
    warm("import", weights / "small.th", "--out", "model").refused("--out model: cannot be written")
