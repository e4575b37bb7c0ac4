"""CIFAR-100 with its 100 fine labels: 50,000 training and 10,000 test images, from the user's files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from reslab.data.sets import cifar_files, cifar_layout
from reslab.data.splits import Data

CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
CHANNELS, SIZE = cifar_layout.CHANNELS, cifar_layout.SIZE
RECORDS = 10_000  # images in the test file; the training file has five times as many
LAYOUT = cifar_layout.Layout(
    word="cifar100",
    title="CIFAR-100",
    classes=CLASSES,
    train={"train": 5 * RECORDS},
    test={"test": RECORDS},
    binary_folder="cifar-100-binary",
    python_folder="cifar-100-python",
    label="fine_labels",
    label_bytes=("coarse_labels", "fine_labels"),
    column="fine_label",
    md5s={"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    archive_bytes=169_001_437,
    torchvision="CIFAR100",
    notes=("labels are the 100 fine classes; the 20 coarse ones are the data cifar100-coarse",),
)


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `cifar100(path, splits)`."""
    assert path is not None, "KNOWN: cifar100 takes a path"
    return cifar100(path, splits)


def cifar100(
    path: str | Path,
    splits: Iterable[str] = ("train", "test"),
    *,
    records: int = RECORDS,
    layout: cifar_layout.Layout | None = None,
) -> Data:
    """Return CIFAR-100 from `path`, decoding only `splits`: uint8 [N, 32, 32, 3], labels 0..99.

    records   images in the test file of the binary version; its training file has five times as many
    layout    which labels are read, instead of the fine ones
    Raises UserError as `cifar_files.read` does.
    """
    sized = replace(layout or LAYOUT, train={"train": 5 * records}, test={"test": records})
    return cifar_files.read(sized, path, splits)


def download(cache_dir: str | Path) -> Path:
    """Download CIFAR-100 into `cache_dir`, unless it is there; return its folder. Raises UserError if it fails."""
    return cifar_files.download(LAYOUT, cache_dir)
