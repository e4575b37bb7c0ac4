"""Load data at a network's image size, and fit the network to the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from reslab.data.check.survey import Watch
from reslab.data.images.levels import Levels
from reslab.data.images.squares import Resize
from reslab.data.source import DataLike, source_of
from reslab.data.sources import load
from reslab.data.splits import Data, Files, hold_out
from reslab.engines import host
from reslab.errors import UserError
from reslab.nets.plan import plan
from reslab.nets.spec import Spec


def expected(model: Spec, source: DataLike) -> Spec | None:
    """Return the result of `fit` before the data are read, or None if it depends on the data's files."""
    shape = source_of(source).shape()
    if shape is None:
        return None
    classes, channels, size = shape
    return dataclasses.replace(model, classes=classes, in_channels=channels, image_size=size)


def load_data(
    source: DataLike,
    model: Spec,
    holdout: int = 0,
    *,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
    splits: Sequence[str] = ("train", "val", "test"),
    pair: str = "train",
    classes: Sequence[str] = (),
    workers: int | None = None,
    watch: Watch | None = None,
    group: str | None = None,
    levels: Levels | None = None,
    resize: Resize = "crop",
) -> Data:
    """Return the data of `source` with `holdout` training images held out; image files are read at the net's size.

    They are read in grey if the net has one input channel.
    pair, classes, watch, group, levels   as in `sources.load`
    workers   processes that examine files; None: one per core
    resize    how image files become the net's square
    """
    source = source_of(source)
    host.check_workers(workers or 0)
    data = load(
        source, splits=splits, size=model.image_size if source.kind == "folder" else None, download=download,
        val_share=val_share, bad_images=bad_images, pair=pair, classes=classes,
        channels=channels_of(model), workers=host.default_workers() if workers is None else workers, watch=watch,
        group=group, levels=levels,
    ).resized(resize)  # fmt: skip
    return hold_out(data, holdout) if holdout and data.train is not None else data


def channels_of(model: Spec) -> int:
    """Return the channels that a folder's images are read with for a net: 1 for a net of one, else 3."""
    return 1 if model.in_channels == 1 else 3


def fit(model: Spec, data: Data, explicit: Mapping[str, Any]) -> Spec:
    """Return `model` with the data's classes, channels and image size.

    Raises UserError if one of the user's `explicit` switches differs from the data, or if the images are too small.
    """
    facts = {"classes": len(data.classes), "in_channels": data.channels, "image_size": data.size}
    for key, value in facts.items():
        if explicit.get(key) is not None and getattr(model, key) != value:
            raise UserError(f"{key}: {getattr(model, key)}, but {data.name} has {value}; give {value} or leave it out")
    fitted = dataclasses.replace(model, **facts)  # type: ignore[arg-type]
    plan(fitted)  # raises UserError for an image too small for the net
    return fitted


def workers_for(data: Data, workers: int | None) -> int:
    """Return the number of processes that decode image files: `workers`, or one per core; 0 for data in memory."""
    host.check_workers(workers or 0)
    in_files = isinstance(data.train or data.test or data.val, Files)
    return workers if in_files and workers is not None else default_workers(in_files)


def default_workers(in_files: bool) -> int:
    """Return the number of processes that decode images if the user names none: one per core, 0 for data in memory."""
    return host.default_workers() if in_files else 0
