"""Convert images given in Python to `Data`: pairs, mappings of splits, torch's map-style datasets, `Data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from reslab.data.arrays import images_of, is_dataset, is_of, items_of, kind_of, labels_of, shape_of
from reslab.data.known import KNOWN
from reslab.data.source import GIVEN_NAME
from reslab.data.splits import SPLITS, Data, Memory, fingerprint
from reslab.errors import UserError, suggest

CLASSES = "classes"  # key of a mapping, and attribute of a dataset, that holds the names
FORMS = (
    "a text (a word or a folder), a pair (images, labels), a mapping of such pairs by split, a map-style "
    "torch.utils.data.Dataset, or Data"
)


def given(value: Any, pair: str = "train", classes: Sequence[str] = ()) -> Data:
    """Return the images and labels of `value` as `Data` of kind "given", all in memory.

    value    a pair (images, labels); a dataset whose items are pairs (image, label); a mapping from "train", "val" and
             "test" to either, with class names under "classes" if there are any; or `Data` in memory. Images are
             uint8, 0..255, squares of one size with 1 or 3 channels: arrays [N, H, W, C] or [N, H, W], tensors
             [N, C, H, W] or [N, H, W]. Labels are whole numbers [N], 0 .. classes - 1
    pair     the split of a single pair or dataset
    classes  names if `value` has none (default: "0", "1" …, one for each label of the first split)
    The fingerprint is over pixels, labels and names of all splits. Raises UserError for anything else.
    """
    parts, names = _parts(value, pair)
    splits = {name: _split(parts[name], f"data: {name}") for name in SPLITS if name in parts}
    labels = next(iter(splits.values())).labels
    names = names or tuple(classes) or _numbered(labels, f"data: {next(iter(splits))}")
    (first, images), *others = ((name, split.images) for name, split in splits.items())
    for name, other_images in others:
        if other_images.shape[1:] != images.shape[1:]:
            raise UserError(
                f"data: {name} images are {shape_of(other_images.shape[1:])}, {first} images "
                f"{shape_of(images.shape[1:])}; give images of one size"
            )
    content = [part for name, split in splits.items() for part in (name.encode(), split.images, split.labels)]
    return Data(
        # Never the name of a known set: these images may be only a part of it, or changed.
        name=value.name if isinstance(value, Data) and value.name not in KNOWN else GIVEN_NAME,
        classes=names,
        channels=images.shape[3],
        size=images.shape[1],
        train=splits.get("train"),
        val=splits.get("val"),
        test=splits.get("test"),
        fingerprint=fingerprint([*content, "\0".join(names).encode()]),
        notes=value.notes if isinstance(value, Data) else (),
        kind="given",
    )


def _parts(value: Any, pair: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the splits of `value`, not yet converted, and the names of the classes (() if it has none)."""
    if isinstance(value, Data):
        parts: dict[str, Any] = {**value.splits()}
        names = value.classes
    elif isinstance(value, Mapping):
        parts = {key: part for key, part in value.items() if key != CLASSES}
        for key in parts:
            if key not in SPLITS:
                keys = (*SPLITS, CLASSES)
                raise UserError(f"data: the key {key!r} is none of {', '.join(keys)}{suggest(str(key), keys)}")
        names = _names(value[CLASSES]) if CLASSES in value else ()
    else:
        parts, names = {pair: value}, ()
    if not parts:
        raise UserError(f"data: no split is given; give at least one of {', '.join(SPLITS)}")
    for name in SPLITS:
        split_names = _names_of(parts[name]) if name in parts else ()
        if split_names and names and split_names != names:
            raise UserError(
                f"data: the {name} dataset names other classes ({', '.join(split_names[:5])} …) than the rest"
            )
        names = names or split_names
    return parts, names


def _names(value: Any) -> tuple[str, ...]:
    """Return the names of classes. Raises UserError unless they are at least two different texts."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise UserError(f"data: {CLASSES} is {kind_of(value)}; give the names of the classes as a list of texts")
    if len(value) < 2 or len(set(value)) < len(value):
        raise UserError(
            f"data: {CLASSES} has {len(value)} names, {len(set(value))} of them different; give two or more"
        )
    return tuple(value)


def _names_of(dataset: Any) -> tuple[str, ...]:
    """Return the attribute `classes` of a dataset, or of the dataset that it is a subset of; () if it has none."""
    while is_dataset(dataset) and not hasattr(dataset, CLASSES) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    names = getattr(dataset, CLASSES, None) if is_dataset(dataset) else None
    is_named = isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names)
    return _names(names) if is_named else ()


def _numbered(labels: np.ndarray, context: str) -> tuple[str, ...]:
    """Return the names "0", "1" …, one for each label. Raises UserError unless all of 0 .. K - 1 occur as labels."""
    values = np.unique(labels)
    if values[0] != 0 or len(values) != int(values[-1]) + 1:
        raise UserError(
            f"{context}: labels run from {values[0]} to {values[-1]} with {len(values)} different values; number the "
            f"classes 0, 1, 2 …, or name them all under {CLASSES!r}"
        )
    if len(values) < 2:
        raise UserError(f"{context}: all labels are 0; at least two classes are needed")
    return tuple(map(str, range(len(values))))


def _split(value: Any, context: str) -> Memory:
    """Return `value` as a split in memory. Raises UserError, beginning with `context`, for anything else."""
    if isinstance(value, Memory):
        images, labels = value.images, value.labels
    elif is_dataset(value):
        images, labels = items_of(value, context)
    elif isinstance(value, tuple | list) and len(value) == 2:
        images, labels = images_of(value[0], context), labels_of(value[1], context)
    else:
        _refuse(value, context)
    if not len(images):
        raise UserError(f"{context}: has no images")
    if len(images) != len(labels):
        raise UserError(f"{context}: {len(images):,} images and {len(labels):,} labels; give one label for each image")
    height, width, channels = images.shape[1:]
    if height != width or height < 1:
        raise UserError(
            f"{context}: images are {shape_of(images.shape[1:])} (height, width, channels); give squares: arrays are "
            "[N, H, W, C], tensors [N, C, H, W]"
        )
    if channels not in (1, 3):
        raise UserError(f"{context}: images have {channels} channels; give 1 (grey) or 3 (red, green, blue)")
    return Memory(np.ascontiguousarray(images), labels.astype(np.int64))


def _refuse(value: Any, context: str) -> NoReturn:
    """Raise UserError with the reason that `value` is no split."""
    if is_of(value, "torch.utils.data", "IterableDataset"):
        problem = "an iterable dataset cannot be read in a given order; give a map-style dataset, or a pair of arrays"
    elif is_of(value, "torch.utils.data", "DataLoader"):
        problem = "a DataLoader makes batches of its own; give its dataset"
    elif isinstance(value, np.ndarray) or is_of(value, "torch", "Tensor"):
        problem = "images without labels; give a pair (images, labels)"
    elif isinstance(value, tuple | list):
        problem = f"{kind_of(value)} of {len(value)}; give a pair (images, labels)"
    elif hasattr(value, "paths"):
        problem = "a list of files; give the path of their folder in place of Data"
    else:
        problem = f"{kind_of(value)} is no data; give {FORMS}"
    raise UserError(f"{context}: {problem}")
