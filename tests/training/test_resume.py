"""Real processes, really killed: the end is bit for bit that of an uninterrupted run."""

import hashlib
import json
import shutil
import signal
from pathlib import Path

import pytest
from cases import some
from processes import Running, Trainings

from reslab.store import jsonl

BASE = ["train", "cifar_resnet8", "--data", "digits", "--recipe", "digits-smoke", "--seed", "3", "--threads", "1"]
# 60 updates of 64 from 1,297 images: 20.3 an epoch, so checkpoints every 7 fall into the middle of epochs
SETTINGS = ["--iterations", "60", "--set", "save_every=7", "--set", "log_every=1", "--set", "drops=30,45"]
BEYOND = [
    word
    for field in ("schedule=linear", "rise=10", "optimizer=muon", "momentum_form=nesterov", "label_smoothing=0.2",
                  "augment=crop-flip", "flip=alternating", "small_size=6", "small_until=40")
    for word in ("--set", field)
]  # fmt: skip


TRAININGS = Trainings(*BASE, *SETTINGS)
start, finish = TRAININGS.start, TRAININGS.finish


def lines(out: Path) -> list[dict]:
    path = out / "metrics.jsonl"
    return list(jsonl.read(path, checked=True).records)


def figures(out: Path) -> list[str]:
    """Every measurement but the clock and the marks of resuming, floats in hex."""
    kept = [{k: v for k, v in m.items() if k != "clock"} for m in lines(out) if m["kind"] != "resume"]
    return [json.dumps({k: v.hex() if isinstance(v, float) else v for k, v in m.items()}) for m in kept]


def hashes(out: Path, end: int = 60) -> dict[str, str]:
    last = sorted((out / "checkpoints").glob("step-*"))[-1]
    assert last.name == f"step-{end:08d}"
    return {
        f: hashlib.sha256((last / f).read_bytes()).hexdigest() for f in ("weights.safetensors", "state.safetensors")
    }


def kill_when(process: Running, reached, sign: int = signal.SIGKILL) -> int:
    """Signal the whole process group as soon as `reached()` says so; its exit status."""
    assert process.until(reached, 240), process.wait(1).text
    process.signal(sign)
    return process.wait(60).code


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(out)
    return out


def at_iteration(out: Path, k: int):
    return lambda: any(m["iteration"] >= k and m["kind"] == "train" for m in _safely(out))


def _safely(out: Path) -> list[dict]:
    try:
        return lines(out)
    except ValueError:  # read while a line was being written
        return []


# before the first checkpoint, right after one, mid-epoch between two, late
@pytest.mark.parametrize("moments", some([(24, 25, 58), (3,), (8,), (12, 33)], quick=1))
def test_kill_9_and_resume_is_bit_exact(whole, tmp_path, moments):
    out = tmp_path / "run"
    for k in moments:
        kill_when(start(out), at_iteration(out, k))
        assert not any(m["kind"] == "end" for m in lines(out))
    told = finish(out).err
    assert "resumes at iteration" in told or moments == (3,)
    assert hashes(out) == hashes(whole)
    assert figures(out) == figures(whole)


def test_kill_inside_a_save(whole, tmp_path):
    """Killed while a checkpoint lies half-written beside the others: it is swept, the one before is used."""
    out = tmp_path / "run"
    often = ("--set", "save_every=1")  # sixty saves to be caught in; how often one saves changes no weight
    aside = lambda: list((out / "checkpoints").glob(".writing-*"))  # noqa: E731
    for _ in range(2):
        kill_when(start(out, *often), aside)
    finish(out, *often)
    assert not aside()
    assert hashes(out) == hashes(whole)


def test_sigterm_saves_and_exits_75(whole, tmp_path):
    out = tmp_path / "run"
    assert kill_when(start(out), at_iteration(out, 17), signal.SIGTERM) == 75
    saved = sorted((out / "checkpoints").glob("step-*"))[-1]
    assert int(saved.name[5:]) >= 17  # at the very step, not at the last multiple of save_every
    told = finish(out).err
    assert f"resumes at iteration {int(saved.name[5:])}" in told
    assert hashes(out) == hashes(whole)
    assert figures(out) == figures(whole)


