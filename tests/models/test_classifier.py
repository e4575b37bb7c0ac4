"""The classifier's answers are `predict`'s, whatever form the image comes in."""

import numpy as np
import pytest
import torch
from PIL import Image

import reslab
from reslab.data.images.decode import BadImage
from reslab.errors import RunError, UserError
from reslab.models.classifier import Classifier
from reslab.options.scoring import ClassifierOptions

SHORT = {"batch": 8, "iterations": 4, "drops": (), "eval_every": 4, "clean_every": 4, "log_every": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders of PNG files, 40 x 30 pixels."""
    root, draws = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for label, colour in (("cat", (200, 90, 40)), ("dog", (40, 90, 200))):
            place = root / split / label
            place.mkdir(parents=True)
            for number in range(count):
                noise = draws.integers(0, 60, (30, 40, 3))
                Image.fromarray((np.array(colour) // 2 + noise).astype(np.uint8)).save(place / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("classifier") / "run"
    reslab.train(
        "cifar_resnet8", str(folder), recipe="digits", set=SHORT, out=out, threads=1, device="cpu", engine="eager",
        widths=(4, 4, 8), image_size=16, workers=0, tell=lambda event: None,
    )  # fmt: skip
    return reslab.load(out)


@pytest.fixture(scope="module")
def files(folder):
    return sorted((folder / "val").rglob("*.png"))


def classifier(model, **how):
    return reslab.classifier(model, **{"threads": 1, "device": "cpu", "precision": "fp32", **how})


def test_the_answers_are_those_of_predict(model, files):
    shares = classifier(model)(files)
    assert shares.shape == (len(files), 2)
    assert torch.allclose(shares.sum(1), torch.ones(len(files)))
    predicted = list(reslab.predict(model, files, threads=1, device="cpu", precision="fp32", top=2))
    for row, one in zip(shares, predicted, strict=True):
        assert {model.classes[k]: float(row[k]) for k in range(2)} == dict(one.classes)


def test_all_forms_of_an_image_have_one_answer(model, files):
    answer = classifier(model)
    array = np.asarray(Image.open(files[0]))
    forms = [
        files[0], str(files[0]), files[0].read_bytes(), bytearray(files[0].read_bytes()), Image.open(files[0]), array,
        torch.from_numpy(array.copy()).permute(2, 0, 1), array[None],
        torch.from_numpy(array[None].copy()).permute(0, 3, 1, 2),
    ]  # fmt: skip
    expected = answer(files[0])
    for form in forms:
        assert torch.equal(answer(form), expected), type(form)
    assert torch.allclose(answer(forms[:7]), expected.expand(7, 2), atol=1e-6)
    assert answer([]).shape == (0, 2)


def test_grey_and_turned_images(model, tmp_path):
    """A grey array is the colour image of equal channels; EXIF turns a Pillow image as it turns its file."""
    answer, grey = classifier(model), np.random.default_rng(1).integers(0, 255, (20, 30), dtype=np.uint8)
    assert torch.equal(answer(grey), answer(np.stack([grey] * 3, 2)))
    assert torch.equal(answer(grey), answer(grey[:, :, None]))
    image = Image.fromarray(np.random.default_rng(2).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        assert torch.equal(answer(opened), answer(tmp_path / "turned.png"))


def test_batches_do_not_change_the_answers(model, files):
    one, many = classifier(model, batch=1)(files), classifier(model, batch=32)(files)
    assert torch.allclose(one, many, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), "array of float32"),
        (np.zeros((4, 4, 2), np.uint8), "not an image"),
        (np.zeros((0, 4, 3), np.uint8), "not an image"),
        (np.zeros((3,), np.uint8), "not an image"),
        (torch.zeros(3, 4, 4), "model.network"),
        (3, "int is not an image"),
        ([None], "NoneType is not an image"),
    ],
)
def test_what_is_no_image_is_refused(model, image, said):
    with pytest.raises(UserError, match=said) as caught:
        classifier(model)(image)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_a_bad_image(model, files, tmp_path):
    raw = files[0].read_bytes()
    (tmp_path / "cut.png").write_bytes(raw[: len(raw) // 2])
    for image in (tmp_path / "cut.png", raw[: len(raw) // 2]):
        with pytest.raises(BadImage):
            classifier(model)(image)


def test_scores_that_are_not_finite_are_no_answer(model, files):
    broken = classifier(model)
    with torch.no_grad():
        broken.model.network.get_parameter("head.fc.weight").fill_(1e38)
    try:
        with pytest.raises(RunError, match="not finite"):
            Classifier(model, ClassifierOptions(threads=1, device="cpu", precision="fp32"))(files)
    finally:
        with torch.no_grad():
            model.network.get_parameter("head.fc.weight").copy_(model.weights["head.fc.weight"])


@pytest.mark.parametrize("wrong", [{"precision": "fp61"}, {"batch": 0}, {"device": "tpu"}, {"threads": -1}])
def test_a_wrong_option_is_refused(model, wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))}"):
        classifier(model, **wrong)
