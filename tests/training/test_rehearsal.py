"""What a dry run tells, against the run itself."""

import json
import platform
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from cases import some
from PIL import Image

import reslab
from reslab.api.runs import rehearse
from reslab.data.sets.digits import digits
from reslab.engines import machine
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.runs.schedule import is_moment
from reslab.show.terminal.rehearsal import lines
from reslab.training import loop
from reslab.training.moments import images_to_evaluate

TINY = {"model": "cifar_resnet8", "data": "digits", "recipe": "digits-smoke", "threads": 1, "widths": (4, 4, 8)}
SET = {"eval_every": 7, "clean_every": 15, "save_every": 10, "log_every": 10}


def quiet(event):
    pass


def evaluated(out, after=0):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return sum(line["n"] for line in lines if line["kind"] == "eval" and line["iteration"] > after)


def test_figures_against_the_run(tmp_path):
    out = tmp_path / "run"
    choices = {**TINY, "iterations": 40, "set": SET, "out": out}
    told = rehearse(**choices)
    assert not out.exists()
    assert (told.iterations, told.start, told.sizes) == (40, 0, {"train": 1297, "test": 500})
    assert told.update > 0
    assert told.image > 0
    record = reslab.train(**choices, tell=quiet)
    assert told.settings.to_dict() == record.run["settings"]
    assert told.evaluated == evaluated(out)
    assert told.averaged == 0
    assert told.seconds == 40 * (told.update + told.batch) + told.evaluated * told.image


@pytest.mark.parametrize("workers", some([0, 2], quick=1))
def test_passes_for_precise_statistics_count(tmp_path, monkeypatch, workers):
    """As many images as the run itself passes, also where an evaluation and a clean pass coincide."""
    passed = []

    def counted(net, batches, stop, ranks):
        real(net, (passed.append(len(images)) or images for images in batches), stop, ranks)

    real = loop.precise_statistics
    monkeypatch.setattr(loop, "precise_statistics", counted)
    choices = {**TINY, "data": squares(tmp_path / "squares"), "recipe": "photos", "iterations": 40, "workers": workers}
    choices |= {"set": {**SET, "batch": 8, "clean_every": 14}, "out": tmp_path / "run"}
    told = rehearse(**choices)
    reslab.train(**choices, tell=quiet)
    assert told.averaged == sum(passed) > 0
    assert told.reading > 0
    joint = (max(told.update, told.batch / 2) if workers else told.update + told.batch) * 40
    scored = max(told.image, told.reading / 2) if workers else told.image + told.reading
    assert told.seconds == joint + (told.evaluated + told.averaged) * scored


IN_A_POOL = """
import multiprocessing, sys
import reslab
from reslab.errors import UserError

def error(folder, workers):
    options = {"iterations": 2, "threads": 1, "workers": workers, "recipe": "photos"}
    try:
        run = reslab.train("cifar_resnet8", folder, out=f"{folder}-{workers}", tell=str, **options).folder
        return reslab.evaluate(run, split="val", threads=1)[0].scores.n
    except UserError as wrong:
        return str(wrong)

if __name__ == "__main__":
    with multiprocessing.Pool(1) as pool:
        print(*pool.starmap(error, [(sys.argv[1], None), (sys.argv[1], 2)]), sep="\\n")
"""


