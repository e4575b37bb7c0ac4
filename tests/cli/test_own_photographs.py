"""From a folder of pictures to a network elsewhere, by five commands.

On photographs that scikit-learn ships, and on CIFAR-10 written as PNG where it is at hand.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from reslab.data.sources import load as load_data
from reslab.models.checkpoints import load

CIFAR10 = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")
RESULTS = Path(__file__).parents[2] / "results"
SIDE, STEP = 48, 24  # pixels of a patch, and from one to the next


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Patches of two photographs: the left 70 % of each for training, the rest for val; no pixel is in both."""
    root = tmp_path_factory.mktemp("photos")
    for name, image in zip(("temple", "flower"), load_sample_images().images, strict=True):
        height, width, _ = image.shape
        border = int(0.7 * width)
        for x in [*range(0, border - SIDE + 1, STEP), *range(border, width - SIDE + 1, STEP)]:
            folder = root / ("train" if x < border else "val") / name
            folder.mkdir(parents=True, exist_ok=True)
            for y in range(0, height - SIDE + 1, STEP):
                Image.fromarray(image[y : y + SIDE, x : x + SIDE]).save(folder / f"{x:03d}-{y:03d}.png")
    return root


@pytest.fixture(scope="module")
def base(server, photos, tmp_path_factory) -> Path:
    """A network that tells the upper from the lower halves of the photographs: other classes, other head."""
    root = tmp_path_factory.mktemp("base")
    for path in photos.glob("train/*/*.png"):
        folder = root / "data" / ("upper" if int(path.stem[-3:]) < 190 else "lower")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    words = ["--image-size", 32, "--val-share", 0.2, "--epochs", 1, "--threads", 1, "--workers", 0]
    assert server("train", "cifar_resnet8", "--data", root / "data", *words, "--out", root / "run").code == 0
    return root / "run"


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory) -> Path:
    """60 and 30 images of two classes of CIFAR-10 as PNG."""
    if not CIFAR10.exists():
        pytest.skip(f"no CIFAR-10: neither RESLAB_CIFAR10 nor {CIFAR10}")
    data, root = load_data(f"cifar10:{CIFAR10}"), tmp_path_factory.mktemp("cifar10")
    for split, source, count in (("train", data.train, 60), ("val", data.test, 30)):
        for name in ("cat", "truck"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for row in np.flatnonzero(source.labels == data.classes.index(name))[:count]:
                Image.fromarray(source.images[row]).save(folder / f"{row}.png")
    return root


@pytest.mark.slow
def test_on_photographs(server, photos, base, tmp_path):
    from_folder_to_runtime(server, photos, base, tmp_path, [("train", 272), ("val", 112)], updates=85, step=12)


@pytest.mark.slow
def test_on_cifar10_from_the_weights_of_a_resnet20(server, cifar10, tmp_path):
    base = RESULTS / "gpu-whole" / "cifar_resnet20-s0"
    from_folder_to_runtime(server, cifar10, base, tmp_path, [("train", 60), ("val", 30)], updates=19, step=5)


def from_folder_to_runtime(server, photos, base, tmp_path, sizes, updates, step):
    """check, train --init-from, evaluate, predict --explain and export give one network, whose answers are right."""
    classes = sorted(path.name for path in (photos / "train").iterdir())
    found = server("check", photos, "--json", cwd=tmp_path)
    assert found.code == 0
    report = json.loads(found.out)
    assert report["fine"]
    assert report["splits"] == {split: dict.fromkeys(classes, n) for split, n in sizes}

    words = ["--init-from", base, "--data", photos, "--epochs", 5, "--threads", 1, "--workers", 0, "--out", "run"]
    trained = server("train", *words, cwd=tmp_path)
    assert trained.code == 0, trained.err
    images = 2 * sizes[0][1]
    assert f"recipe finetune for {images} images: {updates} updates of 32 images, " in trained.err
    best = re.search(r"best on val: ([\d.]+) % wrong at iteration (\d+), in (\S+);", trained.err)
    if best:
        assert load(tmp_path / best[3]).iteration == int(best[2])
    else:
        assert "the last checkpoint is the best on val" in trained.err

    (scored,) = json.loads(server("evaluate", "run", "--json", "--threads", 1, cwd=tmp_path).out)
    assert scored["n"] == 2 * sizes[1][1]
    assert scored["top1_error"] < 15  # 50 by guessing

    files = sorted(photos.glob("val/*/*.png"))[::step]
    told = server("predict", "run", *files, "--json", "--explain", "maps", "--threads", 1, cwd=tmp_path)
    assert told.code == 0, told.err
    answers = [json.loads(line)["classes"][0] for line in told.out.splitlines()]
    assert len([*(tmp_path / "maps").iterdir()]) >= len(files)
    assert sum(answer == path.parent.name for answer, path in zip(answers, files, strict=True)) > 0.8 * len(files)

    made = server("export", "run", "--to", "onnx", "--with-preprocessing", "--out", "net.onnx", cwd=tmp_path)
    assert made.code == 0, made.err
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    (given,) = session.get_inputs()
    for path, answer in zip(files, answers, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        (logits,) = session.run(None, {given.name: pixels[None]})
        assert classes[int(logits[0].argmax())] == answer
