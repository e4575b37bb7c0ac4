"""`predict` on iterators, wrong values and bad images in Python, and what it calls them."""

import io
import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import ALONE, PLAIN, names, shares

import reslab
from reslab.cli.main import main
from reslab.data.images.decode import BadImage
from reslab.errors import UserError


def test_an_iterator_may_close_and_overwrite(model, tmp_path):
    """The usual loops: a file closed after its turn, a frame in the same buffer each time."""
    stack = np.random.default_rng(4).integers(0, 256, (5, 20, 24, 3), dtype=np.uint8)
    expected = shares(model, stack)
    paths = [tmp_path / f"{k}.png" for k in range(5)]
    for path, pixels in zip(paths, stack, strict=True):
        Image.fromarray(pixels).save(path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)

    def pillow():
        for path in paths:
            with Image.open(path) as image:
                yield image

    def files():
        for path in paths:
            with path.open("rb") as stream:
                yield stream

    def members():
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    yield stream

    def frames():
        buffer = np.empty_like(stack[0])
        for pixels in stack:
            buffer[:] = pixels
            yield buffer

    def tensors():
        buffer = torch.empty(3, 20, 24, dtype=torch.uint8)
        for pixels in stack:
            buffer.copy_(torch.from_numpy(pixels).permute(2, 0, 1))
            yield buffer

    for make in (pillow, files, members, frames, tensors):
        found = shares(model, make(), batch=5, threads=2)
        for one, other in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-6), make.__name__
        assert torch.allclose(
            reslab.classifier(model, **PLAIN)(make()),
            torch.tensor([[one[name] for name in model.classes] for one in expected]), atol=1e-6,
        )  # fmt: skip
    assert names(model, members()) == [path.name for path in paths]


def test_one_image_many_times(model, file):
    """Threads decode it at the same time."""
    with Image.open(file) as image:
        assert shares(model, [image] * 16, threads=4) == shares(model, file) * 16


