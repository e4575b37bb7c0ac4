"""CIFAR-100 with its 20 coarse labels, from the same files as `cifar100`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reslab.data.sets import cifar100
from reslab.data.sets.cifar100 import CHANNELS as CHANNELS
from reslab.data.sets.cifar100 import SIZE as SIZE
from reslab.data.sets.cifar100 import download as download
from reslab.data.splits import Data

CLASSES = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip
LAYOUT = replace(
    cifar100.LAYOUT,
    word="cifar100-coarse",
    classes=CLASSES,
    label="coarse_labels",
    column="coarse_label",
    mark=b"coarse",
    notes=("labels are the 20 coarse classes of CIFAR-100",),
)


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return CIFAR-100 from `path` with labels 0..19. Raises UserError as `cifar_files.read` does."""
    assert path is not None, "KNOWN: cifar100-coarse takes a path"
    return cifar100.cifar100(path, splits, layout=LAYOUT)
