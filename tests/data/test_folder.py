"""Class folders: the train split's map is the map, nothing that is no image is trained on, views are plain resizes."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.data.sets.folder import folder, labelled
from reslab.errors import UserError


def write(root: Path, names, *, size=(5, 4)) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        colour = hashlib.sha256(name.encode()).digest()
        Image.new("RGB", size, (colour[0], colour[1], colour[2])).save(root / name)
    return root


def tree(root: Path, **rooms) -> Path:
    """tree(root, train="cat*2 dog*1") -> train/cat/0.png, train/cat/1.png, train/dog/0.png"""
    for room, classes in rooms.items():
        for word in classes.split():
            name, _, count = word.partition("*")
            write(root, [f"{room}/{name}/{i}.png" for i in range(int(count or 1))])
    return root


def told(root: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        folder(root, 32, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def by_file(part) -> dict[str, int]:
    return {Path(p).parent.name + "/" + Path(p).name: int(y) for p, y in zip(part.paths, part.labels, strict=True)}


def missing(data):
    return [(f.split, f.examples) for f in data.findings if f.kind == "missing-class"]


def test_train_and_val(tmp_path):
    data = folder(tree(tmp_path, train="dog*2 cat*3", val="cat dog", test="dog"), 32)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (5, 2, 1)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert all(label == ("cat", "dog").index(name[:3]) for name, label in by_file(data.train).items())
    assert missing(data) == [("test", ("cat",))]
    assert (data.channels, data.size, data.train.size) == (3, 32, 32)


def test_fault_16_labels_depend_on_the_folders_name_alone(tmp_path):
    full = folder(tree(tmp_path, train="ant bee*2 cat", val="ant bee cat"), 32)
    for file in (tmp_path / "val" / "ant").iterdir():
        file.unlink()
    empty = folder(tmp_path, 32)
    (tmp_path / "val" / "ant").rmdir()
    gone = folder(tmp_path, 32)
    for data in (empty, gone):
        assert missing(data) == [("val", ("ant",))]
        assert by_file(data.val) == {k: v for k, v in by_file(full.val).items() if not k.startswith("ant")}


def test_fault_16_a_class_that_train_lacks_is_refused(tmp_path):
    assert "train has no class 'dgo'; did you mean dog?" in told(tree(tmp_path, train="cat dog", val="cat dgo"))


def test_fault_16_hidden_and_litter_are_skipped_and_nested_files_found(tmp_path):
    tree(tmp_path, train="cat dog", val="cat dog")
    write(tmp_path, ["train/.ipynb_checkpoints/0.png", "train/cat/.hidden.png", "train/cat/deep/deeper/1.png"])
    (tmp_path / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / "cat" / "loop").symlink_to(tmp_path / "train" / "cat")
    data = folder(tmp_path, 32)
    assert data.classes == ("cat", "dog")
    assert by_file(data.train) == {"cat/0.png": 0, "deeper/1.png": 0, "dog/0.png": 1}


def test_fault_16_case_twins_are_told(tmp_path):
    data = folder(tree(tmp_path, train="Cat cat dog", val="Cat cat dog"), 32)
    assert data.classes == ("Cat", "cat", "dog")
    assert [f.examples for f in data.findings if f.kind == "case-twins"] == [("Cat", "cat")]


def test_a_stated_share(tmp_path):
    root = tree(tmp_path, cats="x*30", dogs="x*10")  # class folders directly below, images one deeper
    assert "--val-share 0.1" in told(root)
    for share in (0, 1, -0.5, 7):
        assert "not between 0 and 1" in told(root, val_share=share)
    data = folder(root, 32, 0.2)
    assert (np.bincount(data.train.labels).tolist(), np.bincount(data.val.labels).tolist()) == ([24, 8], [6, 2])
    assert not set(data.train.paths) & set(data.val.paths)
    assert "8 of 40 images held out" in data.notes[0]
    again = folder(root, 32, 0.2)
    assert (again.val.paths, again.fingerprint) == (data.val.paths, data.fingerprint)
    write(root, ["cats/x/new.png"])
    more = folder(root, 32, 0.2)
    assert len(set(data.val.paths) - set(more.val.paths)) <= 1, "a new file moves hardly any of the old"
    assert more.fingerprint != data.fingerprint


def test_a_share_of_a_train_folder_and_a_tiny_class(tmp_path):
    data = folder(tree(tmp_path, train="cat*1 dog*4"), 32, 0.01)
    assert np.bincount(data.train.labels).tolist() == [1, 3]
    assert data.val.labels.tolist() == [1]
    assert missing(data) == [("val", ("cat",))]
    tree(tmp_path, val="cat dog")
    assert "leave out --val-share" in told(tmp_path, val_share=0.1)


def test_a_share_beside_a_test_folder_is_cut_from_train(tmp_path):
    tree(tmp_path, train="cat*10 dog*10", test="cat*3 dog*3")
    assert set(folder(tmp_path, 32).splits()) == {"train", "test"}
    data = folder(tmp_path, 32, 0.2)
    assert {name: len(part) for name, part in data.splits().items()} == {"train": 16, "val": 4, "test": 6}
    assert by_file(data.test) == by_file(folder(tmp_path, 32).test)


def test_fault_19_one_class_empty_and_loose(tmp_path):
    assert "is not there" in told(tmp_path / "nowhere")
    assert "it is empty" in told(tmp_path)
    write(tmp_path, ["a.png"])
    assert "outside class folders" in told(tmp_path)
    assert "is not a folder" in told(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    tree(tmp_path, train="cat", val="cat")
    assert "one class only (cat)" in told(tmp_path)
    (tmp_path / "train" / "dog").mkdir()
    assert "train/dog: no images in this class folder" in told(tmp_path)
    for file in (tmp_path / "train" / "cat").iterdir():
        file.unlink()
    assert "its class folders are empty" in told(tmp_path)


def test_classes_may_be_called_like_splits_beside_others(tmp_path):
    write(tmp_path, [f"{name}/{i}.png" for name in ("Train", "Bus") for i in range(2)])
    assert folder(tmp_path, 32, 0.5).classes == ("Bus", "Train")


UNREADABLE = """
import os, sys
from reslab.data.sets.folder import folder
from reslab.errors import UserError
root, good = sys.argv[1:]
folder(good, 32)  # all that is imported late
if os.geteuid() == 0:
    os.setuid(65534)  # root may read everything
