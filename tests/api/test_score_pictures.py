"""`evaluate` with pictures, a temperature, and several runs: real short runs, through the command line."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from api.test_scores import photos, trained
from PIL import Image
from scipy.stats import binomtest

import reslab
from reslab.api.scorepictures import pixels_of, source_of
from reslab.api.scorer import Job
from reslab.cli.main import main
from reslab.data.sources import load
from reslab.measure.answers import highest_losses
from reslab.models.trained import load as model_at

NAMES = ["confusion.svg", "confusion.png", "reliability.svg", "reliability.png", "worst.png"]
QUICK = {"recipe": "digits-smoke", "iterations": 12, "device": "cpu", "tell": lambda event: None}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with 300 training images held out as val, and one without."""
    root = tmp_path_factory.mktemp("runs")
    held = reslab.train("cifar_resnet8", set={"holdout": 300}, out=root / "held", **QUICK)
    return held.folder, reslab.train("cifar_resnet8", seed=1, out=root / "whole", **QUICK).folder


def told(capsys, *words) -> list[dict]:
    assert main(["evaluate", *map(str, words), "--json", "--threads", "1"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words) -> str:
    assert main(["evaluate", *map(str, words), "--threads", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def width_of(file: Path) -> int:
    with Image.open(file) as image:
        return image.width


def test_confusions_are_those_of_the_classifier(runs, capsys):
    (shown,) = told(capsys, runs[0])
    test = load("digits").test
    predicted = (
        reslab.classifier(runs[0], precision="fp32")([image[:, :, 0] for image in test.images]).argmax(1).numpy()
    )
    truth = np.zeros((10, 10), int)
    np.add.at(truth, (test.labels, predicted), 1)
    assert shown["confusion"] == truth.tolist()
    assert shown["compared_with_first"] is None
    assert shown["calibration"]["temperature"] is None
    assert sum(b["n"] for b in shown["calibration"]["bins"]) == len(test)


def test_a_temperature_is_fitted_on_val_alone(runs, capsys):
    held, whole = told(capsys, *runs, "--temperature")
    assert (held["split"], held["calibration"]["temperature"]["n"]) == ("test", 300)
    value = held["calibration"]["temperature"]["value"]
    (val,) = told(capsys, runs[0], "--temperature", "--split", "val")
    assert val["n"] == 300
    assert val["calibration"]["temperature"]["value"] == value  # the same images, whatever is scored
    assert whole["calibration"]["temperature"] == {
        "value": None, "fitted_on": "val", "n": 0, "error": None, "reason": "digits has no val split",
    }  # fmt: skip
    logits = reslab.evaluate(runs[0], temperature=True, threads=1)[0].scores.answers
    assert held["calibration"]["temperature"]["error"] is not None
    assert (logits.tempered != logits.confidence).any()


def test_an_ensemble_has_a_temperature_if_its_members_share_val(runs, capsys):
    mixed = told(capsys, *runs, "--ensemble", "softmax", "--temperature")
    assert [one["calibration"]["temperature"]["reason"] for one in mixed] == [
        "the members have different val splits"
    ] * 3
    same = told(capsys, runs[0], runs[0], "--ensemble", "logits", "--temperature")
    first, _, together = (one["calibration"]["temperature"]["value"] for one in same)
    assert together == pytest.approx(first)  # the average of a network with itself is the network


def test_two_runs_are_compared(runs, capsys):
    first, second = told(capsys, *runs)
    found = second["compared_with_first"]
    answers = [reslab.evaluate(run, threads=1)[0].scores.answers for run in runs]
    right = [one.predicted == one.labels for one in answers]
    here, there = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    assert (found["only_this_wrong"], found["only_first_wrong"]) == (here, there)
    assert here + there > 0
    assert found["p_value"] == pytest.approx(binomtest(here, here + there).pvalue, rel=1e-9)
    assert first["compared_with_first"] is None
    assert main(["evaluate", *map(str, runs), "--threads", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"2 (cifar_resnet8) against 1: {here} images wrong here")


def test_a_folder_of_images(runs, tmp_path):
    """Other images are not compared; a sheet of files shows the squares of the files and their names."""
    run = trained(tmp_path / "run", photos(tmp_path / "flat"), val_share=0.2)
    _, second, third = reslab.evaluate(
        [runs[0], run, runs[0]], threads=1, workers=0, pictures=tmp_path / "pictures", temperature=True
    )
    assert (second.split, second.scores.n) == ("val", 6)
    assert second.comparison is None
    assert third.comparison.p_value == 1.0
    assert second.temperature.n == 6
    assert [path.name for path in second.pictures] == NAMES
    data = load(str(tmp_path / "flat"), size=16, val_share=0.2)
    job = Job(model_at(run), data, "val", ())
    order = highest_losses(second.scores.answers, 3)
    for row, square in zip(order.tolist(), pixels_of(job, order), strict=True):
        file = data.val.paths[row]
        assert source_of(job, row) == Path(file).name
        (explained,) = reslab.explain(run, file, target=data.classes[second.scores.answers.predicted[row]])
        assert (explained.pixels == square).all()
        assert explained.probability == pytest.approx(second.scores.answers.confidence[row], rel=1e-4)


def test_pictures_of_one_run(runs, capsys, tmp_path):
    folder = tmp_path / "pictures"
    (shown,) = told(capsys, runs[1], "--pictures", folder, "--worst", "7")
    assert shown["pictures"] == [str(folder / name) for name in NAMES]
    for name in NAMES:
        if name.endswith(".png"):
            with Image.open(folder / name) as image:
                assert np.asarray(image.convert("L")).std() > 5
    text = (folder / "confusion.svg").read_text()
    assert ">predicted class<" in text
    assert all(f">{n}<" in text for row in shown["confusion"] for n in row if n)
    assert "expected calibration error" in (folder / "reliability.svg").read_text()
    assert width_of(folder / "worst.png") == 2 * 864  # three images beside their maps
    assert f"holds '{NAMES[1]}' already" in refused(capsys, runs[1], "--pictures", folder)
    assert "is a file, not a folder" in refused(capsys, runs[1], "--pictures", folder / NAMES[0])
    assert "--worst: 201 images do not fit" in refused(capsys, runs[1], "--pictures", tmp_path / "x", "--worst", "201")


@pytest.mark.slow
def test_each_of_several_results_has_its_folder(runs, capsys, tmp_path):
    results = told(capsys, *runs, "--ensemble", "softmax", "--pictures", tmp_path / "all", "--worst", "3")
    for result, name in zip(results, ("1-cifar_resnet8", "2-cifar_resnet8", "3-ensemble"), strict=True):
        assert result["pictures"] == [str(tmp_path / "all" / name / file) for file in NAMES]
        assert all((tmp_path / "all" / name / file).is_file() for file in NAMES)
    assert width_of(tmp_path / "all" / "3-ensemble" / "worst.png") == 2 * 924  # without maps, five in a row


def test_the_worst_images_are_those_of_the_highest_loss(runs):
    """Image, predicted class, probability and loss of each case, against the classifier."""
    answers = reslab.evaluate(runs[0], threads=1)[0].scores.answers
    rows = highest_losses(answers, 5)
    data = load("digits")
    pixels = pixels_of(Job(model_at(runs[0]), data, "test", ()), rows)
    shares = reslab.classifier(runs[0], precision="fp32")([one[:, :, 0] for one in pixels])
    for row, share, square in zip(rows.tolist(), shares, pixels, strict=True):
        assert (square == data.test.images[row]).all()
        assert answers.confidence[row] == pytest.approx(float(share.max()), rel=1e-4)
        assert answers.loss[row] == pytest.approx(-np.log(float(share[data.test.labels[row]])), rel=1e-3)


def test_a_net_without_maps_has_a_sheet_without_them(tmp_path):
    record = reslab.train("mlp_resnet4", out=tmp_path / "mlp", **QUICK)
    (found,) = reslab.evaluate(record.folder, threads=1, pictures=tmp_path / "pictures", worst=4)
    assert [path.name for path in found.pictures] == NAMES
    assert width_of(tmp_path / "pictures" / "worst.png") == 2 * 924


@pytest.mark.slow
def test_a_full_disk_is_one_line(runs, tmp_path):
    words = [sys.executable, "-m", "reslab", "evaluate", runs[0], "--threads", "1", "--pictures", tmp_path / "p"]
    done = subprocess.run(
        words, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"--pictures {tmp_path / 'p' / NAMES[0]}: cannot be written" in line
    assert [path.name for path in (tmp_path / "p").iterdir()] == []
