"""CIFAR-10 in its layouts: the real parquet files where they are at hand, tiny synthetic ones of every layout."""

import dataclasses
import hashlib
import io
import os
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.data.sets import cifar, parquet
from reslab.data.sets.cifar import cifar10, download
from reslab.errors import UserError

RECORDS = 6  # images in each file of the synthetic binary version
REAL = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")
needs_real = pytest.mark.skipif(
    not any(REAL.glob("test-*.parquet")) if REAL.is_dir() else True,
    reason=f"no CIFAR-10 parquet files at {REAL}; set RESLAB_CIFAR10 to a folder that has them",
)
rng = np.random.default_rng(0)


def binary_files() -> dict[str, bytes]:
    """The six files of the binary version with RECORDS random images each."""
    files = {}
    for name in cifar.LAYOUT.files:
        rows = np.random.default_rng(len(files)).integers(0, 256, (RECORDS, 3073), np.uint8)
        rows[:, 0] %= 10
        files[f"{name}.bin"] = rows.tobytes()
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes], inside: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def webp(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True)
    return file.getvalue()


def write_parquet(folder: Path, images: np.ndarray, *, side: str, labels=None, exact=None, content=None) -> Path:
    pa = pytest.importorskip("pyarrow", reason="the parquet layout needs pyarrow")
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    stored = content or [webp(image) for image in images]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "img": pa.array([{"bytes": b, "path": None} for b in stored], image),
        "label": pa.array(np.arange(len(stored)) % 10 if labels is None else labels, pa.int64()),
    }
    if exact is not None:
        columns["exact"] = pa.array(exact)
    pq.write_table(pa.table(columns), folder / f"{side}-00000-of-00001.parquet")
    return folder


# binary


def test_binary_folder_and_tar_agree(tmp_path):
    files = binary_files()
    folder = write_folder(tmp_path / "root" / "cifar-10-batches-bin", files)
    tar = write_tar(tmp_path / "cifar-10-binary.tar.gz", files, "cifar-10-batches-bin")
    before = sorted(tmp_path.rglob("*"))
    sets = [cifar10(p, records=RECORDS) for p in (folder, folder.parent, tar)]
    assert sorted(tmp_path.rglob("*")) == before, "nothing is extracted"
    for data in sets:
        assert (len(data.train), len(data.test), data.val) == (5 * RECORDS, RECORDS, None)
        assert data.fingerprint == sets[0].fingerprint
        assert np.array_equal(data.train.images, sets[0].train.images)
    row = np.frombuffer(files["data_batch_2.bin"], np.uint8).reshape(RECORDS, 3073)[1]
    assert sets[0].train.labels[RECORDS + 1] == row[0]
    assert np.array_equal(sets[0].train.images[RECORDS + 1], row[1:].reshape(3, 32, 32).transpose(1, 2, 0))


def test_only_the_splits_asked_for_and_one_fingerprint(tmp_path):
    folder = write_folder(tmp_path / "bin", binary_files())
    test, both = cifar10(folder, ("test", "val"), records=RECORDS), cifar10(folder, records=RECORDS)
    assert test.train is None
    assert test.fingerprint == both.fingerprint
    files = binary_files()
    files["test_batch.bin"] = files["test_batch.bin"][:-1] + b"\x01"
    other = cifar10(write_folder(tmp_path / "other", files), ("train",), records=RECORDS)
    assert other.fingerprint != both.fingerprint


@pytest.mark.parametrize("layout", ["folder", "tar"])
@pytest.mark.parametrize("fault", ["size", "label", "missing"])
def test_binary_faults(tmp_path, layout, fault):
    files = binary_files()
    if fault == "size":
        files["data_batch_3.bin"] += b"\0"
    elif fault == "label":
        content = bytearray(files["data_batch_3.bin"])
        content[2 * 3073] = 10
        files["data_batch_3.bin"] = bytes(content)
    else:
        del files["data_batch_3.bin"]
    path = write_folder(tmp_path / "x", files) if layout == "folder" else write_tar(tmp_path / "x.tgz", files, "b")
    told = {"size": "expected 18,438", "label": "record 2: label 10 is not one of", "missing": "is missing|: missing"}
    with pytest.raises(UserError, match=told[fault]) as error:
        cifar10(path, records=RECORDS)
    assert "data_batch_3.bin" in str(error.value)
    assert "\n" not in str(error.value)