for bad_images in ("error", "skip"):
    try:
        data = folder(root, 32, bad_images=bad_images)
        print(len(data.train), *(f.examples for f in data.findings if f.kind == "unreadable"))
    except UserError as error:
        print(error)
"""


def test_fault_13_a_folder_that_may_not_be_read(tmp_path):
    """Its mode is 000, and it is another user's."""
    with tempfile.TemporaryDirectory() as place:  # others may not enter pytest's own
        os.chmod(place, 0o755)
        root = tree(Path(place) / "pets", train="cat*2 dog*2", val="cat dog")
        closed = root / "train" / "cat" / "deep"
        write(closed, ["2.png"])
        closed.chmod(0)
        good = tree(Path(place) / "good", train="cat dog", val="cat dog")
        words = [sys.executable, "-c", UNREADABLE, str(root), str(good)]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": place})
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    line = f"{closed}: cannot be read (Permission denied)"
    assert done.stdout.splitlines() == [
        f"{line} (such folders: 1); make it readable, or leave them out with --bad-images skip",
        f"4 {(line,)}",
    ]


def test_fault_13_a_class_on_a_disk_that_is_not_there(tmp_path):
    tree(tmp_path, train="cat dog", val="cat dog")
    (tmp_path / "train" / "eel").symlink_to(tmp_path / "unmounted" / "eel")
    (tmp_path / "train" / "owl").symlink_to("owl")  # leads to itself
    line = told(tmp_path)
    assert f"{tmp_path / 'train' / 'eel'}: cannot be read (a broken link) (such folders: 2)" in line
    data = folder(tmp_path, 32, bad_images="skip")
    assert data.classes == ("cat", "dog")
    assert [f.count for f in data.findings if f.kind == "unreadable"] == [2]
    shutil.rmtree(tmp_path / "train" / "cat")
    shutil.rmtree(tmp_path / "train" / "dog")
    assert "a broken link" in told(tmp_path, bad_images="skip")


