"""A net for colour images and a file for it, for the tests of `predict` on images in every form."""

import itertools

import numpy as np
import pytest
from PIL import Image

import reslab


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A net for colour images of 16 x 16."""
    root, draws = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for split, label, number in itertools.product(("train", "val"), ("cat", "dog"), range(6)):
        (root / split / label).mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 200, (20, 24, 3), dtype=np.uint8) // (1 + (label == "dog"))
        Image.fromarray(pixels).save(root / split / label / f"{number}.png")
    reslab.train(
        "cifar_resnet8", str(root), recipe="digits", set={"batch": 8, "drops": ()}, iterations=4, out=root / "run",
        threads=1, device="cpu", engine="eager", widths=(4, 4, 8), image_size=16, workers=0, tell=lambda event: None,
    )  # fmt: skip
    return reslab.load(root / "run")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return path
