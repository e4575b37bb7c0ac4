"""The words behind --data, and one line for each way of getting them wrong."""

import numpy as np
import pytest
from PIL import Image

from reslab.data import sources
from reslab.data.sources import load
from reslab.errors import UserError


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("RESLAB_CIFAR10", raising=False)


def test_digits():
    assert load("digits").name == "digits"
    assert load("digits", size=8).size == 8


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("digitz", {}, "did you mean digits"),
        ("Digits", {}, "did you mean digits"),
        ("CIFAR10:somewhere", {}, "did you mean cifar10"),
        ("imagenet", {}, "neither a known word nor a folder; known: digits"),
        ("./nowhere", {}, "no such folder: ./nowhere"),
        ("nowhere/at/all", {}, "no such folder: nowhere/at/all"),
        ("cifar10", {}, "cifar10:PATH"),
        ("cifar10:", {}, "nothing stands after the colon"),
        ("cifar10:/nowhere", {}, "no such file or folder"),
        ("digits", {"size": 32}, "8x8; 32 is possible only with folders"),
        ("digits", {"val_share": 0.1}, "--val-share: only folders"),
        ("~nosuchuser/x", {}, "data: ~nosuchuser/x: no such user here"),
        ("cifar10:~nosuchuser/x", {}, "cifar10:~nosuchuser/x: no such user here"),
        ("digits", {"download": True}, "only the word cifar10"),
        ("digits", {"splits": ("train", "tests")}, "did you mean test"),
    ],
)
def test_one_line_for_each_mistake(source, options, told):
    with pytest.raises(UserError) as error:
        load(source, **options)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "cifar-10-binary.tar.gz"
    file.write_bytes(b"")
    with pytest.raises(UserError, match="write cifar10:"):
        load(str(file))


def test_the_variable_names_a_place(monkeypatch, tmp_path):
    monkeypatch.setenv("RESLAB_CIFAR10", str(tmp_path))
    with pytest.raises(UserError, match=str(tmp_path)):
        load("cifar10")


def test_download_is_asked_for_once_and_goes_to_the_cache(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "fetch_cifar10", lambda where: asked.append(where) or tmp_path)
    with pytest.raises(UserError, match="no CIFAR-10 in this folder"):
        load("cifar10", download=True)
    assert asked == [tmp_path / "reslab"]


def test_where_a_source_stands_whoever_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.place_of("digits") == sources.place_of("cifar10") == ""
    assert sources.place_of("cifar10:a/../b") == f"cifar10:{tmp_path}/b"
    assert sources.place_of("photos/") == f"{tmp_path}/photos"
    there = {"digits": True, "cifar10:b": False, "photos": True, "~nosuchuser": False, "photos/x": False}
    (tmp_path / "photos").mkdir()
    assert {source: sources.is_there(source) for source in there} == there
    assert load("digits").place == ""


def test_a_folder(tmp_path):
    for room in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / room / name).mkdir(parents=True)
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / room / name / "0.png")
    data = load(str(tmp_path))
    assert (data.size, data.classes, data.channels) == (224, ("cat", "dog"), 3)
    assert (data.place, data.kind, load("digits").kind) == (str(tmp_path), "folder", "set")
    assert load(str(tmp_path), size=32).train.size == 32
