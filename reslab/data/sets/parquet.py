"""Read CIFAR-10 or CIFAR-100 from Hugging Face's parquet files: encoded images and labels in columns.

Known files are compared with their SHA-256. In other files the checksums of pages are verified if they exist. These do
not cover the headers, so the counts and types in the headers are compared with each other. Declared sizes are checked
against limits before anything is read: a small file may declare terabytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from reslab.data.images.decode import BadImage, read_rgb
from reslab.data.sets.pages import DATA, DICTIONARY, Column, pages, row_groups
from reslab.data.splits import Memory
from reslab.errors import UserError

KNOWN = {  # name: size in bytes and SHA-256 of a copy whose images are lossless WebP, 25,000 + 25,000 + 10,000 rows
    "train-00000-of-00002.parquet": (45472803, "153af2d64963cd0ae4f86a5f1c8a281f30ed04d45f15ca202d3ab8aadd4d8f16"),
    "train-00001-of-00002.parquet": (45626932, "c96910e80d3d656866269088fb8d8b91a5eccfb8b1b3289c97e82a80229313fd"),
    "test-00000-of-00001.parquet": (18236067, "21e958eeb4ab5e36652e38cd579dbedb904fc5dbff1c629b8425958cf542b26d"),
}
UNCHECKED = "the parquet files have no checksums, so damaged pixels would not be noticed"
_ROWS = 120_000  # in a split: twice what CIFAR has in all
_FOOTER = 1 << 20  # bytes
_PAGE = 128 << 20  # bytes, decompressed
_COLUMN = 512 << 20  # bytes, decompressed; the pixels of CIFAR are 184 MB
_IMAGE = 1 << 20  # bytes of one encoded image of 32x32 pixels
_BATCH = 256 << 20  # bytes of a batch of rows if each row has the largest entry of a dictionary
_BATCH_ROWS = 256
_ENCODINGS = (0, 2, 3, 5, 6, 8)  # a value takes no more than its page; not so for DELTA_BYTE_ARRAY


@dataclass
class _File:
    """A checked file."""

    path: Path
    column: str
    """of the labels"""
    classes: int
    digest: bytes
    rows: int
    has_exact: bool
    is_checked: bool
    """its bytes or all of its pages have a checksum"""
    batch: int
    """rows to read at once, which limits the memory if a large entry of a dictionary is repeated"""


def read(
    folder: Path, splits: tuple[str, ...], word: str, column: str, classes: int
) -> tuple[dict[str, Memory], list[bytes], list[str]]:
    """Return the splits, names and digests of all files, and notes about images that are not exact or not checked.

    word      of the set, for messages
    column    column of the labels, 0 .. classes - 1
    Files are train-*.parquet and test-*.parquet. Other columns: `img` (bytes of an image file), and optionally `exact`
    (whether the image equals the original). Raises UserError.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f'{word}:{folder}: parquet files need pyarrow; pip install "reslab[data]"') from None
    hashes: list[bytes] = []
    parts: dict[str, Memory] = {}
    inexact: list[str] = []
    is_checked = True
    for name in ("train", "test"):
        images, labels, exact = list[np.ndarray](), list[np.ndarray](), list[Any]()
        rows = 0
        for path in sorted(folder.glob(f"{name}-*.parquet")):
            with path.open("rb") as stream:
                try:
                    file = _checked(path, stream, column, classes)
                    if (rows := rows + file.rows) > _ROWS:
                        raise UserError(f"{path}: {rows:,} {name} rows, more than {_ROWS:,}; this is not {word}")
                    hashes += [name.encode(), file.digest]
                    is_checked = is_checked and file.is_checked
                    if file.has_exact:
                        exact += [v for batch in _batches(file, stream, ["exact"]) for v in batch.column(0).to_pylist()]
                    if name in splits:
                        part = _decoded(file, stream)
                        images.append(part.images)
                        labels.append(part.labels)
                except (OSError, ValueError, MemoryError, pyarrow.ArrowException) as error:
                    reason = " ".join(str(error).split())[:160]
                    raise UserError(f"{path}: not a readable parquet file: {reason}") from None
        if exact.count(False):
            inexact.append(f"{exact.count(False)} of {len(exact):,} {name}")
        if images:
            parts[name] = Memory(np.concatenate(images), np.concatenate(labels))
    notes = [f"{' and '.join(inexact)} images are not bit-exact"] if inexact else []
    return parts, hashes, notes + ([] if is_checked else [UNCHECKED])


