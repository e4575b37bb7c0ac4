"""Read CIFAR-10 and CIFAR-100 in their layouts: Hugging Face's parquet, the binary version, the Python version.

The layout is recognised by file names, never by unpickling. The Python version contains pickles, so its bytes are first
compared with the publisher's MD5, and a file that differs is not read. The fingerprint is over the source files, so it
does not depend on the splits that are read.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import pickle
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from reslab.data.sets import archives, cifar_parquet
from reslab.data.sets.cifar_layout import CHANNELS, PIXELS, SIZE, Layout
from reslab.data.splits import Data, Memory
from reslab.errors import UserError
from reslab.store.files import expanded


def read(layout: Layout, path: str | Path, splits: Iterable[str]) -> Data:
    """Return the data from `path`, decoding only `splits`: uint8 [N, 32, 32, 3].

    Raises UserError if the path has none of the layouts, if a file is missing or damaged, or if the Python version
    differs from its publisher's checksum.
    """
    lead, names = f"{layout.word}:", tuple(splits)
    root = expanded(path, lead)
    if not root.exists():
        raise UserError(f"{lead}{path}: no such file or folder; {layout.advice}")
    try:
        if root.is_file():
            return _archive(layout, root, names)
        for folder in (root, root / "data", root / "plain_text", root / layout.word.partition("-")[0]):
            if any(folder.glob("train-*.parquet")) or any(folder.glob("test-*.parquet")):
                parts, hashes, notes = cifar_parquet.read(
                    folder, names, layout.word, layout.column, len(layout.classes)
                )
                return _data(layout, parts, layout.fingerprint(hashes), notes)
        for folder in (root, root / layout.binary_folder):
            if any((folder / f"{name}.bin").exists() for name in layout.files):
                files = {p.name: p.read_bytes() for p in _binary_files(layout, folder)}
                return _binary(layout, files, names, folder)
        for folder in (root, root / layout.python_folder):
            if any((folder / name).is_file() for name in layout.files):
                return _python_folder(layout, folder, names)
    except OSError as error:
        raise UserError(f"{lead}{path}: cannot be read: {error.strerror or error}") from None
    raise UserError(f"{lead}{path}: no {layout.title} in this folder; {layout.advice}")


def download(layout: Layout, cache_dir: str | Path) -> Path:
    """Download the official Python version into `cache_dir` with torchvision, unless it is there; return its folder.

    The only function of this package that uses the network; only --download calls it. Raises UserError if it fails.
    """
    from torchvision import datasets

    try:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        getattr(datasets, layout.torchvision)(str(cache_dir), download=True)
    except Exception as error:  # urllib, ssl, tarfile, disk: any of them becomes one line
        raise UserError(
            f"{layout.word}: the download to {cache_dir} failed ({' '.join(str(error).split())[:160]}); "
            f"get it by other means and use {layout.word}:PATH"
        ) from None
    return Path(cache_dir) / layout.python_folder


def _data(layout: Layout, parts: Mapping[str, Memory], digest: str, notes: Iterable[str] = ()) -> Data:
    for name, part in parts.items():
        if part.images.shape[1:] != (SIZE, SIZE, CHANNELS):
            raise UserError(f"{layout.word}: {name} images are {part.images.shape[1:]}, expected (32, 32, 3)")
    train, test = parts.get("train"), parts.get("test")
    notes = (*layout.notes, *notes)
    return Data(layout.word, layout.classes, CHANNELS, SIZE, train, None, test, digest, notes)


def _images(rows: np.ndarray) -> np.ndarray:
    """Return the planes (uint8 [N, 3072]) as images: uint8 [N, 32, 32, 3]."""
    return np.ascontiguousarray(rows.reshape(-1, CHANNELS, SIZE, SIZE).transpose(0, 2, 3, 1))


# the binary version


def _binary_files(layout: Layout, folder: Path) -> list[Path]:
    """Return the required files; their sizes are checked before any is read."""
    files = [folder / f"{name}.bin" for name in layout.files]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: missing; the binary version has {', '.join(f.name for f in files)}")
        _check_size(layout, file.stem, str(file), file.stat().st_size)
    return files


def _check_size(layout: Layout, name: str, label: str, size: int) -> None:
    if size != (expected := layout.files[name] * layout.record):
        raise UserError(f"{label}: {size:,} bytes, expected {expected:,}; the file is damaged or another data set")


def _binary(layout: Layout, files: Mapping[str, bytes], splits: tuple[str, ...], source: Path) -> Data:
    column, last = layout.label_bytes.index(layout.label), len(layout.classes) - 1

    def part(names: Iterable[str]) -> Memory:
        blocks = []
        for name in names:
            blocks.append(np.frombuffer(files[f"{name}.bin"], np.uint8).reshape(-1, layout.record))
            wrong = blocks[-1][:, column] > last
            if wrong.any():
                row = int(np.argmax(wrong))
                label = blocks[-1][row, column]
                raise UserError(f"{source}: {name}.bin record {row}: label {label} is not one of 0..{last}")
        rows = np.concatenate(blocks)
        return Memory(_images(rows[:, -PIXELS:]), rows[:, column].astype(np.int64))

    parts = {name: part(names) for name, names in (("train", layout.train), ("test", layout.test)) if name in splits}
    return _data(layout, parts, layout.fingerprint(files[f"{name}.bin"] for name in layout.files))


# .tar.gz of both versions, read without extracting it


_UNPACKED = 64 << 20  # bytes that an archive may unpack to, in addition to twice the files
_DAMAGE = (
    tarfile.TarError,
    EOFError,
    OSError,
    ValueError,
    ArithmeticError,
    RecursionError,  # thousands of nested headers
    zlib.error,
    lzma.LZMAError,
)


def _archive(layout: Layout, file: Path, splits: tuple[str, ...]) -> Data:
    names = {f"{name}.bin" for name in layout.files}
    files: dict[str, bytes] = {}
    limit = _UNPACKED + 2 * sum(layout.files.values()) * layout.record
    try:
        for member, content in archives.members(file, limit, layout.title):
            name = Path(member.name).name
            if name in layout.files and content is not None:
                return _python_archive(layout, file, splits)
            if name in names and content is not None:
                # before reading: it may declare any size
                _check_size(layout, Path(name).stem, f"{file}: {name}", member.size)
                files[name] = content.read(member.size)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{file}: not a readable .tar.gz, or damaged ({reason}); {layout.advice}") from None
    if missing := sorted(names - files.keys()):
        raise UserError(f"{file}: {missing[0]} is missing; {layout.advice}")
    return _binary(layout, files, splits, file)


# the Python version, unpickled from the same bytes whose MD5 was checked


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _python_archive(layout: Layout, file: Path, splits: tuple[str, ...]) -> Data:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        content = stream.read(size) if size == layout.archive_bytes else b""  # a file of terabytes is not hashed
    if (digest := _md5(content)) != layout.archive_md5:
        problem = f"MD5 {digest} is not the official {layout.archive_md5}"
        if size != layout.archive_bytes:
            problem = f"{size:,} bytes, the official archive has {layout.archive_bytes:,}"
        raise UserError(
            f"{file}: {problem}; the Python version contains pickles, so it was not read; "
            "get it again, or use the binary version"
        )
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            if member.isfile() and (unpacked := tar.extractfile(member)):
                files[Path(member.name).name] = unpacked.read()
    return _unpickled(layout, files, splits)


def _python_folder(layout: Layout, folder: Path, splits: tuple[str, ...]) -> Data:
    files: dict[str, bytes] = {}
    for name, md5 in layout.md5s.items():
        file = folder / name
        problem = "" if file.is_file() else "missing"
        if not problem and file.stat().st_size <= 2 * layout.archive_bytes:  # a file of terabytes is not hashed
            files[name] = file.read_bytes()
        if problem or name not in files or _md5(files[name]) != md5:
            raise UserError(
                f"{file}: {problem or 'its MD5 is not the official one'}; the Python version contains pickles, so it "
                "was not read; get it again, or use the binary version"
            )
    return _unpickled(layout, files, splits)


def _unpickled(layout: Layout, files: Mapping[str, bytes], splits: tuple[str, ...]) -> Data:
    parts = {}
    for split, names in (("train", layout.train), ("test", layout.test)):
        if split in splits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy warns about arrays pickled in 2009
                entries = [pickle.loads(files[name], encoding="latin1") for name in names]
            labels = np.concatenate([np.asarray(entry[layout.label], np.int64) for entry in entries])
            parts[split] = Memory(_images(np.concatenate([entry["data"] for entry in entries])), labels)
    return _data(layout, parts, layout.fingerprint(files[name] for name in layout.files))
