"""`predict` against `evaluate` on the same images as files, and against the network called by hand."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

import reslab
from reslab.cli.main import main
from reslab.data.images.decode import BadImage
from reslab.data.sets.digits import digits
from reslab.errors import UserError
from reslab.models import checkpoints

QUIET = {"tell": lambda event: None, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A net that has learned something, on digits."""
    out = tmp_path_factory.mktemp("digits") / "run"
    return reslab.train("cifar_resnet8", "digits", iterations=40, out=out, **QUIET).folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The test split of digits as PNG files, in its order."""
    folder, test = tmp_path_factory.mktemp("files"), digits().test
    for number, image in enumerate(test.images):
        Image.fromarray(image[..., 0]).save(folder / f"{number:04d}.png")
    return folder


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_as_many_are_wrong_as_evaluate_says(run, files, precision):
    (truth,) = reslab.evaluate(run)
    found = list(reslab.predict(run, files, precision=precision))
    assert [one.file for one in found] == sorted(map(str, files.iterdir()))
    labels, names = digits().test.labels, digits().classes
    wrong = sum(one.classes[0][0] != names[label] for one, label in zip(found, labels, strict=True))
    assert 100 * wrong / len(labels) == pytest.approx(truth.scores.top1_error)
    assert 0 < wrong < len(labels) / 2


def test_probabilities_are_the_networks(run, files):
    found = checkpoints.find(run)
    net, test = reslab.load(found.folder).network, digits().test
    pixels = torch.from_numpy(test.images[:5]).float().permute(0, 3, 1, 2)
    mean, scale = found.state["mean"].permute(2, 0, 1), found.state["scale"]  # [1, 8, 8] and [1]
    with torch.no_grad():
        shares = net((pixels - mean) / scale).softmax(1)
    some = sorted(files.iterdir())[:5]
    for one, row in zip(reslab.predict(run, some, top=3, precision="fp32", batch=2), shares, strict=True):
        values, places = row.topk(3)
        assert [name for name, _ in one.classes] == [digits().classes[k] for k in places]
        assert [share for _, share in one.classes] == pytest.approx(values.tolist(), abs=1e-5)


def test_a_net_that_was_trained_on_a_folder(tmp_path):
    """Photographs of other shapes than the net's square, and grey ones among them: as `evaluate` sees them."""
    generator = np.random.default_rng(1)
    for part, count in (("train", 24), ("val", 15)):
        for label, tint in (("dark", 60), ("light", 100)):
            (tmp_path / "photos" / part / label).mkdir(parents=True)
            for number in range(count):
                shape = (40 + number, 70 - number, 3)[: 2 if number % 5 == 0 else 3]
                pixels = (generator.integers(0, 90, shape) + tint).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / part / label / f"{number}.png")
    out = tmp_path / "run"
    reslab.train(
        "cifar_resnet8", str(tmp_path / "photos"), iterations=3, out=out, workers=0, set={"batch": 16}, **QUIET
    )
    (truth,) = reslab.evaluate(out, workers=0)
    right: Counter[str] = Counter()
    for one in reslab.predict(out, tmp_path / "photos" / "val", precision="fp32"):
        label = one.file.split("/")[-2]
        right[label] += one.classes[0][0] == label
        assert sum(share for _, share in one.classes) == pytest.approx(1)
    for row in truth.to_dict()["per_class"]:
        assert row["n"] - row["wrong"] == right[row["class"]]


def test_files_that_are_no_images(run, files, tmp_path):
    good = sorted(files.iterdir())[:3]
    bad = tmp_path / "note.png"
    bad.write_text("no image")
    before = reslab.predict(run, [*good, bad], bad_images="error")
    assert [next(before).file for _ in good] == [str(file) for file in good]
    with pytest.raises(BadImage, match=r"note\.png"):
        next(before)
    told = []
    found = list(reslab.predict(run, [good[0], bad, *good[1:]], bad_images="skip", tell_bad=told.append, batch=2))
    assert [one.file for one in found] == [str(file) for file in good]
    assert [one.name for one in told] == [str(bad)]


@pytest.mark.parametrize(
    ("images", "more", "words"),
    [
        ("nowhere.png", {}, "no such file or folder"), (".", {}, "no image files there"),
        (".", {"top": 0}, "--top: 0"), (".", {"precision": "fp16"}, "--precision: 'fp16'"),
        (".", {"bad_images": "leave"}, "--bad-images"),
    ],
)  # fmt: skip
def test_what_is_refused(run, tmp_path, images, more, words):
    """Before anything is computed, in one line."""
    with pytest.raises(UserError, match=words) as told:
        reslab.predict(run, tmp_path / images, **more)
    assert "\n" not in str(told.value)


def test_the_verb_tells_a_line_a_file(run, files, tmp_path, capsys):
    some = [str(file) for file in sorted(files.iterdir())[:2]]
    (tmp_path / "broken.png").write_bytes(b"x")
    assert main(["predict", str(run), *some, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == some
    assert all(line.count(" %") == 2 for line in lines)
    words = ["predict", str(run), *some, str(tmp_path / "broken.png"), "--json", "--bad-images", "skip"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["file"] for one in found] == some
    assert all(len(one["classes"]) == len(one["probabilities"]) == 5 for one in found)
    assert "broken.png" in err
    assert "1 files left out" in err
    assert main(["predict", str(run), str(tmp_path / "broken.png")]) == 1
