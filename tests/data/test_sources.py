"""The words behind --data, and one line for each way of getting them wrong."""

import numpy as np
import pytest
from PIL import Image

from reslab.data.known import KNOWN, grammar, pattern, variable_of
from reslab.data.sets import cifar
from reslab.data.source import DataSource, example, recorded_kind, source_of
from reslab.data.sources import load
from reslab.errors import UserError
from reslab.models.inputs import load_data
from reslab.nets.names import spec_of
from reslab.runs.recipes import RECIPES, default_for


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    for word in ("cifar10", "cifar100", "cifar100-coarse"):
        monkeypatch.delenv(variable_of(word), raising=False)


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
        ("cifar10:", {}, "there is no path after the colon"),
        ("cifar10:/nowhere", {}, "no such file or folder"),
        ("digits", {"size": 32}, "8x8; 32 is possible only with folders"),
        ("digits", {"val_share": 0.1}, "--val-share: only folders"),
        ("~nosuchuser/x", {}, "data: ~nosuchuser/x: no such user here"),
        ("cifar10:~nosuchuser/x", {}, "cifar10:~nosuchuser/x: no such user here"),
        ("digits", {"download": True}, "only the words cifar10, cifar100 and cifar100-coarse"),
        ("cifar100:", {}, "there is no path after the colon"),
        ("cifar100-coarse:/nowhere", {}, "cifar100-coarse:/nowhere: no such file or folder"),
        ("cifar-100", {}, "did you mean cifar100"),
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
    monkeypatch.setattr(cifar, "download", lambda where: asked.append(where) or tmp_path)
    with pytest.raises(UserError, match="no CIFAR-10 in this folder"):
        load("cifar10", download=True)
    assert asked == [tmp_path / "reslab"]


def test_where_a_source_stands_whoever_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of("digits").place == source_of("cifar10").place == ""
    assert source_of("cifar10:a/../b").place == f"cifar10:{tmp_path}/b"
    assert source_of("photos/").place == f"{tmp_path}/photos"
    there = {"digits": True, "cifar10:b": False, "photos": True, "~nosuchuser": False, "photos/x": False}
    (tmp_path / "photos").mkdir()
    assert {text: source_of(text).is_there() for text in there} == there
    assert load("digits").place == ""


def photos(root):
    for room in ("train", "val"):
        for name in ("cat", "dog"):
            (root / room / name).mkdir(parents=True)
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / room / name / "0.png")
    return root


def test_a_folder(tmp_path):
    data = load(str(photos(tmp_path)))
    assert (data.size, data.classes, data.channels) == (224, ("cat", "dog"), 3)
    assert (data.place, data.kind, load("digits").kind) == (str(tmp_path), "folder", "set")
    assert load(str(tmp_path), size=32).train.size == 32
    assert load(tmp_path, size=32).train.size == 32  # a pathlib.Path


# -- what a text means


@pytest.mark.parametrize("word", KNOWN)
def test_what_the_registry_says_of_a_set_is_so(word):
    """Its file is there, it is spelt as it is read, and its recipe has a name."""
    known, source = KNOWN[word], source_of(word)
    assert (source.kind, source.word, source.path, source.name) == ("set", word, None, word)
    assert source_of(pattern(word)).word == word
    assert pattern(word) in grammar()
    assert known.recipe in RECIPES
    file = known.opened()
    assert source.shape() == (len(file.CLASSES), file.CHANNELS, file.SIZE)
    assert callable(file.read)
    assert callable(getattr(file, "download", None)) == known.downloads


def test_the_registry_and_the_digits_agree():
    data = load("digits")
    assert source_of("digits").shape() == (len(data.classes), data.channels, data.size)


def test_what_may_follow_data_is_one_line():
    assert "digits, " in grammar()
    assert "cifar10:PATH, cifar100:PATH, cifar100-coarse:PATH, a folder" in grammar()
    assert grammar().endswith("a folder, a .csv list, or parquet:PATH")
    assert "\n" not in grammar()


@pytest.mark.parametrize(
    ("text", "kind", "name", "recipe"),
    [
        ("digits", "set", "digits", "digits"),
        ("cifar10", "set", "cifar10", "paper-cifar"),
        ("cifar10:a:b", "set", "cifar10", "paper-cifar"),
        ("cifar10:", "set", "cifar10", "paper-cifar"),
        ("photos", "folder", "photos", "photos"),
        ("./digits", "folder", "./digits", "photos"),
        ("digits:x", "folder", "digits:x", "photos"),  # digits take no path
        ("DIGITS", "folder", "DIGITS", "photos"),
        (":digits", "folder", ":digits", "photos"),
        ("", "folder", "", "photos"),
    ],
)
def test_a_text_is_read_once(text, kind, name, recipe):
    source = source_of(text)
    assert (source.text, source.kind, source.name, default_for(source)) == (text, kind, name, recipe)
    assert default_for(source, init=True) == ("finetune" if kind == "folder" else recipe)
    assert source_of(source) is source
    assert source == source_of(text)
    assert hash(source) == hash(source_of(text))
    assert recorded_kind({"source": text}) == kind


def test_a_path_is_a_folder_even_if_it_is_called_as_a_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = source_of(photos(tmp_path / "digits").relative_to(tmp_path))
    assert (source.kind, source_of(source.text).kind) == ("folder", "folder")
    assert (source.place, load(source).classes) == (str(tmp_path / "digits"), ("cat", "dog"))


def test_a_folder_called_as_a_set_with_a_colon_is_read_at_the_networks_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "digits:x")
    assert load_data("digits:x", spec_of("cifar_resnet8", image_size=32)).size == 32


def test_the_same_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    same = [("photos", "./photos/"), ("photos", f"{tmp_path}/link"), ("cifar10:photos", "cifar10:link"),
            ("digits", "digits"), ("cifar10", "cifar10")]  # fmt: skip
    other = [("digits", f"{tmp_path}/digits"), ("cifar10:photos", "photos"), ("cifar10", "cifar10:cifar10"),
             ("~nosuchuser", "~nosuchuser"), ("digits", "cifar10")]  # fmt: skip
    assert all(source_of(a).is_same_place(source_of(b)) for a, b in same)
    assert not any(source_of(a).is_same_place(source_of(b)) for a, b in other)


def test_given_images_are_equal_to_themselves_alone():
    arrays = np.zeros((2, 4, 4), np.uint8), np.arange(2)
    one, other = source_of(arrays), source_of(arrays)
    assert isinstance(one, DataSource)
    assert (one.kind, one.name, one.place, one.shape(), one.is_there()) == ("given", "given", "", None, True)
    assert one == source_of(one) != other
    assert one.is_same_place(one)
    assert not one.is_same_place(other)
    assert source_of(one.text).kind == "folder"  # the text alone brings no image back


def test_how_recorded_data_are_written():
    assert [example(name) for name in ("digits", "cifar10", "photos")] == ["digits", "cifar10:PATH", "PATH/photos"]
