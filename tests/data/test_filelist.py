"""Lists of files: the same data as the folders they list, and one line for each thing that is wrong with them."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from data.commanded import interrupt, reslab
from PIL import Image

from reslab.data.sets import filelist as lists
from reslab.data.sets import listing
from reslab.data.sets.filelist import filelist, labelled
from reslab.data.sets.folder import folder
from reslab.data.sources import load, to_score
from reslab.errors import UserError
from reslab.store.files import sha256


def picture(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        colour = hashlib.sha256(name.encode()).digest()
        Image.new("RGB", (5, 4), (colour[0], colour[1], colour[2])).save(root / name)


def write(root: Path, *rows: str, header: str = "path,label,split", name: str = "list.csv") -> Path:
    (root / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root / name


def pets(root: Path, *, train: int = 3, val: int = 1, test: int = 0) -> list[str]:
    """Write the images SPLIT/CLASS/N.png, and return their rows."""
    rows = []
    for split, count in (("train", train), ("val", val), ("test", test)):
        for label in ("cat", "dog"):
            names = [f"{split}/{label}/{number}.png" for number in range(count)]
            picture(root, *names)
            rows += [f"{name},{label},{split}" for name in names]
    return rows


def told(file: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        filelist(file, 32, **options)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{file}: ", "")


def by_file(part, root: Path) -> list[tuple[str, int]]:
    return [(os.path.relpath(path, root), int(y)) for path, y in zip(part.paths, part.labels, strict=True)]


# -- what a list means


def same(a, b, but: tuple[str, ...] = ()) -> bool:
    """Two `Data`, field by field, split by split."""
    fields = [f.name for f in dataclasses.fields(a) if f.name not in ("train", "val", "test", *but)]
    assert [getattr(a, name) for name in fields] == [getattr(b, name) for name in fields]
    for split in ("train", "val", "test"):
        p, q = getattr(a, split), getattr(b, split)
        assert (p is None) == (q is None)
        assert p is None or (list(p.paths) == list(q.paths) and p.labels.tolist() == q.labels.tolist())
    return True


def test_a_list_of_class_folders_is_the_same_data_as_the_folders(tmp_path):
    rows = pets(tmp_path, test=2)
    np.random.default_rng(0).shuffle(rows)
    assert same(filelist(write(tmp_path, *rows), 32), folder(tmp_path, 32), but=("name",))
    (tmp_path / "list.csv").unlink()
    flat = tmp_path / "train"
    file = write(flat, *(row.removeprefix("train/") for row in rows if row.startswith("train/")), name="x.csv")
    file.write_text(file.read_text().replace(",train\n", "\n").replace(",split", ""))
    file.rename(tmp_path / "x.csv")  # beside the folder, which may hold no loose file
    bare = folder(flat, 32, 0.4)
    (tmp_path / "x.csv").rename(file)
    assert same(filelist(file, 32, 0.4), bare, but=("name",))


def test_every_way_to_write_it_is_the_same(tmp_path):
    rows = pets(tmp_path)
    expected = filelist(write(tmp_path, *rows), 32)
    for delimiter in ",\t;":
        for header in ("path,label,split", "File,Class,Split", " filename , label , split ", "image,label,split"):
            lines = [row.replace(",", delimiter) for row in (header, "", *rows, "")]
            assert same(filelist(write(tmp_path, *lines[1:], header=lines[0]), 32), expected)
    moved = [",".join(row.split(",")[::-1]) for row in rows]
    assert same(filelist(write(tmp_path, *moved, header="split,label,path"), 32), expected)
    quoted = [", ".join(f'"{value}"' for value in row.split(",")) for row in rows]
    assert same(filelist(write(tmp_path, *quoted), 32), expected)
    file = write(tmp_path, *(f"{tmp_path}/{rows[0]}", *(f"./{row}" for row in rows[1:])))
    assert same(filelist(file, 32), expected)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))  # as Excel writes it
    assert same(filelist(file, 32), expected)
    extra = write(tmp_path, *(f"{row},7" for row in rows), header="path,label,split,width")
    assert filelist(extra, 32).notes == ("columns of list.csv that are not read: 'width'",)
    both = write(tmp_path, *(f"{row},7" for row in rows), header="path,label,split,class")
    assert filelist(both, 32).classes == ("cat", "dog")


def test_files_elsewhere_and_through_links(tmp_path):
    rows = pets(tmp_path / "images")
    (tmp_path / "images" / "lists").mkdir()
    (tmp_path / "short").symlink_to(tmp_path / "images" / "lists")
    beside = write(tmp_path / "images" / "lists", *(f"../{row}" for row in rows))
    first = filelist(beside, 32)
    same(filelist(write(beside.parent, *(f"{tmp_path}/images/{row}" for row in rows)), 32), first)
    linked = filelist(tmp_path / "short" / "list.csv", 32)
    assert linked.fingerprint == first.fingerprint
    assert all(os.path.samefile(a, b) for a, b in zip(linked.train.paths, first.train.paths, strict=True))


def test_a_share_is_cut_as_from_a_folder(tmp_path):
    rows = pets(tmp_path, train=10, val=0)
    file = write(tmp_path, *(row.rpartition(",")[0] for row in rows), header="path,label")
    assert "has no val rows; add a column split with train and val, or hold a share" in told(file)
    for share in (0, 1, -0.5, 7):
        assert "not between 0 and 1" in told(file, val_share=share)
    data = filelist(file, 32, 0.2)
    assert (np.bincount(data.train.labels).tolist(), np.bincount(data.val.labels).tolist()) == ([8, 8], [2, 2])
    assert data.notes == ("4 of 20 images held out as val by a hash of their paths",)
    assert data.origin() == {
        "name": "list.csv", "kind": "folder", "fingerprint": data.fingerprint, "val_share": 0.2, "bad_images": "error",
    }  # fmt: skip
    assert same(filelist(write(tmp_path, *rows), 32, 0.2), data), "a split column with train alone is cut too"
    both = write(tmp_path, *pets(tmp_path))
    assert "has rows of val; leave out --val-share" in told(both, val_share=0.2)


# -- one line for each mistake


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "it is empty; begin it with the header path,label"),
        (" \n\n", "it is empty"),
        ("path,label\n", "there is a header, but no row below it"),
        ("0.png,cat\n1.png,dog\n", "its first line is no header ('0.png,cat'); begin it with the line path,label"),
        ("0.png\n", "its first line is no header ('0.png')"),
        ("path\n0.png\n", "no column 'label' or 'class' (there are: path); its header is path,label"),
        ("id,label\n0,cat\n", "no column 'path' or 'file' or 'filename' or 'image' (there are: id, label)"),
        ("path,label,label\n0.png,cat,cat\n", "two columns are called 'label'"),
        ("path,label\n0.png,cat\n1.png\n", "line 3 has 1 value, the header 2"),
        ("path,label\n\n0.png,cat\n1,png,dog\n", "line 4 has 3 values, the header 2; quote values that hold ','"),
        ("path,label\n0.png,\n", "line 2: the label is missing"),
        ("path,label\n , cat\n", "line 2: the path is missing"),
        ("path,label,split\n0.png,cat,\n", "line 2: the split is missing"),
        ("path,label,split\n0.png,cat,trian\n", "line 2: split 'trian' is unknown; write train, val or test; did you"),
        ("path,label,split\n0.png,cat,validation\n", "line 2: split 'validation' is unknown; write train, val or test"),
        ("path,label,split\n0.png,cat,Train\n", "line 2: split 'Train' is unknown"),
        ('path,label\n"a\nb.png",cat\n0.png,\n', "line 2: the path has characters that cannot be printed"),
        ('path,label\n"0\n.png,cat\n', "unexpected end of data"),
        ("path,label,split\n0.png,cat,train\n1.png,cat,val\n", "one class only (cat) in train"),
        ("path,label,split\n0.png,cat,val\n1.png,dog,test\n", "no row is of the split train"),
        (
            "path,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,dgo,val\n",
            "line 4, of val: train has no class 'dgo'; did you mean dog",
        ),
        ("path,label\n0.png,cat\n1.png,dog\n0.png,dog\n", "line 4: 0.png has the label 'dog', but 'cat' in line 2"),
    ],
)  # fmt: skip
def test_one_line_for_each_mistake(tmp_path, text, line):
    picture(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "list.csv").write_text(text)
    assert told(tmp_path / "list.csv").startswith(line) or line in told(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("path,label\n0.png,café\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xe9); save it as UTF-8"),
        ("path,label\n0.png,cat\n".encode("utf-16"), "its encoding is UTF-16; save it as UTF-8"),
        (b"path,label\n0.png,c\0t\n", "line 2 has a zero byte"),
        (b"path,label\n" + b"a" * 200_000 + b",cat\n", "line 2: field larger than field limit"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, line):
    (tmp_path / "list.csv").write_bytes(content)
    assert told(tmp_path / "list.csv").startswith(line)


def test_missing_files(tmp_path):
    rows = pets(tmp_path)
    file = write(tmp_path, *rows, *(f"gone/{n}.png,cat,train" for n in range(5)))
    line = told(file)
    assert "5 of 13 files are missing: gone/0.png, gone/1.png, gone/2.png …; paths are relative to" in line
    assert line.endswith("leave the files out with --bad-images skip")
    data = filelist(file, 32, bad_images="skip")
    assert data.notes == ("5 files of the list that are missing were left out: gone/0.png, gone/1.png, gone/2.png …",)
    assert same(data, filelist(write(tmp_path, *rows), 32), but=("notes", "bad_images"))
    assert "no images of class 'eel' in train are left" in told(
        write(tmp_path, *rows, "gone.png,eel,train"), bad_images="skip"
    )
    assert "no images of the split test are left" in told(
        write(tmp_path, *rows, "gone.png,cat,test"), bad_images="skip"
    )


def test_files_that_are_no_images(tmp_path):
    rows = pets(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    file = write(tmp_path, *rows, "notes.txt,cat,train", "train,cat,train", ".,dog,train")
    assert "notes.txt: is no image" in told(file)
    assert "(bad files: 3, train, .)" in told(file)
    data = filelist(file, 32, bad_images="skip")
    assert sum(f.count for f in data.findings if f.level == "fault") == 3
    assert (len(data.train), len(data.val)) == (6, 2)
    assert "choose error or skip" in told(file, bad_images="ignore")


def test_what_is_noted(tmp_path):
    rows = pets(tmp_path)
    (found,) = (f for f in filelist(write(tmp_path, *rows[:-1]), 32).findings if f.kind == "missing-class")
    assert (found.kind, found.split, found.examples) == ("missing-class", "val", ("dog",))
    picture(tmp_path, "Cat.png")
    data = filelist(write(tmp_path, *rows, "Cat.png,Cat,train"), 32)
    assert [f.examples for f in data.findings if f.kind == "case-twins"] == [("Cat", "cat")]


def test_a_file_twice_in_a_split_and_in_two_splits(tmp_path):
    rows = pets(tmp_path)
    data = filelist(write(tmp_path, *rows, rows[0], "./train/cat/1.png,cat,train"), 32)
    assert data.notes == ("train lists 2 files again, the first is train/cat/0.png; each row counts",)
    assert len(data.train) == 8
    data = filelist(write(tmp_path, *rows, "train/dog/2.png,dog,val", "train/dog/1.png,dog,test"), 32)
    assert data.notes == (
        "leakage: 1 files of val are also in train, the first is train/dog/2.png",
        "leakage: 1 files of test are also in train, the first is train/dog/1.png",
    )
    os.link(tmp_path / "train" / "cat" / "0.png", tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(tmp_path / "train" / "cat" / "1.png")
    data = filelist(write(tmp_path, *rows, "hard.png,cat,val", "soft.png,cat,val"), 32)
    assert data.notes == ("leakage: 2 files of val are also in train, the first is hard.png",)


def test_a_file_listed_twice_is_not_cut_into_both_splits(tmp_path):
    pets(tmp_path, train=4, val=0)
    names = [(f"train/{label}/{n}.png", label) for label in ("cat", "dog") for n in range(4)]
    rows = [f"{name},{label}" for name, label in names for _ in range(3)]
    for share in np.linspace(0.05, 0.95, 19):
        data = filelist(write(tmp_path, *rows, header="path,label"), 32, float(share))
        assert not set(data.train.paths) & set(data.val.paths)
        assert not any("leakage" in note for note in data.notes)
        assert len(data.train) + len(data.val) == 24


# -- scoring with a network's classes

CLASSES = ("cat", "dog", "eel", "owl")


def test_labelled_by_a_networks_classes(tmp_path):
    picture(tmp_path, "0.png", "1.png", "2.png")
    file = write(tmp_path, "0.png,owl", "1.png,dog", "2.png,dog", header="path,label")
    data = labelled(file, 32, CLASSES)
    assert (data.classes, data.train, data.val) == (CLASSES, None, None)
    assert by_file(data.test, tmp_path) == [("1.png", 1), ("2.png", 1), ("0.png", 3)]
    assert to_score(str(file), CLASSES, 32).fingerprint == data.fingerprint
    data = labelled(write(tmp_path, "0.png,owl,val", "1.png,dog,test"), 32, CLASSES)
    assert (by_file(data.val, tmp_path), by_file(data.test, tmp_path)) == ([("0.png", 3)], [("1.png", 1)])
    assert labelled(write(tmp_path, "0.png,owl,train"), 32, CLASSES) is None
    file = write(tmp_path, "0.png,elk", header="path,label")
    with pytest.raises(UserError, match="line 2: the network knows no class 'elk'; did you mean eel"):
        labelled(file, 32, CLASSES)
    file = write(tmp_path, "0.png,a", "1.png,b", header="path,label")
    assert labelled(file, 32, ("x", "y"), by_order=True).classes == ("a", "b")
    with pytest.raises(UserError, match=r"1 of 2 files are missing: gone\.png"):
        labelled(write(tmp_path, "0.png,owl,val", "gone.png,dog,test"), 32, CLASSES)
    file = write(tmp_path, "0.png,owl", "0.png,owl", header="path,label")
    assert labelled(file, 32, CLASSES).notes == ("test lists 1 files again, the first is 0.png; each row counts",)


# -- the kept index


def test_a_kept_index_equals_a_new_one_and_is_left_when_something_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "MIN_FILES", 1)
    monkeypatch.setattr(listing, "SETTLED", -1e9)
    rows = pets(tmp_path / "a")
    file = write(tmp_path / "a", *rows)
    made = []
    index = lists._index
    monkeypatch.setattr(lists, "_index", lambda *words: made.append(words) or index(*words))

    def opened(**options) -> bool:
        """Whether the index was kept; the data equal those of a new one."""
        made.clear()
        data = filelist(file, 32, **options)
        is_kept = not made
        with monkeypatch.context() as patch:
            patch.setattr(listing, "load_index", lambda *_: None)
            assert same(filelist(file, 32, **options), data)
        return is_kept

    assert [opened(), opened()] == [False, True]
    picture(tmp_path / "a", "train/cat/9.png")
    assert [opened(), opened()] == [False, True], "its folder changed"
    write(tmp_path / "a", *rows, "train/cat/9.png,cat,train")
    assert [opened(), opened()] == [False, True], "the list changed"
    (tmp_path / "a" / "val" / "cat" / "0.png").unlink()
    assert "1 of 9 files are missing: val/cat/0.png" in told(file)
    assert [opened(bad_images="skip"), opened(bad_images="skip")] == [False, True]


# -- what --data says


def test_where_a_list_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, *pets(tmp_path))
    assert load("list.csv").place == str(tmp_path / "list.csv")
    assert load("list.csv", size=24).train.size == 24
    Path("photos.zip").write_bytes(b"PK")
    for text, line in (
        ("lost.csv", "data: no such file: lost.csv; did you mean list.csv"),
        ("./nowhere/list.csv", "data: no such file: ./nowhere/list.csv"),
        ("photos.zip", "photos.zip is a file, but no list of files (.csv or .tsv)"),
    ):
        with pytest.raises(UserError) as error:
            load(text)
        assert line in str(error.value)
    Path("folder.csv").mkdir()
    with pytest.raises(UserError, match="it is empty; put the images of each class into a folder"):
        load("folder.csv")


@pytest.mark.slow
def test_train_resume_evaluate_predict_and_a_changed_list(tmp_path):
    rows = pets(tmp_path, train=8, val=4)
    file = write(tmp_path, *(row.rpartition(",")[0] for row in rows), header="path,label")
    train = ["train", "cifar_resnet8", "--image-size", 32, "--data", "list.csv", "--val-share", 0.25, "--threads", 1]
    train += ["--workers", 1, "--set", "batch=4", "--set", "save_every=1", "--iterations", 30, "--out"]
    reslab(tmp_path, *train, "whole")
    interrupt(tmp_path, tmp_path / "run", *train, "run")
    reslab(tmp_path, *train, "run")
    whole, resumed = (tmp_path / run / "checkpoints" / "step-00000030" for run in ("whole", "run"))
    assert sha256(whole / "weights.safetensors") == sha256(resumed / "weights.safetensors")
    record = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert (record["name"], record["kind"], record["source"], record["val_share"]) == (
        "list.csv", "folder", "list.csv", 0.25,
    )  # fmt: skip
    (scores,) = json.loads(reslab(tmp_path, "evaluate", "run", "--workers", 1, "--json").stdout)
    assert (scores["n"], scores["split"], scores["iteration"]) == (6, "val", 30)
    write(tmp_path, "train/cat/0.png,cat", "train/dog/0.png,dog", header="path,label", name="other.tsv")
    other = reslab(tmp_path, "evaluate", "run", "--data", "other.tsv", "--workers", 1, "--json").stdout
    assert (json.loads(other)[0]["n"], json.loads(other)[0]["split"]) == (2, "test")
    answer = reslab(tmp_path, "predict", "run", "train/cat/0.png").stdout
    assert "cat" in answer
    with file.open("a") as stream:
        stream.write("nowhere.png,cat\n")
    refused = reslab(tmp_path, "evaluate", "run", code=2).stderr.splitlines()
    assert len(refused) == 1
    assert "1 of 25 files are missing: nowhere.png" in refused[0]
