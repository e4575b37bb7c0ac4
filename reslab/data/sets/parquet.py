"""Open Hugging Face's parquet files of images: encoded images and labels in columns.

Known files are compared with their SHA-256. In other files the checksums of pages are verified if they exist. These do
not cover the headers, so the counts and types in the headers are compared with each other. Declared sizes are checked
against limits before anything is read: a small file may declare terabytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from reslab.data.sets.pages import DATA, DICTIONARY, Column, pages, row_groups
from reslab.errors import UserError

KNOWN = {  # name: size in bytes and SHA-256 of a copy whose images are lossless WebP, 25,000 + 25,000 + 10,000 rows
    "train-00000-of-00002.parquet": (45472803, "153af2d64963cd0ae4f86a5f1c8a281f30ed04d45f15ca202d3ab8aadd4d8f16"),
    "train-00001-of-00002.parquet": (45626932, "c96910e80d3d656866269088fb8d8b91a5eccfb8b1b3289c97e82a80229313fd"),
    "test-00000-of-00001.parquet": (18236067, "21e958eeb4ab5e36652e38cd579dbedb904fc5dbff1c629b8425958cf542b26d"),
}
UNCHECKED = "the parquet files have no checksums, so damaged pixels would not be noticed"
_FOOTER = 1 << 20  # bytes
_PAGE = 128 << 20  # bytes, decompressed
_COLUMN = 512 << 20  # bytes, decompressed; the pixels of CIFAR are 184 MB
_BATCH = 256 << 20  # bytes of a batch of rows if each row has the largest entry of a dictionary
_BATCH_ROWS = 256
_ENCODINGS = (0, 2, 3, 5, 6, 8)  # a value takes no more than its page; not so for DELTA_BYTE_ARRAY


@dataclass(frozen=True)
class Form:
    """Which columns are read.

    images, labels   names that the column may have; the first that exists is read
    has_texts        labels may also be texts
    is_large         the images may take more than those of CIFAR: up to four times the file's size
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    has_texts: bool = False
    is_large: bool = False


@dataclass
class File:
    """A checked file."""

    path: Path
    image: str
    """column of the images"""
    label: str
    """column of the labels"""
    names: tuple[str, ...]
    """names of the labels, if the file declares them as `datasets` does; else ()"""
    digest: bytes
    rows: int
    has_exact: bool
    is_checked: bool
    """its bytes or all of its pages have a checksum"""
    batch: int
    """rows to read at once, which limits the memory if a large entry of a dictionary is repeated"""


@contextmanager
def opened(path: Path, lead: str, form: Form) -> Iterator[tuple[File, BufferedReader]]:
    """Yield a file after all checks that do not read its columns. Raises UserError if it cannot be read."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f'{lead}{path.parent}: parquet files need pyarrow; pip install "reslab[data]"') from None
    try:
        with path.open("rb") as stream:
            yield _checked(path, stream, form), stream
    except (OSError, ValueError, MemoryError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: not a readable parquet file: {reason}") from None


def rows_of(file: File, stream: BufferedReader) -> Iterator[tuple[Any, Any]]:
    """Yield the encoded image (a buffer of pyarrow, None without bytes) and the label of each row."""
    for batch in batches(file, stream, [f"{file.image}.bytes", file.label]):
        images = batch.column(file.image).field("bytes")
        for image, label in zip(images, batch.column(file.label).to_pylist(), strict=True):
            yield image.as_buffer() if image.is_valid else None, label


def _checked(path: Path, stream: BufferedReader, form: Form) -> File:
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
    parquet = _opened(stream)
    if form.has_texts:
        for _, columns in groups:
            columns.pop("exact", None)  # a column of another meaning
    image, label, *others = _columns(path, parquet.schema_arrow, form)
    names = [f"{image}.bytes", label, *others]
    rows = parquet.metadata.num_rows
    limit = max(_COLUMN, 4 * length) if form.is_large else _COLUMN
    has_checksums, dictionary = _check_pages(groups, rows, stream, length - 8 - footer, names, limit)
    batch = min(_BATCH_ROWS, max(1, _BATCH // max(1, dictionary)))
    declared = _label_names(parquet.schema_arrow, label)
    return File(path, image, label, declared, digest.digest(), rows, "exact" in names, is_known or has_checksums, batch)


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


def _columns(path: Path, schema: Any, form: Form) -> list[str]:
    """Return the columns to read: image, label, and "exact" if there is one.

    Raises UserError if one is missing or has another type.
    """
    import pyarrow

    kinds, names = pyarrow.types, set(schema.names)
    chosen = []
    for choices in (form.images, form.labels):
        name = next((choice for choice in choices if choice in names), None)
        if name is None:
            there = ", ".join(sorted(names))
            raise UserError(f"{path}: no column {' or '.join(map(repr, choices))} (there are: {there})")
        chosen.append(name)
    image = schema.field(chosen[0]).type
    field = image.field("bytes").type if kinds.is_struct(image) and image.get_field_index("bytes") >= 0 else None
    if field is None or not (kinds.is_binary(field) or kinds.is_large_binary(field)):
        raise UserError(f"{path}: column {chosen[0]!r} is {image}, expected a struct with binary 'bytes'")
    label = schema.field(chosen[1]).type
    is_text = form.has_texts and (kinds.is_string(label) or kinds.is_large_string(label))
    if not kinds.is_integer(label) and not is_text:
        expected = "integer or string" if form.has_texts else "integer"
        raise UserError(f"{path}: column {chosen[1]!r} is {label}, expected {expected}")
    if form.has_texts or "exact" not in names:
        return chosen
    if not kinds.is_boolean(schema.field("exact").type):
        raise UserError(f"{path}: column 'exact' is {schema.field('exact').type}, expected boolean")
    return [*chosen, "exact"]


def _label_names(schema: Any, column: str) -> tuple[str, ...]:
    """Return the names of a `ClassLabel` in the metadata that `datasets` writes, () without them."""
    try:
        declared = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    is_list = isinstance(declared, list) and all(isinstance(name, str) for name in declared)
    return tuple(declared) if is_list and len(set(declared)) == len(declared) else ()


def _check_pages(
    groups: list[tuple[int, dict[str, Column]]],
    rows: int,
    stream: BufferedReader,
    end: int,
    names: list[str],
    limit: int,
) -> tuple[bool, int]:
    """Return whether all pages of the columns `names` have checksums, and the bytes of the largest dictionary.

    rows   rows of the file
    end    bytes before its footer
    limit  bytes that a column may have after decompression
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
                if page.size > _PAGE or total[name] > limit:
                    raise ValueError(f"column {name!r} declares more than {limit >> 20} MiB, or {_PAGE >> 20} a page")
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


def batches(file: File, stream: BufferedReader, columns: list[str]) -> Iterator[Any]:
    """Yield batches of `columns`. Raises ValueError if the number of rows is not the declared one."""
    rows = 0
    for batch in _opened(stream).iter_batches(file.batch, columns=columns, use_threads=False):
        rows += batch.num_rows
        yield batch
    if rows != file.rows:
        raise ValueError(f"it has {rows:,} rows, but declares {file.rows:,}")