def test_fault_13_a_split_on_a_disk_that_is_not_there(tmp_path):
    tree(tmp_path, train="cat*2 dog*2")
    (tmp_path / "val").symlink_to(tmp_path / "unmounted")
    for options in ({}, {"val_share": 0.5}, {"val_share": 0.5, "bad_images": "skip"}):
        assert f"{tmp_path / 'val'}: a broken link" in told(tmp_path, **options)


def test_how_a_folder_was_cut_is_known(tmp_path):
    write(tmp_path, [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(4)])
    data = folder(tmp_path, 32, 0.25, bad_images="skip")
    assert data.origin() == {
        "name": tmp_path.name, "kind": "folder", "fingerprint": data.fingerprint, "val_share": 0.25,
        "bad_images": "skip",
    }  # fmt: skip


CLASSES = ("cat", "dog", "eel", "owl")


@pytest.mark.parametrize(("rooms", "splits"), [("", {"test": 3}), ("test/", {"test": 3}), ("val/", {"val": 3})])
def test_labelled_by_a_networks_classes(tmp_path, rooms, splits):
    write(tmp_path, [f"{rooms}owl/0.png", f"{rooms}dog/0.png", f"{rooms}dog/1.png"])
    data = labelled(tmp_path, 32, CLASSES)
    assert {name: len(part) for name, part in data.splits().items()} == splits
    (part,) = data.splits().values()
    assert data.classes == CLASSES
    assert [(Path(p).parent.name, int(y)) for p, y in zip(part.paths, part.labels, strict=True)] == [
        ("dog", 1), ("dog", 1), ("owl", 3),
    ]  # fmt: skip
    write(tmp_path, [f"{rooms}elk/0.png"])
    with pytest.raises(UserError, match=f"{rooms}elk: the network knows no class 'elk'; did you mean eel"):
        labelled(tmp_path, 32, CLASSES)


def test_what_is_labelled_is_looked_at_like_all_else(tmp_path):
    for words in ("it is empty", "outside class folders"):
        with pytest.raises(UserError, match=words):
            labelled(tmp_path, 32, CLASSES)
        (tmp_path / "loose.png").write_bytes(b"")
    write(tmp_path, ["cat/0.png"])
    (tmp_path / "cat" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="bad files: 1"):
        labelled(tmp_path, 32, CLASSES)
    assert len(labelled(tmp_path, 32, CLASSES, bad_images="skip").test) == 1
    (tmp_path / "cat").rename(tmp_path / "Test")
    with pytest.raises(UserError, match="knows no class 'Test'"):
        labelled(tmp_path, 32, CLASSES)


def test_no_train_folder(tmp_path):
    assert "no train folder" in told(tree(tmp_path, val="cat dog"))


def test_fault_13_files_that_are_no_images(tmp_path):
    tree(tmp_path, train="cat*2 dog*2", val="cat dog")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "train" / "dog" / "x.jpg").write_bytes(b"")
    (tmp_path / "val" / "dog" / "y.jpg").symlink_to(tmp_path / "nowhere")
    line = told(tmp_path)
    assert "cat/notes.txt: is no image" in line
    assert "(bad files: 3, train/dog/x.jpg, val/dog/y.jpg)" in line
    data = folder(tmp_path, 32, bad_images="skip")
    assert (len(data.train), len(data.val)) == (4, 2)
    assert {f.kind: f.count for f in data.findings if f.level == "fault"} == {"no-image": 1, "empty": 1, "damaged": 1}
    for file in (tmp_path / "train" / "dog").glob("*.png"):
        file.unlink()
    assert "train/dog: no images in this class folder" in told(tmp_path, bad_images="skip")
    assert "choose error or skip" in told(tmp_path, bad_images="ignore")


def test_odd_names(tmp_path):
    tree(tmp_path, train="개 <b>&'", val="개")
    undecodable = os.fsdecode(b"\xff\xfe.png")
    (tmp_path / "train" / "개" / "0.png").rename(tmp_path / "train" / "개" / undecodable)
    data = folder(tmp_path, 32)
    assert data.classes == ("<b>&'", "개")
    assert len(data.fingerprint) == 64
