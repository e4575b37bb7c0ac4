"""`check` on a folder with one of each fault, counted; what training does with such a folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from sklearn.datasets import load_sample_images

import reslab
from reslab.data.check.finding import KINDS
from reslab.data.sets.folder import folder
from reslab.data.splits import Data, Memory
from reslab.errors import UserError

PHOTOS = [Image.fromarray(image) for image in load_sample_images().images]


def patch(draws: np.random.Generator, cls: int, side: int = 96) -> Image.Image:
    image = PHOTOS[cls]
    x, y = (int(draws.integers(0, edge - side)) for edge in image.size)
    return image.crop((x, y, x + side, y + side))


def photos(root: Path) -> Path:
    """Patches of two photographs in two classes, without a fault."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for number, cls in enumerate(("church", "flower")):
            (root / split / cls).mkdir(parents=True)
            for row in range(count):
                patch(draws, number).save(root / split / cls / f"{row}{split}.jpg", quality=92)
    return root


def spoil(root: Path) -> None:
    """Add one of each fault."""
    draws, train = np.random.default_rng(1), root / "train"
    church, flower = train / "church", train / "flower"
    whole = (church / "0train.jpg").read_bytes()
    (church / "cut.jpg").write_bytes(whole[: len(whole) * 6 // 10])
    (church / "empty.jpg").write_bytes(b"")
    (flower / "notes.txt").write_text("hello")
    for row in range(13):
        (flower / f"{row}.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(100))
    shutil.copy(church / "1train.jpg", root / "val" / "church" / "copy.jpg")
    shutil.copy(church / "2train.jpg", flower / "same.jpg")
    shutil.copy(church / "3train.jpg", church / "again.jpg")
    Image.open(flower / "1train.jpg").resize((80, 80)).save(root / "val" / "flower" / "near.jpg", quality=70)
    patch(draws, 0).save(church / "real.png", "JPEG")
    Image.fromarray(draws.integers(0, 4096, (64, 64)).astype(np.uint16)).save(church / "deep.png")
    Image.fromarray(draws.integers(0, 65536, (64, 64)).astype(np.uint16)).save(church / "deeper.png")
    Image.new("RGB", (90, 90), "red").save(church / "red.png")
    patch(draws, 0).convert("L").save(church / "grey.jpg")
    patch(draws, 0).convert("CMYK").save(church / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x112] = 6
    patch(draws, 0).save(church / "turned.jpg", exif=exif)
    PHOTOS[0].crop((0, 0, 600, 100)).save(church / "wide.jpg")
    patch(draws, 0, 20).save(church / "small.png")
    (train / "@eaDir").mkdir()
    (church / "Thumbs.db").write_bytes(b"x")
    (root / "docs").mkdir()
    (root / "test").mkdir()
    for row in range(4):
        patch(draws, 1).save(root / "test" / f"{row}.jpg")


# kind → number of files (folders, classes) that have the fault in the folder above, seen at 48 pixels
EXPECTED = {
    "damaged": 1, "empty": 1, "no-image": 1, "format": 13, "lopsided": 1, "across-splits": 1, "two-classes": 1,
    "duplicates": 1, "near-duplicates": 1, "dark": 1, "unlabelled": 4, "litter": 2, "not-read": 1, "extension": 1,
    "cropped": 1, "small": 1, "blank": 1, "grey": 1, "deep": 2, "turned": 1, "cmyk": 1,
}  # fmt: skip


def test_one_of_each_fault_is_counted(tmp_path):
    root = photos(tmp_path / "photos")
    assert reslab.check(root, size=48).findings == ()
    spoil(root)
    result = reslab.check(root, size=48)
    counts = dict.fromkeys(EXPECTED, 0)
    for finding in result.findings:
        counts[finding.kind] += finding.count
    assert counts == EXPECTED
    assert not result.is_fine
    by_class = [(f.kind, f.split, f.cls, f.format, f.of) for f in result.findings if f.kind in ("format", "damaged")]
    assert by_class == [("damaged", "train", "church", "JPEG", 20), ("format", "train", "flower", "AVIF", 23)]
    lines = result.lines()
    levels = [line.split()[0] for line in lines[1:]]
    assert levels == sorted(levels)
    assert any("keeps 9 of 23" in line for line in lines)
    assert all(finding.kind in KINDS for finding in result.findings)


def test_the_same_through_workers_and_again(tmp_path):
    root = photos(tmp_path / "photos")
    spoil(root)
    once = reslab.check(root, size=48, workers=0)
    assert reslab.check(root, size=48, workers=2).to_dict() == once.to_dict()


def test_error_names_every_bad_file_and_skip_leaves_all_out(tmp_path):
    """F2 and F3 of the field: bodies too, everywhere, and what a class keeps is told."""
    root = photos(tmp_path / "photos")
    spoil(root)
    with pytest.raises(UserError) as caught:
        folder(root, 48)
    assert all(name in str(caught.value) for name in ("cut.jpg", "empty.jpg", "notes.txt", "0.avif", "12.avif"))
    assert "\n" not in str(caught.value)
    data = folder(root, 48, bad_images="skip")
    assert len(data.train) == 18 + 9
    assert not any(Path(path).name in ("cut.jpg", "empty.jpg", "notes.txt") for path in data.train.paths)
    (lopsided,) = (finding for finding in data.findings if finding.kind == "lopsided")
    assert (lopsided.cls, lopsided.detail) == ("flower", "keeps 9 of 23")


BODIES = {
    "cut.jpg": lambda raw: raw[: len(raw) * 6 // 10], "cut.webp": lambda raw: raw[: len(raw) * 6 // 10],
    "cut.gif": lambda raw: raw[: len(raw) // 2],
    "crc.png": lambda raw: raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_damaged_body_is_met_before_training(tmp_path, name):
    if name == "cut.webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    root = photos(tmp_path / "photos")
    bad = root / "val" / "flower" / name
    patch(np.random.default_rng(0), 1).save(bad)
    bad.write_bytes(BODIES[name](bad.read_bytes()))
    with pytest.raises(UserError, match=f"{name}: cannot be decoded.*bad files: 1"):
        folder(root, 48)
    options = {"data": root, "image_size": 32, "iterations": 1, "set": {"batch": 4}, "bad_images": "skip"}
    events: list[dict] = []
    record = reslab.train("cifar_resnet8", **options, device="cpu", threads=1, out=tmp_path / "run", tell=events.append)
    found = record.run["data"]["findings"]
    assert [(f["kind"], f["split"], f["cls"], f["count"]) for f in found if f["kind"] == "damaged"] == [
        ("damaged", "val", "flower", 1)
    ]
    assert any(
        event["kind"] == "warning" and "damaged images: 1 of 4 in val/flower" in event["text"] for event in events
    )
    assert record.finished


def test_grey_folders_are_read_in_grey(tmp_path):
    """F16: a net of one channel; the luma of Pillow."""
    root = photos(tmp_path / "photos")
    for file in root.rglob("*.jpg"):
        Image.open(file).convert("L").save(file)
    record = reslab.train(
        "cifar_resnet8", data=root, in_channels=1, image_size=32, iterations=1, set={"batch": 4}, device="cpu",
        threads=1, out=tmp_path / "run",
    )  # fmt: skip
    assert record.run["spec"]["in_channels"] == 1
    (scored,) = reslab.evaluate(record.folder)
    assert scored.scores.n == 6
    answers = [*reslab.predict(record.folder, root / "val")]
    wrong = sum(answer.classes[0][0] != Path(answer.file).parent.name for answer in answers)
    assert wrong == round(scored.scores.top1_error * 6 / 100)


def test_a_test_folder_beside_val_is_scored_once(tmp_path):
    """F12: val is cut from train; test is not looked at before the end."""
    root = photos(tmp_path / "photos")
    (root / "val").rename(root / "test")
    settings = {"batch": 4, "eval_every": 1, "clean_every": 9}
    record = reslab.train(
        "cifar_resnet8", data=root, val_share=0.25, image_size=32, iterations=3, set=settings, device="cpu", threads=1,
        out=tmp_path / "run",
    )  # fmt: skip
    scored = [(line["iteration"], line["split"]) for line in record.metrics if line["kind"] == "eval"]
    assert scored == [(1, "val"), (2, "val"), (3, "val"), (3, "test"), (3, "train")]


def test_duplicates_in_memory():
    """Of sets in memory: rows by split; the digits have none."""
    assert reslab.check("digits").is_fine
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (12, 24, 24, 3), np.uint8)
    images[9], images[11], images[5] = images[2], images[3], images[4]
    labels = np.array([0, 1] * 6)
    labels[11] = 1 - labels[3]
    train, test = (Memory(images[part], labels[part]) for part in (slice(0, 8), slice(8, 12)))
    labels[9] = labels[2]
    data = Data("x", ("a", "b"), 3, 24, train, None, Memory(images[8:], labels[8:]), "f")
    found = {finding.kind: finding.examples for finding in reslab.check(data).findings}
    assert found["across-splits"] == ("test 1 = train 2",)
    assert found["two-classes"] == ("test 3 = train 3", "train 5 = train 4")
    assert test


def test_each_kind_has_its_words():
    from reslab.show.found import KOREAN

    assert set(KOREAN) == set(KINDS)
