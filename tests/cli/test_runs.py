"""Machines that are not there, folders that are taken, checkpoints that are damaged: the real command line."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import pytest
from cases import some
from commands import SMOKE, Canary, environment, untrained

# -- the machine


def test_no_gpu(warm, tmp_path):
    """The environment of these tests hides every GPU."""
    out = tmp_path / "out"
    warm(*SMOKE[:-1], "cuda", "--out", out).refused("--device: cuda is not available", "0 GPUs", "--device cpu")
    warm(*SMOKE[:-1], "cuda:3", "--out", out).refused("cuda:3", "0 GPUs")
    warm(*SMOKE[:-1], "cdua", "--out", out).refused("'cdua'", "did you mean cuda")
    warm("reproduce", "degradation", "--device", "cuda", "--out", out).refused("0 GPUs")
    assert untrained(tmp_path)


def test_a_negative_number_of_workers(warm, tmp_path):
    warm(*SMOKE, "--workers", "-1", "--out", tmp_path / "out").refused("--workers: -1", "at least 0")
    assert untrained(tmp_path)


def test_a_negative_number_of_threads(warm, tmp_path):
    warm("train", "cifar_resnet8", "--threads", "-1", "--out", tmp_path / "out").refused("threads", "-1")
    assert untrained(tmp_path)


def test_a_device_with_a_wrong_number(warm, tmp_path):
    warm(*SMOKE[:-1], "cpu:foo", "--out", tmp_path / "out").refused("--device", "'cpu:foo'")
    assert untrained(tmp_path)


def test_a_batch_that_gives_no_step_leaves_the_folder_free(warm, tmp_path):
    words = (*SMOKE, "--set", "batch=5000", "--set", "last_batch=drop", "--out", tmp_path / "out")
    warm(*words).refused("5000", "1297 training samples", "0 steps")
    assert untrained(tmp_path)


@pytest.mark.slow
def test_two_lengths(cold, tmp_path):
    cold(*SMOKE, "--iterations", "1", "--epochs", "0.1", "--out", tmp_path / "out").refused("--iterations", "--epochs")


def test_a_negative_number_of_processes(warm, tmp_path):
    words = ("reproduce", "degradation", "--processes", "-1", "--depths", "8,14", "--out", tmp_path / "out")
    warm(*words).refused("--processes", "-1")


# -- the folder


def test_a_folder_of_other_things(warm, tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("mine")
    warm(*SMOKE, "--out", out).refused(f"--out {out}", "'chapter.tex'", "give an empty or a new folder")
    assert (out / "chapter.tex").read_text() == "mine"
    assert untrained(tmp_path)


def files(run) -> dict[str, str]:
    """Every file but the lock, hashed."""
    found = sorted(p for p in run.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--seed", "9"), "seed is 9 here and 0 there"),
        (("--set", "lr=0.05"), "lr is 0.05 here and 0.1 there"),
        (("--shortcut", "B"), "shortcut is 'B' here and 'A' there"),
    ],
)
def test_a_folder_of_another_run(warm, trained, change, told):
    before = files(trained)
    same = (*SMOKE, "--iterations", "2", "--set", "save_every=1", "--out", trained)
    warm(*same, *change).refused(f"--out {trained}", "holds another run", told, "give another folder")
    assert files(trained) == before
    warm(*same).good()  # it was the change that was refused


def test_a_damaged_run_file(warm, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    for text in ('{"format": 1, "spec"', "[]", '{"format": 99}', ""):
        (out / "run.json").write_text(text)
        warm(*SMOKE, "--out", out).refused(str(out / "run.json"))
        assert [p.name for p in out.iterdir() if p.name != ".lock"] == ["run.json"]


def test_a_run_file_without_its_parts(warm, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text('{"format": 1}')
    warm(*SMOKE, "--out", out).refused(str(out / "run.json"))


def test_a_folder_in_use(warm, tmp_path):
    """A second process trains in it."""
    out = tmp_path / "run"
    words = (*SMOKE, "--iterations", "1000000", "--set", "log_every=1", "--out", str(out))
    with subprocess.Popen(
        [sys.executable, "-m", "reslab", *words], stderr=subprocess.DEVNULL, env=environment(), cwd=tmp_path
    ) as other:
        try:
            until = time.monotonic() + 120
            while not (out / "metrics.jsonl").exists():
                assert other.poll() is None
                assert time.monotonic() < until, "the other process never began"
                time.sleep(0.05)
            warm(*words).refused(str(out), f"in use by process {other.pid} on ", "another --out")
            assert other.poll() is None
            other.send_signal(signal.SIGTERM)
            assert other.wait(timeout=60) == 75
        finally:
            other.kill()
    warm(*SMOKE, "--out", out).refused("holds another run (iterations")  # in use no longer


def test_a_folder_whose_name_is_not_utf_8(warm, tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    warm(*SMOKE, "--iterations", "1", "--out", out).good()


def test_a_checkpoint_in_a_folder_whose_name_is_not_utf_8(warm, trained, tmp_path):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copytree(trained, out)
    warm("evaluate", out).good()


# -- checkpoints


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


def steps(run) -> list:
    return sorted((run / "checkpoints").glob("step-*"))


def test_the_run_can_be_evaluated(warm, run):
    """What the refusals below refuse works when nothing is wrong."""
    (told,) = json.loads(warm("evaluate", run, "--json").good().out)
    assert (told["n"], told["iteration"], told["split"], told["data"]) == (500, 2, "test", "digits")
    assert told.keys() >= {"top1_error", "top5_error", "loss", "top1_interval", "per_class"}
    assert sum(row["n"] for row in told["per_class"]) == 500
    assert sum(row["wrong"] for row in told["per_class"]) == pytest.approx(5 * told["top1_error"])
    two = json.loads(warm("evaluate", *steps(run), "--json").good().out)
    assert [t["iteration"] for t in two] == [1, 2]
    assert two[1]["loss"] == told["loss"]
    assert "top-1" in warm("evaluate", run).good().out.lower()


def test_paths_that_are_no_checkpoint(warm, run, tmp_path):
    warm("evaluate", tmp_path / "nowhere").refused(str(tmp_path / "nowhere"), "no such checkpoint or run")
    warm("evaluate", tmp_path).refused(str(tmp_path), "no checkpoint of reslab")
    warm("evaluate", run / "run.json").refused(str(run / "run.json"), "give a run folder")
    warm("evaluate", run, tmp_path / "nowhere").refused("nowhere")  # the good one before it prints nothing
    shutil.rmtree(run / "checkpoints")
    warm("evaluate", run).refused(str(run), "no checkpoint yet")


def test_splits_and_data_that_do_not_fit(warm, run, images):
    warm("evaluate", run, "--split", "tets").refused("'tets'", "did you mean test")
    warm("evaluate", run, "--split", "val").refused("digits has no 'val' split", "train, test")
    warm("evaluate", run, "--data", "digitz").refused("did you mean digits")
    warm("evaluate", run, "--data", images).refused("its 2 classes are not the 10", str(run), "0, 1, 2, 3, 4")
    warm("evaluate", run, "--device", "cuda").refused("0 GPUs")


@pytest.mark.parametrize(
    "file", some(["weights.safetensors", "state.json", "state.safetensors", "manifest.json"], quick=1)
)
def test_damaged_checkpoints(warm, run, file):
    """Truncated, a bit flipped, away; named, and never scored."""
    newest = steps(run)[-1]
    damaged = newest / file
    whole = damaged.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for raw in (whole[: len(whole) // 2], whole[:-1], b"", bytes(flipped), None):
        if raw is None:
            damaged.unlink()
        else:
            damaged.write_bytes(raw)
        warm("evaluate", newest).refused(str(newest))
    older = str(steps(run)[-2])
    warm("evaluate", run).refused(str(newest), "to use the checkpoint before it instead", older)
    (told,) = json.loads(warm("evaluate", older, "--json").good().out)  # named, it is scored
    assert told["checkpoint"] == older


def test_nothing_but_damaged_checkpoints(warm, run):
    for step in steps(run):
        (step / "weights.safetensors").write_bytes(b"")
    newest = steps(run)[-1] / "weights.safetensors"
    warm("evaluate", run).refused(str(newest), "damaged", "put a whole copy")


def test_another_format(warm, run):
    newest = steps(run)[-1]
    manifest = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    warm("evaluate", newest).refused(str(newest), "format 99")


def publish(folder, file: str, raw: bytes) -> None:
    """Replace a file of a checkpoint and state its new hash, as somebody would who means harm."""
    (folder / file).write_bytes(raw)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][file] = hashlib.sha256(raw).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_fault_11_a_pickle_is_never_opened(warm, run, tmp_path):
    """As a file of its own, in a checkpoint's place, and with the manifest made to fit; evaluated and resumed."""
    mark = tmp_path / "sung"
    raw = pickle.dumps(Canary(mark))
    for name in ("model.pt", "model.pth", "model.pkl"):
        (tmp_path / name).write_bytes(raw)
        reason = "a pickle, which can run code" if name.endswith(".pkl") else "no file of torch.save"
        warm("evaluate", tmp_path / name).refused(str(tmp_path / name), reason)
    newest = steps(run)[-1]
    for file in ("weights.safetensors", "state.safetensors", "state.json"):
        kept = (newest / file).read_bytes()
        publish(newest, file, raw)
        warm("evaluate", newest).refused(str(newest), "damaged")
        publish(newest, file, kept)
    warm("evaluate", newest).good()
    for step in steps(run):
        publish(step, "weights.safetensors", raw)
    metrics = run / "metrics.jsonl"
    metrics.write_text("".join(x for x in metrics.read_text().splitlines(True) if '"end"' not in x))  # as if killed
    again = (*SMOKE, "--iterations", "2", "--set", "save_every=1", "--out", run)
    warm(*again).refused("damaged", "nothing was changed")
    shutil.rmtree(run / "checkpoints")
    warm(*again).good()
    assert not mark.exists()