def _checked(path: Path, stream: BufferedReader, column: str, classes: int) -> _File:
    """Return the file after all checks that do not read its columns. Raises UserError or ValueError."""
    digest = hashlib.file_digest(stream, "sha256")
    length = stream.seek(0, 2)
    known_length, known_digest = KNOWN.get(path.name, (None, None))
    is_known = digest.hexdigest() == known_digest
    if length == known_length and not is_known:
        raise UserError(
            f"{path}: its SHA-256 is not that of the known file of this name and size, so it is damaged; "
            "get it again, or rename it if it is meant to differ"
        )
    stream.seek(max(0, length - 8))
    tail = stream.read(8)
    footer = int.from_bytes(tail[:4], "little")
    if length < 12 or tail[4:] != b"PAR1" or footer > length - 12:
        raise ValueError("it is truncated, or no parquet file")
    if footer > _FOOTER:
        raise ValueError(f"it declares a footer of {footer:,} bytes, more than {_FOOTER:,}")
    stream.seek(length - 8 - footer)
    groups = row_groups(stream.read(footer))
    opened = _opened(stream)
    names = _column_names(path, opened.schema_arrow, column)
    rows = opened.metadata.num_rows
    has_checksums, dictionary = _check_pages(groups, rows, stream, length - 8 - footer, names)
    batch = min(_BATCH_ROWS, max(1, _BATCH // max(1, dictionary)))
    return _File(path, column, classes, digest.digest(), rows, "exact" in names, is_known or has_checksums, batch)


def _opened(stream: BufferedReader) -> Any:
    from pyarrow import parquet

    stream.seek(0)
    return parquet.ParquetFile(
        stream,
        pre_buffer=False,
        thrift_string_size_limit=_FOOTER,
        thrift_container_size_limit=_FOOTER,
        page_checksum_verification=True,
    )


def _column_names(path: Path, schema: Any, column: str) -> list[str]:
    """Return the names of the columns to read. Raises UserError if one is missing or has another type."""
    import pyarrow

    kinds, names = pyarrow.types, set(schema.names)
    if missing := {"img", column} - names:
        raise UserError(f"{path}: no column {sorted(missing)[0]!r} (there are: {', '.join(sorted(names))})")
    image = schema.field("img").type
    field = image.field("bytes").type if kinds.is_struct(image) and image.get_field_index("bytes") >= 0 else None
    if field is None or not (kinds.is_binary(field) or kinds.is_large_binary(field)):
        raise UserError(f"{path}: column 'img' is {image}, expected a struct with binary 'bytes'")
    for name, fits in ((column, kinds.is_integer), ("exact", kinds.is_boolean)):
        if name in names and not fits(schema.field(name).type):
            raise UserError(f"{path}: column {name!r} is {schema.field(name).type}, expected {fits.__name__[3:]}")
    return ["img.bytes", column] + (["exact"] if "exact" in names else [])


def _check_pages(
    groups: list[tuple[int, dict[str, Column]]], rows: int, stream: BufferedReader, end: int, names: list[str]
) -> tuple[bool, int]:
    """Return whether all pages of the columns `names` have checksums, and the bytes of the largest dictionary.

    rows   rows of the file
    end    bytes before its footer
    Raises ValueError if the pages declare more than the limits, or another number of rows.
    """
    has_checksums, total, dictionary = True, dict.fromkeys(names, 0), 0
    for group_rows, columns in groups:
        if "exact" in columns and "exact" not in names:
            raise ValueError("the columns of a row group are not those of its schema")
        for name in names:
            if name not in columns:
                raise ValueError(f"a row group has no column {name!r}")
            column, values = columns[name], 0
            if not 4 <= column.start < column.end <= end:
                raise ValueError(f"column {name!r} declares bytes that the file does not have")
            for page in pages(stream, column.start, column.end):
                total[name] += page.size
                if page.size > _PAGE or total[name] > _COLUMN:
                    raise ValueError(f"column {name!r} declares more than {_COLUMN >> 20} MiB, or {_PAGE >> 20} a page")
                if page.kind in DATA + DICTIONARY and page.encoding not in _ENCODINGS:
                    raise ValueError(f"column {name!r} has encoding {page.encoding}, which is not read")
                values += page.values if page.kind in DATA else 0
                dictionary = max(dictionary, page.size if page.kind in DICTIONARY else 0)
                has_checksums = has_checksums and page.has_checksum
            if not values == column.values == group_rows:
                raise ValueError(f"column {name!r} has {values:,} values in a group of {group_rows:,} rows")
    if (total_rows := sum(group_rows for group_rows, _ in groups)) != rows:
        raise ValueError(f"its groups have {total_rows:,} rows, but it declares {rows:,}")
    return has_checksums, dictionary


def _batches(file: _File, stream: BufferedReader, columns: list[str]) -> Iterator[Any]:
    """Yield batches of `columns`. Raises ValueError if the number of rows is not the declared one."""
    rows = 0
    for batch in _opened(stream).iter_batches(file.batch, columns=columns, use_threads=False):
        rows += batch.num_rows
        yield batch
    if rows != file.rows:
        raise ValueError(f"it has {rows:,} rows, but declares {file.rows:,}")


def _decoded(file: _File, stream: BufferedReader) -> Memory:
    """Return the images and labels of a file. Raises UserError for a bad image or label."""
    images, labels = np.empty((file.rows, 32, 32, 3), np.uint8), np.empty(file.rows, np.int64)
    row = 0
    for batch in _batches(file, stream, ["img.bytes", file.column]):
        for stored, label in zip(
            batch.column("img").field("bytes"), batch.column(file.column).to_pylist(), strict=True
        ):
            name = f"{file.path} row {row}"
            content = stored.as_buffer() if stored.is_valid else None
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
            if not isinstance(label, int) or not 0 <= label < file.classes:
                raise UserError(f"{name}: label {label!r} is not one of 0..{file.classes - 1}")
            images[row], labels[row] = pixels, label
            row += 1
    return Memory(images, labels)
