"""CIFAR-100 in small files of every layout: fine and coarse labels, and nothing else that differs from CIFAR-10."""

import dataclasses
import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cases import some
from data.commanded import interrupt, reslab
from PIL import Image

from reslab.data.known import variable_of
from reslab.data.sets import cifar100 as fine_set
from reslab.data.sets import cifar100_coarse as coarse_set
from reslab.data.sets.cifar100 import cifar100
from reslab.data.sources import load
from reslab.errors import UserError
from reslab.store.files import sha256

RECORDS = 20  # test images; five times as many for training


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("RESLAB_CIFAR100", raising=False)


def draw(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [N, 32, 32, 3], fine labels and coarse labels of a split."""
    rng, n = np.random.default_rng(len(split)), RECORDS * (5 if split == "train" else 1)
    return rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % 100, np.arange(n) % 20


def planes(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def binary_files() -> dict[str, bytes]:
    """As the publisher describes them: <coarse label><fine label><1,024 red, 1,024 green, 1,024 blue>."""
    files = {}
    for split in ("train", "test"):
        images, fine, coarse = draw(split)
        rows = np.concatenate([coarse[:, None], fine[:, None], planes(images)], axis=1)
        files[f"{split}.bin"] = rows.astype(np.uint8).tobytes()
    return files


def python_files() -> dict[str, bytes]:
    files = {"meta": pickle.dumps({"fine_label_names": []}, protocol=2)}
    for split in ("train", "test"):
        images, fine, coarse = draw(split)
        entry = {"data": planes(images), "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
        files[split] = pickle.dumps(entry, protocol=2)
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes], inside: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo(inside)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_parquet(folder: Path) -> Path:
    pa = pytest.importorskip("pyarrow", reason="the parquet layout needs pyarrow")
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split in ("train", "test"):
        images, fine, coarse = draw(split)
        stored = []
        for image in images:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            stored.append({"bytes": file.getvalue(), "path": None})
        columns = {"img": pa.array(stored, struct), "fine_label": pa.array(fine), "coarse_label": pa.array(coarse)}
        pq.write_table(pa.table(columns), folder / f"{split}-00000-of-00001.parquet", write_page_checksum=True)
    return folder


def read_as(label: str, path: Path):
    return cifar100(path, records=RECORDS, layout=coarse_set.LAYOUT if label == "coarse" else None)


def check(data, label: str) -> None:
    for split, part in data.splits().items():
        images, fine, coarse = draw(split)
        assert np.array_equal(part.images, images)
        assert part.labels.tolist() == (coarse if label == "coarse" else fine).tolist()
    assert (data.name, len(data.classes)) == (("cifar100-coarse", 20) if label == "coarse" else ("cifar100", 100))
    assert any(label in note for note in data.notes)


@pytest.mark.parametrize("label", ["fine", "coarse"])
def test_every_layout_has_the_same_images_and_labels(tmp_path, monkeypatch, label):
    binary = write_folder(tmp_path / "binary" / "cifar-100-binary", binary_files())
    archive = write_tar(tmp_path / "cifar-100-binary.tar.gz", binary_files(), "cifar-100-binary")
    sets = [read_as(label, path) for path in (binary, binary.parent, archive)]
    assert len({data.fingerprint for data in sets}) == 1
    python = write_folder(tmp_path / "python" / "cifar-100-python", python_files())
    archive = write_tar(tmp_path / "cifar-100-python.tar.gz", python_files(), "cifar-100-python")
    own = {
        "md5s": {name: hashlib.md5((python / name).read_bytes()).hexdigest() for name in ("train", "test")},
        "archive_md5": hashlib.md5(archive.read_bytes()).hexdigest(), "archive_bytes": archive.stat().st_size,
    }  # fmt: skip
    for module in (fine_set, coarse_set):
        monkeypatch.setattr(module, "LAYOUT", dataclasses.replace(module.LAYOUT, **own))
    pickled = [read_as(label, path) for path in (python, python.parent, archive)]
    assert len({data.fingerprint for data in pickled}) == 1
    parquet = write_parquet(tmp_path / "hub" / "cifar100")
    for data in (*sets, *pickled, read_as(label, parquet), read_as(label, parquet.parent)):
        check(data, label)


def test_fine_and_coarse_labels_of_the_same_files_are_different_data(tmp_path):
    folder = write_folder(tmp_path / "x", binary_files())
    assert read_as("fine", folder).fingerprint != read_as("coarse", folder).fingerprint


def test_a_folder_of_class_folders_is_no_cifar(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
    with pytest.raises(UserError, match="no CIFAR-100 in this folder; expected train-"):
        cifar100(tmp_path)
    with pytest.raises(UserError, match=r"test\.bin is missing"):
        cifar100(write_tar(tmp_path / "x.tgz", {}, "train"))


@pytest.mark.parametrize("layout", ["folder", "tar"])
@pytest.mark.parametrize("fault", ["size", "fine", "coarse", "missing"])
def test_binary_faults(tmp_path, layout, fault):
    files, label = binary_files(), "coarse" if fault == "coarse" else "fine"
    if fault == "size":
        files["train.bin"] += b"\0"
    elif fault == "missing":
        del files["train.bin"]
    else:
        content = bytearray(files["train.bin"])
        content[7 * 3074 + (fault == "fine")] = 100
        files["train.bin"] = bytes(content)
    path = write_folder(tmp_path / "x", files) if layout == "folder" else write_tar(tmp_path / "x.tgz", files, "b")
    told = {
        "size": "expected 307,400", "missing": "is missing|: missing",
        "fine": r"train.bin record 7: label 100 is not one of 0\.\.99",
        "coarse": r"train.bin record 7: label 100 is not one of 0\.\.19",
    }  # fmt: skip
    with pytest.raises(UserError, match=told[fault]) as error:
        read_as(label, path)
    assert "\n" not in str(error.value)


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_python_version_with_another_checksum_is_never_unpickled(tmp_path):
    canary = tmp_path / "canary"
    files = {name: pickle.dumps(Canary(canary)) for name in ("train", "test", "meta")}
    archive = write_tar(tmp_path / "x.tar.gz", files, "cifar-100-python")
    folder = write_folder(tmp_path / "root" / "cifar-100-python", files)
    for path in (archive, folder, folder.parent):
        for label in ("fine", "coarse"):
            with pytest.raises(UserError, match="it was not read") as error:
                read_as(label, path)
            assert "\n" not in str(error.value)
    assert not canary.exists()
    pickle.loads(files["train"])
    assert canary.exists(), "the canary does sing when it is unpickled"


def test_names_and_checksums_are_the_publishers():
    from torchvision.datasets import CIFAR100

    layout = fine_set.LAYOUT
    assert CIFAR100.tgz_md5 == layout.archive_md5
    assert dict(CIFAR100.train_list + CIFAR100.test_list) == layout.md5s
    assert CIFAR100.base_folder == layout.python_folder
    for classes, number in ((fine_set.CLASSES, 100), (coarse_set.CLASSES, 20)):
        assert len(set(classes)) == number
        assert sorted(classes) == list(classes), "the publisher's order is the alphabet's"


def test_both_words_share_one_variable_and_one_download(monkeypatch, tmp_path):
    assert variable_of("cifar100") == variable_of("cifar100-coarse") == "RESLAB_CIFAR100"
    for word in ("cifar100", "cifar100-coarse"):
        with pytest.raises(UserError, match=f"write {word}:PATH, or set RESLAB_CIFAR100, or allow --download"):
            load(word)
    monkeypatch.setenv("RESLAB_CIFAR100", str(tmp_path))
    with pytest.raises(UserError, match=f"cifar100-coarse:{tmp_path}: no CIFAR-100 in this folder"):
        load("cifar100-coarse")
    assert coarse_set.download is fine_set.download


def test_download_without_a_network_is_one_line(tmp_path, monkeypatch):
    import urllib.request

    def refuse(*_args, **_options):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match=r"cifar100: the download to .* failed \(no network\)") as error:
        fine_set.download(tmp_path / "cache")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("word", "classes"), some([("cifar100", 100), ("cifar100-coarse", 20)], quick=0, names=2))
def test_train_resume_evaluate_and_predict(tmp_path, word, classes):
    """On parquet files, whose number of rows is free."""
    write_parquet(tmp_path / "data")
    train = ["train", "cifar_resnet8", "--data", f"{word}:data", "--threads", 1, "--set", "batch=10"]
    train += ["--set", "save_every=1", "--iterations", 30, "--out"]
    reslab(tmp_path, *train, "whole")
    interrupt(tmp_path, tmp_path / "run", *train, "run")
    reslab(tmp_path, *train, "run")
    whole, resumed = (tmp_path / run / "checkpoints" / "step-00000030" for run in ("whole", "run"))
    assert sha256(whole / "weights.safetensors") == sha256(resumed / "weights.safetensors")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["data"]["name"], record["data"]["kind"], record["spec"]["classes"]) == (word, "set", classes)
    (scores,) = json.loads(reslab(tmp_path, "evaluate", "run", "--threads", 1, "--json").stdout)
    assert (scores["n"], scores["iteration"], len(scores["per_class"])) == (RECORDS, 30, classes)
    Image.fromarray(draw("test")[0][0]).save(tmp_path / "0.png")
    answer = reslab(tmp_path, "predict", "run", "0.png", "--threads", 1).stdout
    assert any(name in answer for name in (coarse_set if classes == 20 else fine_set).CLASSES)
