"""`predict`, the classifier and `explain` on images in every form: one answer for the same pixels."""

import io
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import ALONE, PLAIN, names, shares

import reslab


def array_of(file):
    with Image.open(file) as image:
        return np.asarray(image)


def tensor_of(file):
    return torch.from_numpy(array_of(file).copy()).permute(2, 0, 1)


# one image in every form, and whether it has the name of its file
FORMS = {
    "str": (str, True), "path": (Path, True), "bytes": (Path.read_bytes, False),
    "bytearray": (lambda file: bytearray(file.read_bytes()), False),
    "memoryview": (lambda file: memoryview(file.read_bytes()), False),
    "memory": (lambda file: io.BytesIO(file.read_bytes()), False), "open": (lambda file: file.open("rb"), True),
    "opened": (Image.open, True), "pillow": (lambda file: Image.fromarray(array_of(file)), False),
    "array": (array_of, False), "tensor": (tensor_of, False),
    "strided": (lambda file: np.ascontiguousarray(array_of(file)[:, ::-1])[:, ::-1], False),
    "batch": (lambda file: array_of(file)[None], False), "tensors": (lambda file: tensor_of(file)[None], False),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_answer_of_the_file(model, file, form):
    make, has_name = FORMS[form]
    expected = shares(model, file)
    place = "[0]" if form in ("batch", "tensors") else ""
    containers = {
        "alone": lambda image: image, "list": lambda image: [image], "tuple": lambda image: (image,),
        "generator": lambda image: (one for one in [image]),
    }  # fmt: skip
    for how, contained in containers.items():
        image = make(file)
        with image if form in ("open", "opened") else nullcontext():
            (found,) = reslab.predict(model, contained(image), **ALONE)
        assert dict(found.classes) == expected[0]
        if how == "alone":
            assert found.file == (str(file) if has_name else f"images{place}" if place else "image")
        else:
            assert found.file == (str(file) if has_name else f"images[0]{place}")
    image = make(file)
    with image if form in ("open", "opened") else nullcontext():
        (row,) = reslab.classifier(model, **ALONE)(image).tolist()
    assert dict(zip(model.classes, row, strict=True)) == expected[0]
    image = make(file)
    with image if form in ("open", "opened") else nullcontext():
        (one,) = reslab.explain(model, image, device="cpu", threads=1)
    assert one.probability == pytest.approx(max(expected[0].values()), abs=1e-6)


def test_a_mixture_keeps_its_order(model, file, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    draws = np.random.default_rng(8)
    stack = draws.integers(0, 256, (3, 20, 22, 3), dtype=np.uint8)
    for number, pixels in enumerate(stack):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    mixture = [
        file,
        stack,
        folder,
        Image.fromarray(stack[0]),
        file.read_bytes(),
        torch.from_numpy(stack[1]).permute(2, 0, 1),
    ]
    places = [str(file), *(f"images[1][{k}]" for k in range(3)), *(str(folder / f"{k}.png") for k in range(3))]
    places += ["images[3]", "images[4]", "images[5]"]
    for given in (mixture, iter(mixture), (one for one in mixture)):
        found = list(reslab.predict(model, given, **ALONE))
        assert [one.file for one in found] == places
        answers = [one.classes for one in found]
        assert answers[1:4] == answers[4:7]
        assert answers[7] == answers[1]
        assert answers[8] == answers[0]
        assert answers[9] == answers[2]
    wide = list(reslab.predict(model, mixture, **PLAIN))
    for one, other in zip(wide, found, strict=True):
        assert dict(one.classes) == pytest.approx(dict(other.classes), abs=1e-6)


def test_grey_arrays_and_batches(model):
    grey = np.random.default_rng(1).integers(0, 256, (4, 20, 30), dtype=np.uint8)
    colour = np.stack([grey] * 3, 3)
    expected = shares(model, colour)
    assert len(expected) == 4
    for images in (
        grey, grey[..., None], [*grey], [*grey[..., None]], torch.from_numpy(grey)[:, None], [*torch.from_numpy(grey)],
        [*torch.from_numpy(grey)[:, None]],
    ):  # fmt: skip
        assert shares(model, images) == expected
        rows = reslab.classifier(model, **ALONE)(images).tolist()
        assert [dict(zip(model.classes, row, strict=True)) for row in rows] == expected
    assert names(model, grey) == [f"images[{k}]" for k in range(4)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I"])
def test_pillow_modes(model, mode, tmp_path):
    """An image in memory is answered as its file is; a mode that no file has, as its RGB."""
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    if mode in ("I;16", "I"):
        image = Image.fromarray(
            np.random.default_rng(2).integers(0, 65536, (20, 30)).astype(np.uint16 if ";" in mode else np.int32)
        )
    else:
        image = image.convert(mode)
    assert image.mode == mode
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    if mode in ("HSV", "YCbCr"):
        assert shares(model, image) == shares(model, image.convert("RGB"))
    else:
        image.save(tmp_path / "same.tif")
        assert shares(model, image) == shares(model, tmp_path / "same.tif")


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_of_exif(model, turn, tmp_path):
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (20, 33, 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = turn
    for kind in ("png", "jpg", "webp", "tif"):
        path = tmp_path / f"turned.{kind}"
        image.save(path, exif=exif)
        expected = shares(model, path)
        assert shares(model, path.read_bytes()) == expected
        with Image.open(path) as image_of_file:
            assert shares(model, image_of_file) == expected
            assert shares(model, image_of_file) == expected  # loaded by now
