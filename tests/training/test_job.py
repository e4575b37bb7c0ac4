"""A run taken up again with other words: what is another run is refused, what is not is followed and said."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reslab.api.runs import rehearse
from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store.files import sha256
from reslab.store.sealed import write_sealed
from reslab.training.job import Job
from reslab.training.loop import train

TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
SHORT = changed(recipe("digits"), {"batch": 16, "iterations": 6, "drops": (), "log_every": 1, "save_every": 2})
BEGAN = ComputeOptions("cpu", "fp32", "eager", 1, "off")


def job(out: Path, explicit: bool = True, **options: object) -> Job:
    return Job(TINY, "digits", SHORT, 0, out, dataclasses.replace(BEGAN, **options), threads_explicit=explicit)


def run_json(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def weights(out: Path) -> str:
    return sha256(checkpoints.folder_of(out, 6) / checkpoints.WEIGHTS)


@pytest.fixture
def half(tmp_path) -> Path:
    """A run that was broken off after the checkpoint at iteration 4."""
    out = tmp_path / "run"

    def killed(event: dict) -> None:
        if event["kind"] == "checkpoint" and event["iteration"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(out), digits(), killed)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(job(out), digits(), lambda event: None)
    return out


def resumed(wanted: Job) -> tuple[list[str], dict]:
    """The warnings of the run, and the settings that its start told."""
    told: list[dict] = []
    train(wanted, digits(), told.append)
    (start,) = (e for e in told if e["kind"] == "start")
    assert start["from"] == 4
    return [e["text"] for e in told if e["kind"] == "warning"], start


def refused(wanted: Job) -> str:
    before = (wanted.out / "run.json").read_bytes()
    with pytest.raises(UserError) as told:
        train(wanted, digits(), lambda event: None)
    assert "\n" not in str(told.value)
    assert (wanted.out / "run.json").read_bytes() == before
    return str(told.value)


def test_the_same_words_change_nothing(half, whole):
    before = (half / "run.json").read_bytes()
    assert resumed(job(half))[0] == []
    assert (half / "run.json").read_bytes() == before
    assert weights(half) == weights(whole)


def test_other_threads_are_followed_and_said(half):
    warnings, start = resumed(job(half, threads=2))
    assert warnings == ["threads is 2, the run began with 1: resumed, but not bit for bit"]
    assert start["settings"] == "cpu, fp32, channels_last, eager, 2 threads"
    assert run_json(half)["settings"]["threads"] == 2
    kept = [line for line in runlog.read(half).metrics if line["kind"] == "warning"]
    assert [(line["iteration"], line["text"]) for line in kept] == [(start["from"], warnings[0])]
    assert resumed_again(half, threads=2) == []


def resumed_again(out: Path, **options: object) -> list[str]:
    """Warnings of the finished run's command, said once more."""
    told: list[dict] = []
    train(job(out, **options), digits(), told.append)
    assert [e["kind"] for e in told][-1] == "end"
    return [e["text"] for e in told if e["kind"] == "warning"]


def test_a_campaigns_share_of_the_cores_is_no_word_of_the_users(half, whole):
    """How many runs stand side by side may be another number today; a run goes on as it began."""
    before = (half / "run.json").read_bytes()
    assert resumed(job(half, explicit=False, threads=2))[0] == []
    assert (half / "run.json").read_bytes() == before
    assert weights(half) == weights(whole)


def test_recompute_is_followed_and_changes_no_bit(half, whole):
    warnings, start = resumed(job(half, recompute="on"))
    assert warnings == []
    assert "recompute" in start["settings"]
    assert run_json(half)["settings"]["recompute"] is True
    assert weights(half) == weights(whole)


def test_another_engine_is_another_run(half):
    assert refused(job(half, engine="fused")) == "--engine fused: the run began with eager; give another --out"
    assert resumed(job(half, engine="auto"))[0] == []


def test_recompute_that_the_engine_does_not_have(half):
    run = run_json(half)
    write_sealed(half / "run.json", {**run, "settings": {**run["settings"], "engine": "compiled"}})
    assert "not with the engine compiled" in refused(job(half, engine="auto", recompute="on"))
    assert "'maybe' is none of auto, on, off" in refused(job(half, engine="auto", recompute="maybe"))


def test_a_rehearsal_of_other_words_leaves_no_trace(half):
    before = (half / "run.json").read_bytes()
    found = rehearse(TINY, "digits", recipe=SHORT, out=half, threads=2, device="cpu", engine="eager")
    assert found.settings.threads == 2
    assert (half / "run.json").read_bytes() == before


def moved(out: Path, device: str, **environment: object) -> None:
    """As if the run had begun on another machine."""
    run = run_json(out)
    write_sealed(
        out / "run.json",
        {**run, "settings": {**run["settings"], "device": device}, "environment": run["environment"] | environment},
    )


@pytest.mark.slow
def test_fault_24_a_run_of_a_gpu_that_is_not_here(half):
    moved(half, "cuda:99", gpu="NVIDIA Something")
    for device in ("auto", "cpu"):
        line = refused(job(half, device=device))
        assert line.startswith(
            f"--out {half}: the run began on cuda:99, which torch does not see here; resume it on a machine that has it"
        )
    words = ["train", "cifar_resnet8", "--widths", "4,4,8", "--recipe", "digits", "--out", str(half), "--threads", "1"]
    fields = ("batch=16", "drops=", "log_every=1", "save_every=2")
    words += ["--iterations", "6", *(w for f in fields for w in ("--set", f))]
    done = subprocess.run([sys.executable, "-m", "reslab", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "the run began on cuda:99" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_finished_run_of_a_gpu_needs_none(half):
    train(job(half), digits(), lambda event: None)
    moved(half, "cuda:99", gpu="NVIDIA Something")
    assert resumed_again(half, device="auto") == []  # nothing is computed, so nothing can come out otherwise


def test_another_gpu_matters_to_a_run_on_a_gpu_alone(half):
    moved(half, "cpu", gpu="NVIDIA Something")
    assert resumed(job(half))[0] == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_another_gpu_is_said(half):
    moved(half, "cuda", gpu="NVIDIA Something")
    warnings, _ = resumed(job(half, device="auto"))
    name = torch.cuda.get_device_name()
    assert f"gpu is {name}, the run began with NVIDIA Something: resumed, but not bit for bit" in warnings
