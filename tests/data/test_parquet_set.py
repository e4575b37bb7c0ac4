"""Image sets in parquet files: every image is that of the same files in folders, and nothing is left out in silence."""

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data.commanded import interrupt, reslab
from PIL import Image

from reslab import check
from reslab.data.images.decode import read
from reslab.data.sets import parquet_rows
from reslab.data.sets.parquet import UNCHECKED
from reslab.data.sets.parquet_set import labelled, parquet_set
from reslab.data.source import source_of
from reslab.data.sources import load, to_score
from reslab.data.splits import Files
from reslab.errors import UserError
from reslab.store.files import sha256

pa = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="parquet files need pyarrow")

NAMES = ("cat", "dog", "eel")


def encoded(number: int, kind: str = "PNG") -> bytes:
    colour = hashlib.sha256(str(number).encode()).digest()
    file = io.BytesIO()
    Image.new("RGB", (20 + number % 7, 24), (colour[0], colour[1], colour[2])).save(file, kind)
    return file.getvalue()


def write(file: Path, labels, *, images=None, names=NAMES, image="image", label="label", extra=None, **options) -> Path:
    """A file as `datasets` writes it: with ClassLabel names in the metadata of its schema."""
    file.parent.mkdir(parents=True, exist_ok=True)
    start = int(hashlib.sha256(file.name.encode()).hexdigest()[:4], 16)
    stored = [encoded(start + n) for n in range(len(labels))] if images is None else images
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        image: pa.array([{"bytes": content, "path": None} for content in stored], struct),
        label: pa.array(labels, None if any(isinstance(one, str) for one in labels) else pa.int64()),
        **(extra or {}),
    }
    table = pa.table(columns)
    if names:
        features = {image: {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, file, **{"write_page_checksum": True, **options})
    return file


def told(path: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        parquet_set(path, 32, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def pairs(part: Files) -> list[tuple[bytes, int]]:
    return [(bytes(image), int(label)) for image, label in zip(part.paths, part.labels, strict=True)]


def stored_in(*files: Path, names=NAMES, image="image", label="label") -> list[tuple[bytes, int]]:
    """What pyarrow alone reads."""
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [
        (row[image]["bytes"], names.index(row[label]) if isinstance(row[label], str) else row[label]) for row in rows
    ]


def pets(root: Path, train: int = 9, val: int = 6) -> Path:
    half = train // 2
    write(root / "train-00000-of-00002.parquet", [n % 3 for n in range(half)])
    write(root / "train-00001-of-00002.parquet", [n % 3 for n in range(half, train)])
    write(root / "validation-00000-of-00001.parquet", [n % 3 for n in range(val)])
    return root


def test_rows_are_those_of_pyarrow(tmp_path):
    data = parquet_set(pets(tmp_path), 32)
    assert (data.classes, data.kind, data.channels, data.size, data.notes) == (NAMES, "folder", 3, 32, ())
    assert pairs(data.train) == stored_in(*sorted(tmp_path.glob("train-*")))
    assert pairs(data.val) == stored_in(tmp_path / "validation-00000-of-00001.parquet")
    assert data.test is None
    image = data.train.paths[5]
    assert image.name == data.train.name(5) == f"{tmp_path}/train-00001-of-00002.parquet row 1"
    assert np.array_equal(read(image), Image.open(io.BytesIO(image)).convert("RGB"))
    chosen = data.train.subset(np.array([8, 0]))
    assert pairs(chosen) == [pairs(data.train)[8], pairs(data.train)[0]]
    assert (chosen.name(0), repr(chosen)) == (data.train.name(8), "Files(2 images to 32×32)")
    again = parquet_set(tmp_path, 32)
    assert again.fingerprint == data.fingerprint
    write(tmp_path / "train-00001-of-00002.parquet", [n % 3 for n in range(5)], compression="none")
    assert parquet_set(tmp_path, 32).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    "files",
    [
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet", "default/test/0000.parquet"),
        ("data/train.parquet", "data/valid.parquet", "data/testing_1.parquet"),
        ("training/a.parquet", "dev/a.parquet", "test/a.parquet"),
    ],
)
def test_the_split_is_in_the_name_of_the_file_or_a_folder(tmp_path, files):
    for number, name in enumerate(files):
        write(tmp_path / name, [0, 1, 2] * (3 - number))
    write(tmp_path / ".cache" / "train-0.parquet", [0])
    data = parquet_set(tmp_path, 32)
    assert [len(part) for part in (data.train, data.val, data.test)] == [9, 6, 3]
    write(tmp_path / "more.parquet", [0, 1, 2])
    assert "more.parquet: its split is not in its name" in told(tmp_path)


def test_other_columns_and_labels(tmp_path):
    file = write(tmp_path / "train.parquet", ["owl", "cat", "owl"], names=(), image="img", extra={"exact": ["a"] * 3})
    write(tmp_path / "val.parquet", ["cat"], names=(), image="img", extra={"exact": ["a"]})
    data = parquet_set(tmp_path, 32)
    assert (data.classes, data.train.labels.tolist()) == (("cat", "owl"), [1, 0, 1])
    assert [(f.kind, f.split, f.examples) for f in data.findings] == [("missing-class", "val", ("owl",))]
    assert pairs(data.train) == stored_in(file, names=("cat", "owl"), image="img")
    write(tmp_path / "val.parquet", ["owk"], names=(), image="img")
    assert "val.parquet row 0: train has no class 'owk'; did you mean owl" in told(tmp_path)
    write(tmp_path / "train.parquet", [10, 2, 2], names=())
    write(tmp_path / "val.parquet", [10], names=())
    data = parquet_set(tmp_path, 32)
    assert (data.classes, data.train.labels.tolist(), data.val.labels.tolist()) == (("2", "10"), [1, 0, 0], [1])


def test_a_share(tmp_path):
    file = write(tmp_path / "pets.parquet", [n % 3 for n in range(30)])
    for path in (file, tmp_path):
        assert "has no validation files; hold a share" in told(path)
        assert "not between 0 and 1" in told(path, val_share=1)
        data = parquet_set(path, 32, 0.2)
        assert (np.bincount(data.train.labels).tolist(), np.bincount(data.val.labels).tolist()) == ([8] * 3, [2] * 3)
        assert sorted(pairs(data.train) + pairs(data.val)) == sorted(stored_in(file))
        assert data.notes == ("6 of 30 images held out as val by a hash of their file and row",)
        assert data.fingerprint != parquet_set(path, 32, 0.4).fingerprint
    assert "has a val split; leave out --val-share" in told(pets(tmp_path / "split"), val_share=0.2)


def test_faults(tmp_path):
    assert "no such file or folder" in told(tmp_path / "nowhere")
    assert "no *.parquet in this folder" in told(tmp_path)
    train, val = tmp_path / "train.parquet", tmp_path / "val.parquet"
    write(val, [0, 1, 2])
    assert "there is no train split (there are: val)" in told(tmp_path)
    write(train, [0, 1, 3])
    assert "train.parquet row 2: label 3 is not one of 0..2" in told(tmp_path)
    write(train, [0, None, 2])
    assert "train.parquet row 1: it has no label" in told(tmp_path)
    write(train, [0, 1, 2], names=("cat", "dog", "emu"))
    assert "val.parquet: its class names are not those of the other files" in told(tmp_path)
    write(train, [0, 0], names=("cat",))
    assert "one class only (cat)" in told(train, val_share=0.5)
    write(train, [0, 1, 2], image="picture")
    assert "no column 'image' or 'img' (there are: label, picture)" in told(tmp_path)
    pq.write_table(pa.table({"image": [b"x"], "label": [1]}), train)
    assert "column 'image' is binary, expected a struct with binary 'bytes'" in told(tmp_path)
    pq.write_table(pa.table({"image": [{"bytes": b"x"}], "label": [1.5]}), train)
    assert "column 'label' is double, expected integer or string" in told(tmp_path)
    write(train, [])
    assert "train.parquet: not a readable parquet file" in told(tmp_path)
    train.write_bytes(val.read_bytes()[:-9])
    assert "train.parquet: not a readable parquet file" in told(tmp_path)


def test_rows_that_hold_no_image(tmp_path):
    images = [encoded(0), b"hello", encoded(2), None, encoded(4), encoded(5)[:30]]
    write(tmp_path / "train.parquet", [0, 0, 1, 1, 2, 2], images=images)
    write(tmp_path / "val.parquet", [0, 1, 2])
    line = told(tmp_path)
    assert "train.parquet row 1: is no image" in line
    assert "(bad images: 3); leave them out with --bad-images skip" in line
    data = parquet_set(tmp_path, 32, bad_images="skip")
    assert [(f.kind, f.count) for f in data.findings] == [("no-image", 3)]
    assert pairs(data.train) == [(images[row], row // 2) for row in (0, 2, 4)]
    assert "choose error or skip" in told(tmp_path, bad_images="ignore")


def noise(seed: int, shape=(40, 40, 3), kind: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))
    (image.convert(mode) if mode else image).save(file, kind, quality=90)
    return file.getvalue()


@pytest.mark.parametrize("workers", [0, 2])
def test_check_finds_in_parquet_files_what_it_finds_in_the_same_folder(tmp_path, workers):
    """One of each trait and fault, and enough images for worker processes; names differ, counts do not."""
    special = [
        noise(0), noise(0), noise(1, (40, 40)), noise(2, kind="JPEG", mode="CMYK"), noise(3, (10, 10, 3)),
        noise(4, (20, 90, 3)), encoded(1), noise(5)[:2000], b"hello",
    ]  # fmt: skip
    rows = {"train": [*special, *map(noise, range(10, 80))], "val": [noise(0), noise(90), noise(91), noise(92)]}
    for split, images in rows.items():
        write(tmp_path / "parquet" / f"{split}.parquet", [n % 2 for n in range(len(images))], images=images)
        for n, content in enumerate(images):
            name = f"{n}.png" if content.startswith(b"\x89PNG") else f"{n}.jpg"
            file = tmp_path / "folder" / split / NAMES[n % 2] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def found(path):
        kinds = Counter()
        for finding in check(path, size=32, workers=workers).findings:
            if finding.kind not in ("missing-class", "clips"):  # the files declare a class that has no image
                kinds[finding.kind] += finding.count
        return kinds

    told = found(f"parquet:{tmp_path / 'parquet'}")
    assert told == found(tmp_path / "folder")
    assert {"no-image", "damaged", "grey", "cmyk", "small", "cropped", "blank", "across-splits"} <= {*told}


def test_a_split_without_labels_is_left_out(tmp_path):
    write(pets(tmp_path) / "test-00000-of-00001.parquet", [-1, -1])
    data = parquet_set(tmp_path, 32)
    assert (data.test, data.notes) == (None, ("test has no labels and is left out",))


def test_files_without_checksums_are_noted(tmp_path):
    file = write(tmp_path / "x.parquet", [0, 1, 2] * 2, write_page_checksum=False)
    assert UNCHECKED in parquet_set(file, 32, 0.5).notes


def test_files_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "_MEMORY", 1e-9)
    assert "GB of images, which are kept in memory, but this machine has" in told(pets(tmp_path))


def test_a_flipped_bit_in_a_file_with_checksums_is_never_silent(tmp_path):
    file = write(tmp_path / "x.parquet", [n % 3 for n in range(9)])
    content, whole, refused = file.read_bytes(), parquet_set(file, 32, 0.4), 0
    for at in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        file.write_bytes(damaged)
        try:
            data = parquet_set(file, 32, 0.4)
        except UserError:
            refused += 1
            continue
        assert (pairs(data.train), pairs(data.val)) == (pairs(whole.train), pairs(whole.val)), at
        assert data.fingerprint != whole.fingerprint
    assert refused > 0.4 * len(range(0, len(content), 37))


def test_labelled_by_a_networks_classes(tmp_path):
    file = write(tmp_path / "x.parquet", [2, 0, 1])
    data = labelled(file, 32, ("ant", "cat", "dog", "eel"))
    assert (data.classes, data.test.labels.tolist()) == (("ant", "cat", "dog", "eel"), [3, 1, 2])
    assert to_score(f"parquet:{file}", ("ant", "cat", "dog", "eel"), 32).fingerprint == data.fingerprint
    with pytest.raises(UserError, match=r"x\.parquet row 0: the network knows no class 'eel'"):
        labelled(file, 32, ("cat", "dog"))
    assert labelled(file, 32, ("a", "b", "c"), by_order=True).classes == NAMES
    assert labelled(pets(tmp_path / "split"), 32, NAMES) is None


def test_what_the_text_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pets(tmp_path / "pets")
    source = source_of("parquet:pets")
    assert (source.kind, source.name, source.place) == ("folder", "parquet", f"parquet:{tmp_path}/pets")
    assert source.is_same_place(source_of(source.place))
    assert not source.is_same_place(source_of("pets"))
    data = load("parquet:pets", size=24)
    assert (data.name, data.place, data.train.size) == ("pets", source.place, 24)
    with pytest.raises(UserError, match="there is no path after the colon; write parquet:PATH"):
        load("parquet:")


@pytest.mark.slow
def test_train_resume_evaluate_and_predict(tmp_path):
    pets(tmp_path / "pets", train=24, val=6)
    train = ["train", "cifar_resnet8", "--image-size", 32, "--data", "parquet:pets", "--threads", 1, "--workers", 2]
    train += ["--set", "batch=4", "--set", "save_every=1", "--iterations", 30, "--out"]
    reslab(tmp_path, *train, "whole")
    interrupt(tmp_path, tmp_path / "run", *train, "run")
    reslab(tmp_path, *train, "run")
    whole, resumed = (tmp_path / run / "checkpoints" / "step-00000030" for run in ("whole", "run"))
    assert sha256(whole / "weights.safetensors") == sha256(resumed / "weights.safetensors")
    (scores,) = json.loads(reslab(tmp_path, "evaluate", "run", "--pictures", "seen", "--workers", 1, "--json").stdout)
    assert (scores["n"], scores["split"], scores["data"], scores["iteration"]) == (6, "val", "pets", 30)
    assert (tmp_path / "seen" / "worst.png").is_file()
    write(tmp_path / "more.parquet", [0, 1, 2])
    (other,) = json.loads(reslab(tmp_path, "evaluate", "run", "--data", "parquet:more.parquet", "--json").stdout)
    assert (other["n"], other["split"]) == (3, "test")
    (tmp_path / "0.png").write_bytes(encoded(0))
    assert any(name in reslab(tmp_path, "predict", "run", "0.png").stdout for name in NAMES)