def test_an_iterator_is_fetched_a_batch_ahead(model, file):
    fetched = []

    def endless():
        for number in itertools.count():
            fetched.append(number)
            yield file

    found = reslab.predict(model, endless(), **{**PLAIN, "batch": 3})
    assert fetched == []
    for number in range(7):
        next(found)
        assert len(fetched) == 3 * (number // 3 + 1)


WRONG = [
    (np.zeros((4, 5, 3), np.float32), "an array of float32 [4, 5, 3] is not an image; give uint8", "(255 * x).round()"),
    (np.zeros((4, 5, 3), np.int64), "an array of int64 [4, 5, 3]", "give uint8"),
    (np.zeros((4, 5, 3), bool), "an array of bool", "give uint8"),
    (np.zeros((40, 50, 4), np.uint8), "an array of uint8 [40, 50, 4]", "x[..., :3]"),
    (np.zeros((40, 50, 2), np.uint8), "an array of uint8 [40, 50, 2]", "give uint8 [H, W, 3]"),
    (np.zeros((2, 40, 50, 4), np.uint8), "an array of uint8 [2, 40, 50, 4]", "x[..., :3]"),
    (np.zeros((2, 3, 40, 50), np.uint8), "an array of uint8 [2, 3, 40, 50]", "x.transpose(0, 2, 3, 1)"),
    (np.zeros((0, 5, 3), np.uint8), "an array of uint8 [0, 5, 3]", "give uint8"),
    (np.zeros(7, np.uint8), "an array of uint8 [7]", "give uint8"),
    (np.zeros((1, 2, 3, 4, 5), np.uint8), "an array of uint8 [1, 2, 3, 4, 5]", "give uint8"),
    (np.array(["a.png"]), "an array of <U5 [1]", "give uint8"),
    (torch.zeros(3, 4, 5), "an array of float32 [3, 4, 5]", "model.network"),
    (torch.zeros(4, 4, 5, dtype=torch.uint8), "an array of uint8 [4, 4, 5]", "a tensor [3, H, W]"),
    (torch.zeros(2, 4, 5, 3, dtype=torch.uint8), "an array of uint8 [2, 4, 5, 3]", "a tensor [3, H, W]"),
    (3, "int is not an image", "give a path, the bytes of a file"),
    (None, "NoneType is not an image", "give a path"),
    (io.StringIO("text"), "the file is open as text", "mode 'rb'"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "what", "remedy"), WRONG, ids=[what for _, what, _ in WRONG])
def test_a_wrong_value_is_named_by_its_place(model, file, image, what, remedy):
    calls = [lambda images: list(reslab.predict(model, images, **ALONE)), reslab.classifier(model, **ALONE)]
    for call in (*calls, lambda images: list(reslab.explain(model, images, device="cpu"))):
        for images, place in (
            ([file, file, image], "images[2]: "),
            (iter([file, image]), "images[1]: "),
            (image, "image"),
        ):
            with pytest.raises(UserError) as told:
                call(images)
            line = str(told.value)
            assert line.startswith(place)
            assert what in line
            assert remedy in line
            assert "\n" not in line


def test_nested_lists_are_refused(model, file):
    with pytest.raises(UserError, match=r"images\[1\]: list is not an image"):
        reslab.predict(model, [file, [file]])


@pytest.mark.parametrize(
    "nothing", [[], (), np.zeros((0, 5, 6, 3), np.uint8), iter(())], ids=["list", "tuple", "batch", "iter"]
)
def test_nothing_to_classify(model, nothing):
    with pytest.raises(UserError, match="no image files there"):
        list(reslab.predict(model, nothing, **ALONE))


def test_a_bad_image_has_a_prediction_with_its_error(model, file, tmp_path):
    content = file.read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    spent = io.BytesIO(content)
    spent.read()
    with Image.open(file) as closed:
        pass
    half = Image.open(tmp_path / "cut.png")
    bad = [
        tmp_path / "cut.png", content[: len(content) // 2], b"", io.BytesIO(b""), spent, tmp_path / "missing.png",
        Image.fromarray(np.zeros((4, 4), np.float32)), closed, half,
    ]  # fmt: skip
    given = [one for pair in zip([file] * len(bad), bad, strict=True) for one in pair]
    told = []
    found = list(reslab.predict(model, given, **ALONE, tell_bad=told.append))
    assert len(found) == len(given)
    for one in found[::2]:
        assert (one.error, dict(one.classes)) == (None, shares(model, file)[0])
    for place, one in zip(range(1, len(given), 2), found[1::2], strict=True):
        assert one.classes == ()
        assert one.error
        assert one.file in (f"images[{place}]", str(given[place]), str(getattr(given[place], "filename", "")))
        assert one.to_dict() == {"file": one.file, "classes": [], "probabilities": [], "error": one.error}
    assert [(one.file, one.error) for one in found[1::2]] == [(error.name, error.reason) for error in told]
    assert "seek(0)" in found[9].error
    skipped = list(reslab.predict(model, given, **ALONE, bad_images="skip"))
    assert skipped == found[::2]
    with pytest.raises(BadImage, match=r"cut\.png"):
        list(reslab.predict(model, given, **ALONE, bad_images="error"))
    assert [one.error for one in reslab.predict(model, b"", **ALONE)] == ["the file is empty"]
    half.close()


def test_bad_images_do_not_change_batches(model, tmp_path):
    """The good ones get the bits of a list without the bad ones, in batches too."""
    draws = np.random.default_rng(6)
    good = [draws.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(11)]
    given = [one for image in good for one in (b"bad", image, b"")]
    expected = [one.classes for one in reslab.predict(model, good, **PLAIN, batch=4)]
    for images in (given, iter(given)):
        found = [one.classes for one in reslab.predict(model, images, **PLAIN, batch=4) if one.error is None]
        assert found == expected


def test_maps_are_named_after_files_and_places(model, file, tmp_path):
    stack = np.zeros((2, 20, 20, 3), np.uint8)
    images = [file, file.read_bytes(), stack, b"bad", Image.fromarray(stack[0]), str(file)]
    found = list(reslab.predict(model, images, **PLAIN, explain=tmp_path / "maps"))
    maps = [one.map and one.map.name for one in found]
    assert maps == [
        "photo.png",
        "images-1.png",
        "images-2-0.png",
        "images-2-1.png",
        None,
        "images-4.png",
        "photo-2.png",
    ]
    assert sorted(maps[:4] + maps[5:]) == sorted(path.name for path in (tmp_path / "maps").iterdir())
    (alone,) = reslab.predict(model, stack[0], **PLAIN, explain=tmp_path / "alone")
    assert alone.map == tmp_path / "alone" / "image.png"


def test_the_verb_agrees_with_the_function(model, file, tmp_path, capsys):
    (tmp_path / "note.jpg").write_text("no image")
    words = ["predict", str(model.origin.path), str(file), str(tmp_path / "note.jpg"), "--json"]
    assert main([*words, "--precision", "fp32", "--threads", "1", "--device", "cpu", "--batch", "1"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [one.to_dict() for one in reslab.predict(model, [file, tmp_path / "note.jpg"], **ALONE)]
    assert Path(lines[1]["file"]).name == "note.jpg"