def test_not_an_archive_and_not_a_data_set(tmp_path):
    file = tmp_path / "x.tar.gz"
    for content in (b"", b"hello", write_tar(tmp_path / "y.tgz", binary_files(), "b").read_bytes()[:3000]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"not a readable \.tar\.gz"):
            cifar10(file, records=RECORDS)
    with pytest.raises(UserError, match="is missing"):
        cifar10(write_tar(tmp_path / "empty.tgz", {}, "b"), records=RECORDS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="no CIFAR-10 in this folder"):
        cifar10(tmp_path / "folder")
    with pytest.raises(UserError, match="no such file or folder"):
        cifar10(tmp_path / "nowhere")


def test_fault_09_every_flipped_bit_of_an_archive_is_refused_or_harmless(tmp_path):
    """600 single bits, a third in head and trailer: what loads has the very images, all else is refused in one line."""
    path = write_tar(tmp_path / "x.tar.gz", binary_files(), "b")
    good, whole = path.read_bytes(), cifar10(path, records=RECORDS)
    draw = np.random.default_rng(9)
    ends = [*range(10), *range(len(good) - 15, len(good))]
    flips = [(at, bit) for at in ends for bit in range(8)]
    flips += [(int(draw.integers(10, len(good) - 15)), int(draw.integers(8))) for _ in range(400)]
    refused = []
    for at, bit in flips:
        bad = bytearray(good)
        bad[at] ^= 1 << bit
        path.write_bytes(bad)
        try:
            data = cifar10(path, records=RECORDS)
        except UserError as error:
            refused.append(str(error))
            assert "\n" not in refused[-1]
            assert str(path) in refused[-1]
            continue
        assert data.fingerprint == whole.fingerprint, (at, bit)
        assert np.array_equal(data.train.images, whole.train.images)
        assert np.array_equal(data.test.images, whole.test.images)
    assert any("CRC check failed" in text and "damaged" in text for text in refused)
    assert len(refused) > 500


# the Python version: pickles


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def poisoned(canary: Path) -> dict[str, bytes]:
    return {name: pickle.dumps(Canary(canary)) for name in (*cifar.LAYOUT.files, "batches.meta")}


def test_fault_11_a_python_version_with_another_checksum_is_never_unpickled(tmp_path):
    canary = tmp_path / "canary"
    files = poisoned(canary)
    tar = write_tar(tmp_path / "cifar-10-python.tar.gz", files, "cifar-10-batches-py")
    folder = write_folder(tmp_path / "root" / "cifar-10-batches-py", files)
    renamed = write_folder(tmp_path / "renamed", files)
    for path in (tar, folder, folder.parent, renamed):
        with pytest.raises(UserError, match="it was not read") as error:
            cifar10(path)
        assert "\n" not in str(error.value)
    assert not canary.exists()
    pickle.loads(files["test_batch"])
    assert canary.exists(), "the canary does sing when it is unpickled"


def test_the_python_version_is_read_once_its_checksum_is_right(tmp_path, monkeypatch):
    """The official archive is not at hand: a synthetic one, with its own MD5 in the place of the official one."""
    expected, files = {}, {}
    for name in cifar.LAYOUT.files:
        data = rng.integers(0, 256, (RECORDS, 3072), np.uint8)
        expected[name] = data, [int(v) for v in rng.integers(0, 10, RECORDS)]
        files[name] = pickle.dumps({"data": data, "labels": expected[name][1]}, protocol=2)
    files["batches.meta"] = pickle.dumps({"label_names": list(cifar.CLASSES)}, protocol=2)
    tar = write_tar(tmp_path / "cifar-10-python.tar.gz", files, "cifar-10-batches-py")
    folder = write_folder(tmp_path / "cifar-10-batches-py", files)
    md5s = {name: hashlib.md5(files[name]).hexdigest() for name in cifar.LAYOUT.md5s}
    archive_md5, size = hashlib.md5(tar.read_bytes()).hexdigest(), tar.stat().st_size
    own = dataclasses.replace(cifar.LAYOUT, md5s=md5s, archive_md5=archive_md5, archive_bytes=size)
    monkeypatch.setattr(cifar, "LAYOUT", own)
    first, second = cifar10(tar), cifar10(folder)
    for data in (first, second):
        assert data.fingerprint == first.fingerprint
        assert np.array_equal(data.test.images[2], expected["test_batch"][0][2].reshape(3, 32, 32).transpose(1, 2, 0))
        assert data.train.labels.tolist() == [label for name in cifar.LAYOUT.train for label in expected[name][1]]
        assert data.train.images.shape == (5 * RECORDS, 32, 32, 3)
    assert cifar10(folder, ("test",)).train is None


