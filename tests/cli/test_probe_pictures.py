"""`reslab probe --lesions --similarity --surface`: text, JSON, pictures, refusals, a full disk."""

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

QUICK = ("--samples", "16", "--threads", "1", "--device", "cpu")
ALL = ("--lesions", "--similarity", "--surface", "1")
HEAD = [
    "model", "checkpoint", "iteration", "data", "split", "seed", "n", "bn", "responses", "responses_sorted",
    "activations", "gradient_batch", "loss", "gradients", "layers", "weight_gradients", "residuals", "jacobians",
    "notes",
]  # fmt: skip


def test_all_three_of_a_run(warm, trained, tmp_path):
    here = tmp_path / "here"
    told = json.loads(warm("probe", trained, *QUICK, *ALL, "--pictures", "seen", "--json").good().out)
    assert list(told) == [*HEAD, "lesions", "similarity", "surface", "pictures"]
    assert told["responses"] is told["gradients"] is told["jacobians"] is None
    assert (told["bn"], told["surface"]["bn"], told["surface"]["seed"], told["surface"]["cosine"]) == (
        "running", "running", 0, None,
    )  # fmt: skip
    assert [x["block"] for x in told["lesions"]["without"]] == ["conv2_1"]
    assert told["lesions"]["several"][0]["draws"] == [
        {"blocks": ["conv2_1"], "error": told["lesions"]["without"][0]["error"]}
    ]
    assert told["similarity"]["names"] == ["stem", "conv2_1", "conv3_1", "conv4_1", "gap"]
    assert told["pictures"] == [f"seen/{name}.png" for name in ("lesions", "similarity", "surface")]
    for name in told["pictures"]:
        pixels = np.asarray(Image.open(here / name).convert("L"))
        assert min(pixels.shape) > 500
        assert 0.01 < (pixels < 200).mean() < 0.9
    assert {file.name for file in (here / "seen").iterdir()} == {"lesions.png", "similarity.png", "surface.png"}
    again = warm("probe", trained, *QUICK, "--lesions", "--pictures", "seen").refused("--pictures seen: holds")
    assert "give an empty or a new folder" in again.err


def test_the_loss_at_the_weights_is_that_of_evaluate(warm, trained):
    """The whole test split: the middle of the surface and the error of the lesions' unchanged net."""
    words = ("--split", "test", "--samples", "100000", "--threads", "1", "--device", "cpu", "--lesions")
    told = json.loads(warm("probe", trained, *words, "--surface", "1", "--json").good().out)
    (scored,) = json.loads(warm("evaluate", trained, "--json", "--device", "cpu").good().out)
    middle = len(told["surface"]["steps"]) // 2
    assert (told["n"], told["surface"]["steps"][middle]) == (scored["n"], 0)
    assert told["surface"]["error"][middle] == told["lesions"]["error"] == scored["top1_error"]
    assert told["surface"]["loss"][middle] == pytest.approx(scored["loss"], rel=1e-5)


def test_text(warm, trained):
    out = warm("probe", trained, *QUICK, *ALL, "--only", "residuals").good().out
    for title in ("Residual ratios", "Top-1 error in %: ", "Without k random", "Linear CKA", "Loss along a filter-n"):
        assert title in out
    assert "Layer responses" not in out
    assert max(map(len, out.splitlines())) <= 120
    out = warm("probe", "mlp_resnet6", *QUICK, "--widths", "4", "--surface", "2", "--pictures", "two").good().out
    assert "15 x 15 points (no BN)" in out
    assert "the least loss" in out
    assert "picture  two/surface.png" in out
    assert "Layer responses" not in out


def test_the_seed_decides_the_directions(warm, trained):
    one, other, again = (
        json.loads(warm("probe", trained, *QUICK, "--surface", "1", "--seed", seed, "--json").good().out)["surface"]
        for seed in (1, 2, 1)
    )
    assert one == again
    assert one["loss"] != other["loss"]


def test_refused(warm, trained, tmp_path):
    warm("probe", "cifar_resnet8", *QUICK, "--surface", "3").refused("--surface: 3 directions; give 1 or 2")
    warm("probe", "cifar_resnet8", *QUICK, "--surface", "0").refused("--surface: 0 directions")
    warm("probe", "cifar_resnet8", *QUICK, "--pictures", "p").refused("--pictures p: add --lesions")
    warm("probe", "cifar_resnet8", *QUICK, "--lesions", "--at", "conv2_1").refused("--at conv2_1", "--only jacobians")
    warm("probe", "cifar_resnet11", "--block", "bottleneck", *QUICK, "--lesions").refused("--lesions: cifar_resnet11")
    warm("probe", "torchvision:resnet81", *QUICK, "--lesions").refused("torchvision:resnet81: unknown")
    warm("probe", trained, "--samples", "1", "--lesions").refused("samples")
    warm("probe", trained, *QUICK, "--lesions", "--pictures", trained / "run.json").refused("is a file, not a folder")
    warm("probe", trained, *QUICK, "--lesions", "--pictures", "/proc/pictures").refused("not writable")
    assert not (tmp_path / "here" / "p").exists()


@pytest.mark.skipif(os.name != "posix", reason="no limit of a file's size")
@pytest.mark.slow
def test_a_full_disk_is_one_line(trained, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "probe", trained, *QUICK, "--lesions", "--pictures", "full"], cwd=tmp_path,
        env=environment(), capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "reslab: --pictures full/lesions.png: cannot be written (File too large)\n"
    assert [*(tmp_path / "full").iterdir()] == []


@pytest.mark.slow
def test_imported_weights(warm, images, tmp_path):
    """torchvision's resnet18 of random weights, on a folder of pictures."""
    import torchvision

    here = tmp_path / "here"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), here / "pets.pth")
    warm("import", "pets.pth", "--out", "model", "--image-size", "32", "--shorter", "32").good()
    words = ("--data", images, "--split", "val", *QUICK, "--lesions", "--similarity", "--pictures", "seen")
    told = json.loads(warm("probe", "model", *words, "--json").good().out)
    assert (told["n"], len(told["lesions"]["without"]), len(told["similarity"]["names"])) == (6, 5, 10)
    assert (here / "seen" / "similarity.png").stat().st_size > 5000