@pytest.mark.slow
def test_in_a_process_that_may_start_no_others(tmp_path):
    """One of multiprocessing.Pool: 80 files are more than are examined without worker processes."""
    script = tmp_path / "script.py"
    script.write_text(IN_A_POOL)
    words = [sys.executable, str(script), str(squares(tmp_path / "squares", 20))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "40"
    assert second.startswith("--workers: a process of multiprocessing.Pool may start no others, so 2 cannot be")


def squares(root, count=12):
    rng = np.random.default_rng(0)
    for split, label, row in product(("train", "val"), ("dark", "light"), range(count)):
        file = root / split / label / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        low = 128 * (label == "light")
        Image.fromarray(rng.integers(low, low + 128, (32, 32, 3), np.uint8)).save(file)
    return root


PEAK = """
import sys
from pathlib import Path
import reslab
from reslab.api.runs import rehearse
from reslab.engines import host
choices = {"iterations": 6, "recipe": "paper-cifar", "set": {"batch": 32}, "threads": 1, "out": Path(sys.argv[3])}
if sys.argv[1] == "told":
    print(rehearse(sys.argv[2], "digits", **choices).memory)
else:
    reslab.train(sys.argv[2], "digits", **choices)
    print(host.resident()[1])
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("model", some(["cifar_resnet8", "cifar_resnet56"], quick=0))
def test_memory_against_the_peak_of_the_run(tmp_path, model):
    """Both in processes of their own, Python and torch included."""
    told, peak = (
        int(subprocess.run([sys.executable, "-c", PEAK, kind, model, tmp_path / kind], capture_output=True, text=True,
                           check=True).stdout)
        for kind in ("told", "trained")
    )  # fmt: skip
    assert abs(told - peak) < 0.1 * peak, (told, peak)


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="the peak of a process is read from /proc")
def test_a_peak_that_is_past_is_a_peak(tmp_path):
    """What reading the data took once stands, however little the updates take."""
    code = "held = bytearray(1_200_000_000); held[::4096] = bytes([1]) * len(held[::4096]); del held\n" + PEAK
    words = [sys.executable, "-c", code, "told", "cifar_resnet8", tmp_path / "out"]
    assert int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) > 1_200_000_000


@pytest.mark.slow
def test_a_fall_back_of_the_engine_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    torch._dynamo.reset()
    monkeypatch.setattr(machine.choose, "refuse", lambda *a: None)
    with torch._inductor.config.patch({"cpp.cxx": ("false",), "force_disable_caches": True}):
        told = rehearse(**TINY, engine="compiled", iterations=4, out=tmp_path / "run").to_dict()
    assert "slower, not broken" in told["warning"]
    assert any(told["warning"] in line for line in lines(told))


def test_of_a_run_that_has_begun(tmp_path):
    """It says where the run would go on, with the settings it began with, and leaves every byte as it is."""
    out = tmp_path / "run"
    events = []

    def leave(event):
        events.append(event)
        if event["kind"] == "checkpoint":
            raise KeyboardInterrupt

    choices = {**TINY, "iterations": 40, "set": SET, "out": out}
    with pytest.raises(KeyboardInterrupt):
        reslab.train(**choices, tell=leave)
    before = {p: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    told = rehearse(**choices)
    assert told.start == 10
    assert {p: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()} == before
    reslab.train(**choices, tell=quiet)
    assert told.evaluated == evaluated(out, after=10)


def test_validation_counts_too(tmp_path):
    told = rehearse(**TINY, iterations=20, set={**SET, "holdout": 97}, out=tmp_path / "run")
    assert told.sizes == {"train": 1200, "val": 97, "test": 500}
    # at 7, 14 and 20 on val and test, at 15 and 20 on the training split
    assert told.evaluated == 3 * (97 + 500) + 2 * 1200


def test_nothing_is_due_after_the_end():
    data = digits()
    assert list(data.splits()) == ["train", "test"]
    assert images_to_evaluate(changed(recipe("digits-smoke"), {"iterations": 5}), data, 5) == 0


def test_evaluations_left_are_counted_in_no_loop():
    """Against the loop, for every start, length and distance of measurements below a bound; and of the longest run."""
    data = digits()
    train, test = len(data.train), len(data.test)
    for iterations, start, tests, cleans in product(range(1, 13), range(15), (1, 2, 5, 12, 13), (1, 3, 20)):
        of = changed(Recipe(), {"iterations": iterations, "eval_every": tests, "clean_every": cleans, "drops": ()})
        left = range(start + 1, iterations + 1)
        looped = test * sum(is_moment(i, tests, iterations) for i in left)
        looped += train * sum(is_moment(i, cleans, iterations) for i in left)
        assert images_to_evaluate(of, data, start) == looped, (iterations, start, tests, cleans)
    longest = changed(Recipe(), {"iterations": 10**12, "eval_every": 1, "clean_every": 10**12})
    assert images_to_evaluate(longest, data, 10) == (10**12 - 10) * test + train
