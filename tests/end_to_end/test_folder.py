"""One's own photographs: a tiny folder of classes, trained on and scored through the command line."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from .shell import run


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Dark and light images of different sizes, 20 of each class, in train/ and in val/."""
    root, draws = tmp_path_factory.mktemp("photos") / "shade", np.random.default_rng(0)
    for split in ("train", "val"):
        for name, level in (("dark", 60), ("light", 190)):
            (root / split / name).mkdir(parents=True)
            for number in range(20):
                size = (int(draws.integers(36, 60)), int(draws.integers(36, 60)), 3)
                pixels = np.clip(draws.normal(level, 30, size), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def words(photos: Path, out: Path, *more: object) -> list[object]:
    fields = ("batch=16", "drops=", "lr=0.02", "log_every=5", "save_every=10", "eval_every=20", "clean_every=20")
    settings = [w for f in fields for w in ("--set", f)]
    return ["train", "cifar_resnet8", "--data", photos, "--image-size", 32, "--iterations", 20, "--threads", 1,
            "--out", out, *settings, *more]  # fmt: skip


def weights(out: Path) -> str:
    file = out / "checkpoints" / "step-00000020" / "weights.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_weights(photos, tmp_path):
    for workers in (0, 2):
        run(*words(photos, tmp_path / f"w{workers}", "--workers", workers))
    assert weights(tmp_path / "w0") == weights(tmp_path / "w2")
    record = json.loads((tmp_path / "w0" / "run.json").read_text())
    assert record["spec"]["classes"] == 2
    assert record["spec"]["image_size"] == 32
    assert record["data"]["sizes"] == {"train": 40, "val": 40}
    score, _ = run("evaluate", tmp_path / "w2", "--split", "val", "--json", "--threads", 1)
    (found,) = json.loads(score)
    assert (found["n"], found["split"], found["data"]) == (40, "val", "shade")
    assert [(c["class"], c["n"]) for c in found["per_class"]] == [("dark", 20), ("light", 20)]
    assert found["top1_error"] <= 10.0  # dark and light are told apart


def test_without_out_the_same_command_finds_its_run(photos, tmp_path):
    bare = [w for w in words(photos, Path("nowhere"), "--workers", 0) if w not in ("--out", Path("nowhere"))]
    run(*bare, cwd=tmp_path)
    (out,) = (tmp_path / "runs").iterdir()
    before = weights(out), (out / "metrics.jsonl").read_bytes()
    _, told = run(*bare, cwd=tmp_path)
    assert "finished already at iteration 20" in told
    assert (weights(out), (out / "metrics.jsonl").read_bytes()) == before
    command = json.loads((out / "run.json").read_text())["command"]
    assert command.startswith("reslab train cifar_resnet8 --data")


@pytest.mark.slow
def test_a_study_reads_the_folder_at_the_nets_size(photos, tmp_path):
    settings = [w for f in ("iterations=2", "drops=", "batch=8", "warmup_from_depth=0") for w in ("--set", f)]
    out, _ = run(
        "reproduce", "degradation", "--data", photos, "--depths", "8,14", "--seeds", 1, *settings, "--processes", 2,
        "--out", tmp_path / "study",
    )  # fmt: skip
    assert Path(out.split()[-1]).is_file()
    for folder in (tmp_path / "study").glob("cifar_*"):
        record = json.loads((folder / "run.json").read_text())
        assert record["spec"]["image_size"] == 32
        (found,) = (folder / "checkpoints").glob("step-*")
        assert load_file(found / "state.safetensors")["mean"].shape == (32, 32, 3)
