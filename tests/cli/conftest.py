"""Commands to run, cold or warm; a run and a folder of images to run them on."""

import os
from pathlib import Path

import pytest
from commands import SMOKE, Warm, run


@pytest.fixture
def cold(tmp_path):
    """`cold("train", …)`: a fresh interpreter, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    return lambda *words, cwd=here, **more: run(*words, cwd=cwd, **more)


@pytest.fixture(scope="session")
def server():
    if not hasattr(os, "fork"):
        yield run
        return
    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def warm(server, tmp_path):
    """`warm("train", …)`: the same with torch imported beforehand, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir(exist_ok=True)
    return lambda *words, cwd=here: server(*words, cwd=cwd)


@pytest.fixture(scope="session")
def trained(server, tmp_path_factory) -> Path:
    """A run of two updates on digits, finished. To be read; copy it before changing anything."""
    out = tmp_path_factory.mktemp("trained") / "run"
    server(*SMOKE, "--iterations", "2", "--set", "save_every=1", "--out", out).good()
    return out


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Class folders: train and val, cats and dogs, 24x24."""
    from PIL import Image

    root = tmp_path_factory.mktemp("images") / "pets"
    for room in ("train", "val"):
        for shade, name in enumerate(("cat", "dog")):
            folder = root / room / name
            folder.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (24, 24), (40 * i, 100 * shade, 9)).save(folder / f"{i}.png")
    return root
