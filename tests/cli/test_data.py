"""Data that cannot be used: one line, exit 2, before any step."""

import pickle
import shutil

import pytest
from commands import SMOKE, Canary, untrained

IMAGES = ("train", "cifar_resnet8", "--image-size", "24", "--threads", "1")


def test_the_canary_sings(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "sung")))
    assert (tmp_path / "sung").exists()


@pytest.mark.parametrize(
    ("data", "fragments"),
    [
        ("digitz", ["'digitz'", "did you mean digits"]),
        ("cifar", ["'cifar'", "did you mean cifar10"]),
        ("./nowhere", ["no such folder", "./nowhere"]),
        ("cifar10:nowhere", ["nowhere", "no such file or folder", "parquet"]),
        ("cifar10:", ["there is no path after the colon", "cifar10:PATH"]),
        ("cifar10", ["cifar10:PATH", "--download"]),
    ],
)
def test_a_path_or_word_that_leads_nowhere(warm, tmp_path, data, fragments):
    out = tmp_path / "out"
    warm(*SMOKE, "--data", data, "--out", out).refused(*fragments)
    assert untrained(tmp_path)


def test_folders_that_hold_no_data_set(warm, tmp_path, images):
    root = tmp_path / "set"
    root.mkdir()

    def refused(*fragments, more=()):
        warm(*IMAGES, "--data", root, "--out", tmp_path / "out", *more).refused(str(root), *fragments)

    refused("no images", "it is empty")
    (root / "cat").mkdir()
    refused("its class folders are empty")
    shutil.copy(images / "train" / "cat" / "0.png", root / "cat" / "0.png")
    refused("one class only (cat)", "at least two")
    shutil.copytree(images / "train" / "dog", root / "dog")
    refused("no val folder", "0.1")
    shutil.rmtree(root)
    shutil.copytree(images, root)
    (root / "val" / "dgo").mkdir()
    shutil.copy(images / "val" / "dog" / "0.png", root / "val" / "dgo")
    refused("train has no class 'dgo'", "did you mean dog")
    assert untrained(tmp_path)


def test_files_that_are_no_images(warm, tmp_path, images):
    root = tmp_path / "set"
    shutil.copytree(images, root)
    bad = root / "train" / "cat" / "3.jpg"
    bad.write_text("<html>not found</html>")
    (root / "train" / "dog" / "4.png").write_bytes(b"")
    warm(*IMAGES, "--data", root, "--out", tmp_path / "out").refused(str(bad), "bad files: 2", "skip")
    assert untrained(tmp_path)


def test_a_file_for_a_folder(warm, tmp_path):
    file = tmp_path / "images.zip"
    file.write_bytes(b"PK")
    warm(*IMAGES, "--data", file).refused(str(file), "is a file")
    assert untrained(tmp_path)


def test_a_pickled_data_set_is_not_unpickled(warm, tmp_path):
    """CIFAR-10's Python version is a pickle: one whose checksum is not the publisher's is not opened."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    mark = tmp_path / "sung"
    for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (root / name).write_bytes(pickle.dumps(Canary(mark)))
    warm(*SMOKE, "--data", f"cifar10:{root}").refused(str(root), "MD5", "it was not read")
    assert not mark.exists()
    assert untrained(tmp_path)


def test_options_that_contradict_the_data(warm, tmp_path, images):
    out = ("--out", tmp_path / "out")
    warm(*SMOKE, "--classes", "5", *out).refused("classes: 5, but", "digits has 10", "leave it out")
    warm(*SMOKE, "--in-channels", "3", *out).refused("in_channels: 3, but", "digits has 1")
    warm(*SMOKE, "--image-size", "32", *out).refused("image_size: 32, but", "digits has 8")
    warm(*SMOKE, "--val-share", "0.1", *out).refused("only folders and lists are cut by a share", "digits")
    warm(*SMOKE, "--download", "--data", "digits", *out).refused("download", "digits")
    warm(*SMOKE, "--set", "holdout=5000", *out).refused("hold out 5,000 of 1,297")
    warm(*IMAGES, "--data", images, "--val-share", "0.1", *out).refused("has a val folder", "leave out --val-share")
    assert untrained(tmp_path)


def test_an_image_too_small_for_the_net(warm, tmp_path):
    out = tmp_path / "out"
    warm("train", "resnet18", "--out", out).refused("8 is too small for resnet18", "smallest that works is 17")
    warm("train", "vgg19", "--out", out).refused("8 is too small for vgg19")
    assert untrained(tmp_path)


def test_widths_that_option_A_cannot_shrink(warm, tmp_path):
    words = (*SMOKE, "--widths", "64,32,16", "--out", tmp_path / "out")
    warm(*words).refused("A pads", "shrink 64 channels to 32", "use B or C")
    assert untrained(tmp_path)


def test_a_path_that_is_too_long(warm):
    warm(*SMOKE, "--data", "x" * 5000).refused("too long")