def test_the_checksums_are_the_publishers():
    from torchvision.datasets import CIFAR10

    assert CIFAR10.tgz_md5 == cifar.LAYOUT.archive_md5
    assert dict(CIFAR10.train_list + CIFAR10.test_list) == cifar.LAYOUT.md5s
    assert CIFAR10.base_folder == cifar.LAYOUT.python_folder


def test_download_without_a_network_is_one_line(tmp_path, monkeypatch):
    import urllib.request

    def refuse(*_args, **_options):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match=r"failed \(no network\)") as error:
        download(tmp_path / "cache")
    assert "\n" not in str(error.value)


# parquet


def test_tiny_parquet(tmp_path):
    images = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
    write_parquet(tmp_path, images, side="train", exact=[True] * 11 + [False])
    write_parquet(tmp_path, images[:3], side="test", exact=[True] * 3)
    data = cifar10(tmp_path)
    assert np.array_equal(data.train.images, images)
    assert np.array_equal(data.test.images, images[:3])
    assert data.train.labels.tolist() == [*range(10), 0, 1]
    assert data.notes == ("1 of 12 train images are not bit-exact", parquet.UNCHECKED)
    only = cifar10(tmp_path, ("test",))
    assert (only.train, only.notes, only.fingerprint) == (None, data.notes, data.fingerprint)


def test_parquet_faults(tmp_path):
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)

    def told(**options) -> str:
        write_parquet(tmp_path, images, side="test", **options)
        with pytest.raises(UserError) as error:
            cifar10(tmp_path, ("test",))
        assert "test-00000-of-00001.parquet" in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "row 2: label 10 is not one of 0..9" in told(labels=[0, 9, 10, 1])
    assert "row 1: label None" in told(labels=[0, None, 1, 1])
    assert "row 0: is no image" in told(content=[b"hello"])
    assert "row 0: the image has no bytes" in told(content=[None])
    assert "row 0: the image is 16x16, expected 32x32" in told(content=[webp(images[0, :16, :16])])
    assert "more than the limit" in told(content=[webp(np.zeros((99, 99, 3), np.uint8))])
    whole = next(tmp_path.glob("test-*")).read_bytes()
    for content in (b"", b"PAR1", whole[: len(whole) // 2]):
        next(tmp_path.glob("test-*")).write_bytes(content)
        with pytest.raises(UserError, match="not a readable parquet file"):
            cifar10(tmp_path, ("test",))


def test_parquet_without_the_columns(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="the parquet layout needs pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [1], "label": [1]}), tmp_path / "train-0.parquet")
    with pytest.raises(UserError, match=r"no column 'img' \(there are: image, label\)"):
        cifar10(tmp_path)


def test_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "train-0.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r'pip install "reslab\[data\]"'):
        cifar10(tmp_path)


@needs_real
def test_real_parquet_in_part(tmp_path):
    """The first 300 rows of each split, their pixels as Pillow alone decodes them; the notes of the whole."""
    pq = pytest.importorskip("pyarrow.parquet", reason="the parquet layout needs pyarrow")
    assert cifar10(REAL, ()).notes == ("82 of 50,000 train and 21 of 10,000 test images are not bit-exact",)
    for side in ("train", "test"):
        table = pq.read_table(sorted(REAL.glob(f"{side}-*.parquet"))[0]).slice(0, 300)
        pq.write_table(table, tmp_path / f"{side}-0.parquet")
    data = cifar10(tmp_path)
    for part, side in ((data.train, "train"), (data.test, "test")):
        rows = pq.read_table(tmp_path / f"{side}-0.parquet").to_pylist()
        assert part.labels.tolist() == [row["label"] for row in rows]
        twin = [np.asarray(Image.open(io.BytesIO(row["img"]["bytes"])).convert("RGB")) for row in rows]
        assert np.array_equal(part.images, np.stack(twin))
