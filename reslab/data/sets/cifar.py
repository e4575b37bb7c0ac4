"""CIFAR-10: 50,000 training and 10,000 test images of 10 classes, from the user's files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from reslab.data.sets import cifar_files, cifar_layout
from reslab.data.splits import Data

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CHANNELS, SIZE = cifar_layout.CHANNELS, cifar_layout.SIZE
RECORDS = 10_000  # images in one official file
_MD5S = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
LAYOUT = cifar_layout.Layout(
    word="cifar10",
    title="CIFAR-10",
    classes=CLASSES,
    train={f"data_batch_{number}": RECORDS for number in range(1, 6)},
    test={"test_batch": RECORDS},
    binary_folder="cifar-10-batches-bin",
    python_folder="cifar-10-batches-py",
    label="labels",
    label_bytes=("labels",),
    column="label",
    md5s=_MD5S,
    archive_md5="c58f30108f718f92721af3b95e74349a",
    archive_bytes=170_498_071,
    torchvision="CIFAR10",
)


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `cifar10(path, splits)`."""
    assert path is not None, "KNOWN: cifar10 takes a path"
    return cifar10(path, splits)


def cifar10(path: str | Path, splits: Iterable[str] = ("train", "test"), *, records: int = RECORDS) -> Data:
    """Return CIFAR-10 from `path`, decoding only `splits`: uint8 [N, 32, 32, 3], labels 0..9.

    records   images in each file of the binary version
    Raises UserError as `cifar_files.read` does.
    """
    train, test = dict.fromkeys(LAYOUT.train, records), dict.fromkeys(LAYOUT.test, records)
    return cifar_files.read(replace(LAYOUT, train=train, test=test), path, splits)


def download(cache_dir: str | Path) -> Path:
    """Download CIFAR-10 into `cache_dir`, unless it is there; return its folder. Raises UserError if it fails."""
    return cifar_files.download(LAYOUT, cache_dir)
