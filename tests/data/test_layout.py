"""Folders as people have them: splits by other names, wrapped, unlabelled, with what systems and tools leave behind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.data.check.finding import Finding
from reslab.data.sets.folder import folder
from reslab.data.sets.layout import split_of
from reslab.data.sets.listing import is_visible
from reslab.errors import UserError

COUNTER = iter(range(10**6))


def fill(root: Path, *names: str) -> Path:
    """Write an image of its own for each name; "cat*3" writes three into a folder."""
    for name in names:
        place, _, count = name.partition("*")
        for number in range(int(count or 1)):
            file = root / (f"{place}/{number}.png" if count else place)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(next(COUNTER)).integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    return root


def sizes(data) -> dict[str, int]:
    return {name: len(part) for name, part in data.splits().items()}


def kinds(data) -> set[str]:
    return {finding.kind for finding in data.findings}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("training_set", "train"), ("train_images", "train"),
        ("seg_train", "train"), ("train2017", "train"), ("val2017", "val"), ("dev", "val"), ("eval", "val"),
        ("validation", "val"), ("VALID", "val"), ("test_set", "test"), ("holdout", "test"), ("test-images", "test"),
        ("bus", ""), ("trainer", ""), ("images", ""), ("test drive", ""), ("2017", ""), ("train_test", ""),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("training_set", "test_set", "test"), ("Training", "Validation", "val"), ("seg_train", "seg_test", "test"),
        ("train", "dev", "val"), ("train", "Test", "test"), ("train_images", "val2017", "val"),
    ],
)  # fmt: skip
def test_splits_by_other_names(tmp_path, train, other, split):
    """F1 of the field: with cats and dogs inside, "training_set" is no class."""
    fill(tmp_path, f"{train}/cats*3", f"{train}/dogs*3", f"{other}/cats*2", f"{other}/dogs*2")
    data = folder(tmp_path, 32)
    assert data.classes == ("cats", "dogs")
    assert sizes(data) == {"train": 6, split: 4}
    told = {(finding.split, finding.examples[0]) for finding in data.findings if finding.kind == "layout"}
    assert told == {(role, name) for role, name in (("train", train), (split, other)) if role != name}


def test_the_fingerprint_of_a_plain_folder_is_that_of_earlier_versions(tmp_path):
    """Else no run that began before could be resumed."""
    for number, name in enumerate(("train/cat/a.ppm", "train/dog/b.ppm", "val/cat/c.ppm", "val/dog/d.ppm")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"P6 4 4 255\n" + bytes(range(number, number + 48)))
    assert folder(tmp_path, 32).fingerprint == PLAIN


PLAIN = "76b43e4f26d4a667eaf7faff06f8bc5437954ac2975aeb9f496d68eee302b5af"


def test_folders_that_hold_the_same_folders_are_refused(tmp_path):
    fill(tmp_path, *(f"{half}/{name}*2" for half in ("part1", "part2") for name in ("cats", "dogs")))
    with pytest.raises(UserError, match=r"part1, part2 hold the same folders \(cats, dogs …\), so they look like"):
        folder(tmp_path, 32, 0.5)
    fill(tmp_path, "part2/birds*2")  # then they may be classes with folders of their own
    assert folder(tmp_path, 32, 0.5).classes == ("part1", "part2")


def test_two_names_for_one_split_are_refused(tmp_path):
    fill(tmp_path, "train/cat*2", "train/dog*2", "val2017/cat*1", "dev/cat*1")
    with pytest.raises(UserError, match="dev and val2017 both stand for val; rename the right one to val"):
        folder(tmp_path, 32)


def test_a_wrapping_folder_is_entered(tmp_path):
    """F30: the archive was unpacked into one more folder."""
    inner = fill(tmp_path / "wrap" / "photos", "train/cat*2", "train/dog*2", "val/cat*1", "val/dog*1")
    data = folder(tmp_path / "wrap", 32)
    assert sizes(data) == {"train": 4, "val": 2}
    assert data.fingerprint == folder(inner, 32).fingerprint
    assert kinds(data) >= {"layout"}


def test_wrapped_class_folders_are_named(tmp_path):
    fill(tmp_path, "photos/cat*2", "photos/dog*2")
    with pytest.raises(UserError, match=f"if its folders .cat, dog …. are the classes, give {tmp_path / 'photos'}"):
        folder(tmp_path, 32, 0.5)


def test_a_split_that_repeats_its_name(tmp_path):
    fill(tmp_path, "seg_train/seg_train/sea*2", "seg_train/seg_train/ice*2", "seg_test/seg_test/sea*2")
    data = folder(tmp_path, 32)
    assert (data.classes, sizes(data)) == (("ice", "sea"), {"train": 4, "test": 2})


def test_an_unlabelled_test_folder(tmp_path):
    """F11: it is not scored, and that is told; the rest is read."""
    fill(tmp_path, "train/cat*2", "train/dog*2", "val/cat*2", "val/dog*2", "test/0000.png", "test/0001.png")
    data = folder(tmp_path, 32)
    assert sizes(data) == {"train": 4, "val": 4}
    (found,) = (finding for finding in data.findings if finding.kind == "unlabelled")
    assert (found.count, found.split) == (2, "test")


def test_what_systems_and_tools_leave_behind(tmp_path):
    """F4 and F5: no class and no image, but counted."""
    fill(tmp_path, "train/cat*2", "train/dog*2", "val/cat*2", "val/dog*2")
    clean = folder(tmp_path, 32)
    left = (
        "train/@eaDir/x.jpg", "train/cat/@eaDir/0.png/SYNO_THUMB.jpg", "train/$RECYCLE.BIN/1.png", "val/lost+found/a",
        "train/System Volume Information/a", "train/dog/Icon\r", "train/dog/~$notes.docx", "train/dog/a.jpg.part",
        "val/cat/b.png.crdownload", "val/#recycle/a.png", "val/cat/ehthumbs.db", "train/cat/.DS_Store",
    )  # fmt: skip
    for name in left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    data = folder(tmp_path, 32)
    assert (data.classes, data.fingerprint) == (clean.classes, clean.fingerprint)
    (found,) = (finding for finding in data.findings if finding.kind == "litter")
    assert found.count == len(left)
    assert not any(map(is_visible, ("@eaDir", "Icon\r", "#snapshot", "Thumbs.db", "~$x", "x.part")))


def test_folders_beside_the_splits_are_told(tmp_path):
    fill(tmp_path, "train/cat*2", "train/dog*2", "val/cat*2", "val/dog*2", "extra/cat*2")
    data = folder(tmp_path, 32)
    assert Finding("not-read", 1, examples=("extra",)) in data.findings
    assert sizes(data) == {"train": 4, "val": 4}
