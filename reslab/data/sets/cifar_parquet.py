"""Read CIFAR-10 or CIFAR-100 from Hugging Face's parquet files."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.images.decode import BadImage, read_rgb
from reslab.data.sets.parquet import UNCHECKED, File, Form, batches, opened, rows_of
from reslab.data.splits import Memory
from reslab.errors import UserError

_ROWS = 120_000  # in a split: twice what CIFAR has in all
_IMAGE = 1 << 20  # bytes of one encoded image of 32x32 pixels


def read(
    folder: Path, splits: tuple[str, ...], word: str, column: str, classes: int
) -> tuple[dict[str, Memory], list[bytes], list[str]]:
    """Return the splits, names and digests of all files, and notes about images that are not exact or not checked.

    word      of the set, for messages
    column    column of the labels, 0 .. classes - 1
    Files are train-*.parquet and test-*.parquet. Other columns: `img` (bytes of an image file), and optionally `exact`
    (whether the image equals the original). Raises UserError.
    """
    form = Form(("img",), (column,))
    hashes: list[bytes] = []
    parts: dict[str, Memory] = {}
    inexact: list[str] = []
    is_checked = True
    for name in ("train", "test"):
        images, labels, exact = list[np.ndarray](), list[np.ndarray](), list[Any]()
        rows = 0
        for path in sorted(folder.glob(f"{name}-*.parquet")):
            with opened(path, f"{word}:", form) as (file, stream):
                if (rows := rows + file.rows) > _ROWS:
                    raise UserError(f"{path}: {rows:,} {name} rows, more than {_ROWS:,}; this is not {word}")
                hashes += [name.encode(), file.digest]
                is_checked = is_checked and file.is_checked
                if file.has_exact:
                    exact += [
                        value for batch in batches(file, stream, ["exact"]) for value in batch.column(0).to_pylist()
                    ]
                if name in splits:
                    part = _decoded(file, stream, classes)
                    images.append(part.images)
                    labels.append(part.labels)
        if exact.count(False):
            inexact.append(f"{exact.count(False)} of {len(exact):,} {name}")
        if images:
            parts[name] = Memory(np.concatenate(images), np.concatenate(labels))
    notes = [f"{' and '.join(inexact)} images are not bit-exact"] if inexact else []
    return parts, hashes, notes + ([] if is_checked else [UNCHECKED])


def _decoded(file: File, stream: BufferedReader, classes: int) -> Memory:
    """Return the images and labels of a file. Raises UserError for a bad image or label."""
    images, labels = np.empty((file.rows, 32, 32, 3), np.uint8), np.empty(file.rows, np.int64)
    for row, (content, label) in enumerate(rows_of(file, stream)):
        name = f"{file.path} row {row}"
        if content is None:
            raise UserError(f"{name}: the image has no bytes")
        if content.size > _IMAGE:
            raise UserError(f"{name}: the image file has {content.size:,} bytes, more than {_IMAGE:,}")
        try:
            pixels = read_rgb(content.to_pybytes(), name=name, max_pixels=32 * 32)
        except BadImage as error:
            raise UserError(str(error)) from None
        if pixels.shape != (32, 32, 3):
            raise UserError(f"{name}: the image is {pixels.shape[1]}x{pixels.shape[0]}, expected 32x32")
        if not isinstance(label, int) or not 0 <= label < classes:
            raise UserError(f"{name}: label {label!r} is not one of 0..{classes - 1}")
        images[row], labels[row] = pixels, label
    return Memory(images, labels)