def test_weights_of_another_net(warm, run):
    """Shapes that do not fit are named, at most five."""
    from safetensors.numpy import load, save

    newest = steps(run)[-1]
    weights = load((newest / "weights.safetensors").read_bytes())
    name = next(k for k in weights if k.endswith("weight"))
    publish(newest, "weights.safetensors", save({k: v for k, v in weights.items() if k != name}))
    warm("evaluate", newest).refused(str(newest), "do not fit cifar_resnet8", f"{name} (missing)")


@pytest.mark.slow
def test_cold_as_warm(cold, run, tmp_path):
    """Once without the help of an interpreter that has torch already."""
    cold("evaluate", tmp_path / "nowhere").refused("no such checkpoint or run")
    cold(*SMOKE, "--data", "digitz", "--out", tmp_path / "out").refused("did you mean digits")
    assert untrained(tmp_path / "out")


# -- a dry run


def test_a_dry_run_tells_memory_and_time_and_writes_nothing(warm, tmp_path):
    told = warm(*SMOKE, "--dry-run", "--out", tmp_path / "out", cwd=tmp_path).good()
    for word in ("settings", "an update", "memory", "time", "not written by a dry run"):
        assert word in told.out
    assert untrained(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_refuses_what_training_would(warm, tmp_path):
    warm(*SMOKE, "--dry-run", "--set", "lr=-1", "--out", tmp_path / "out").refused("lr")
    warm("train", "cifar_resnet8", "--dry-run", "--recompute", "on", "--engine", "compiled").refused("--recompute on")
    assert untrained(tmp_path)