def test_damaged_checkpoint_falls_back_to_the_one_before(whole, tmp_path):
    out = tmp_path / "run"
    kill_when(start(out), at_iteration(out, 24))
    newest = sorted((out / "checkpoints").glob("step-*"))[-1]
    weights = newest / "weights.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-5] ^= 1  # one bit of one weight: safetensors alone would load it
    weights.write_bytes(raw)
    told = finish(out).err
    assert "passed over" in told
    assert str(weights) in told
    assert hashes(out) == hashes(whole)


def test_the_same_command_again_trains_nothing(whole):
    before = hashes(whole), (whole / "metrics.jsonl").read_bytes()
    assert "finished already" in finish(whole).err
    assert (hashes(whole), (whole / "metrics.jsonl").read_bytes()) == before


@pytest.mark.parametrize(
    "path",
    [
        # all that fast recipes add, killed while images are small and taken up again
        ("--precision", "bf16", "--engine", "fused", *BEYOND),
        *some(
            [
                ("--engine", "fused"),
                ("--precision", "bf16"),
                ("--precision", "bf16", "--engine", "fused"),
                ("--precision", "bf16", "--engine", "winograd"),
                ("--precision", "bf16", "--engine", "compiled"),
                ("--precision", "bf16", "--engine", "fused", "--recompute", "on"),
                ("--precision", "bf16", "--engine", "winograd", *BEYOND),
                ("--precision", "bf16", "--engine", "winograd", "--recompute", "on"),
            ],
            quick=0,
        ),
    ],
)
def test_fast_paths_resume_bit_for_bit(tmp_path, path):
    from reslab.engines import winograd
    from reslab.store.native import compiler

    if "--engine" in path and compiler() is None:
        pytest.skip("no C++ compiler: neither fused nor compiled can run here")
    if "winograd" in path and winograd.unavailable_reason():
        pytest.skip(f"no convolutions of our own: {winograd.unavailable_reason()}")
    whole, out = tmp_path / "whole", tmp_path / "run"
    finish(whole, *path)
    kill_when(start(out, *path), at_iteration(out, 24))
    finish(out, *path)
    assert hashes(out) == hashes(whole)
    assert figures(out) == figures(whole)


@pytest.mark.slow
def test_a_run_from_a_trained_model_resumes_bit_for_bit(whole, tmp_path):
    path = ("--init-from", whole, "--freeze", "stem..conv2_x", "--set", "bn_statistics=precise")
    straight, out = tmp_path / "straight", tmp_path / "run"
    finish(straight, *path)
    for k in (3, 24):  # before the first checkpoint, and between two
        kill_when(start(out, *path), at_iteration(out, k))
    assert "resumes at iteration" in finish(out, *path).err
    assert hashes(out) == hashes(straight) != hashes(whole)
    assert figures(out) == figures(straight)


@pytest.mark.slow
def test_an_extension_resumes_bit_for_bit(whole, tmp_path):
    straight, out = (Path(shutil.copytree(whole, tmp_path / name)) for name in ("straight", "run"))
    more = ("--extend", "90")
    assert "extended from 60 to 90 iterations" in finish(straight, *more).err
    for k in (61, 80):
        kill_when(start(out, *more), at_iteration(out, k))
        assert [m["iteration"] for m in lines(out) if m["kind"] == "end"] == [60]
    finish(out, *more)
    assert hashes(out, 90) == hashes(straight, 90)
    assert figures(out) == figures(straight)
    assert "finished already at iteration 90" in finish(out, *more).err


def test_another_seed_ends_elsewhere(whole, tmp_path):
    """The comparison above can fail."""
    words = [w if w != "3" else "4" for w in BASE]
    out = tmp_path / "run"
    assert TRAININGS.server(*words, *SETTINGS, "--out", out, cwd=tmp_path).code == 0
    assert hashes(out) != hashes(whole)
