"""CIFAR-10 as Hugging Face's parquet files: encoded images and labels in columns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.images import BadImage, read_rgb
from reslab.data.splits import Memory, fingerprint
from reslab.errors import UserError


def read(folder: Path, wanted: tuple[str, ...]) -> tuple[dict[str, Memory], str, list[str]]:
    """The splits in `wanted`, the fingerprint of all files, and a note on images that are not bit-exact.

    Files are train-*.parquet and test-*.parquet; columns `img` (bytes of an image file), `label`, and `exact` where
    the copy says which of its images are. Raises UserError.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f'cifar10:{folder}: parquet files need pyarrow; pip install "reslab[data]"') from None
    hashes: list[bytes] = []
    parts: dict[str, Memory] = {}
    inexact: list[str] = []
    for name in ("train", "test"):
        tables = []
        for file in sorted(folder.glob(f"{name}-*.parquet")):
            hashes += [name.encode(), _file_digest(file)]
            try:
                there = set(pq.read_schema(file).names)
                if missing := {"img", "label"} - there:
                    raise UserError(f"{file}: no column {sorted(missing)[0]!r} (there are: {', '.join(sorted(there))})")
                columns = (["img", "label"] if name in wanted else []) + (["exact"] if "exact" in there else [])
                tables.append((file, pq.read_table(file, columns=columns, use_threads=False)))
            except (OSError, ValueError) as error:  # pyarrow's errors derive from these
                raise UserError(f"{file}: not a readable parquet file: {' '.join(str(error).split())[:160]}") from None
        exact = [v for _, t in tables if "exact" in t.column_names for v in t.column("exact").to_pylist()]
        if exact.count(False):
            inexact.append(f"{exact.count(False)} of {len(exact):,} {name}")
        if name in wanted and tables:
            parts[name] = _decoded(tables)
    notes = [f"{' and '.join(inexact)} images are not bit-exact"] if inexact else []
    return parts, fingerprint(hashes), notes


def _decoded(tables: list[tuple[Path, Any]]) -> Memory:
    total = sum(t.num_rows for _, t in tables)
    images, labels = np.empty((total, 32, 32, 3), np.uint8), np.empty(total, np.int64)
    at = 0
    for file, table in tables:
        columns = (table.column(name).to_pylist() for name in ("img", "label"))
        for row, (image, number) in enumerate(zip(*columns, strict=True)):
            name, content = f"{file} row {row}", image["bytes"] if isinstance(image, dict) else None
            if not isinstance(content, bytes):
                raise UserError(f"{name}: the image has no bytes")
            try:
                pixels = read_rgb(content, name=name, max_pixels=32 * 32)
            except BadImage as error:
                raise UserError(str(error)) from None
            if pixels.shape != (32, 32, 3):
                raise UserError(f"{name}: the image is {pixels.shape[1]}x{pixels.shape[0]}, expected 32x32")
            if not isinstance(number, int) or not 0 <= number <= 9:
                raise UserError(f"{name}: label {number!r} is not one of 0..9")
            images[at], labels[at] = pixels, number
            at += 1
    return Memory(images, labels)


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
