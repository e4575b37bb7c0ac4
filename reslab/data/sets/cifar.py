"""Read CIFAR-10 in its usual layouts: Hugging Face's parquet, the official binary version, the official archive.

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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from reslab.data.sets import archives, parquet
from reslab.data.splits import Data, Memory, fingerprint
from reslab.errors import UserError
from reslab.store.files import expanded

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CHANNELS, SIZE = 3, 32
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE_BYTES = 170_498_071
RECORDS = 10_000  # images in one official file
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = ("test_batch",)
_ADVICE = (
    "expected train-*.parquet and test-*.parquet, the binary version (data_batch_1.bin ..., or its .tar.gz), "
    "or the Python version (cifar-10-batches-py, or its .tar.gz)"
)


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `cifar10(path, splits)`."""
    assert path is not None, "KNOWN: cifar10 takes a path"
    return cifar10(path, splits)


def cifar10(path: str | Path, splits: Iterable[str] = ("train", "test"), *, records: int = RECORDS) -> Data:
    """Return CIFAR-10 from `path`, decoding only `splits`: uint8 [N, 32, 32, 3], labels 0..9.

    records   images in each file of the binary version
    Raises UserError if the path has none of the layouts, if a file is missing or damaged, or if the Python version
    differs from its publisher's checksum.
    """
    root, names = expanded(path, "cifar10:"), tuple(splits)
    if not root.exists():
        raise UserError(f"cifar10:{path}: no such file or folder; {_ADVICE}")
    try:
        if root.is_file():
            return _archive(root, names, records)
        for folder in (root, root / "data", root / "plain_text"):
            if any(folder.glob("train-*.parquet")) or any(folder.glob("test-*.parquet")):
                return _data(*parquet.read(folder, names))
        for folder in (root, root / "cifar-10-batches-bin"):
            if (folder / "data_batch_1.bin").exists() or (folder / "test_batch.bin").exists():
                return _binary({p.name: p.read_bytes() for p in _bin_files(folder, records)}, names, records, folder)
        for folder in (root, root / "cifar-10-batches-py"):
            if (folder / "data_batch_1").exists() or (folder / "batches.meta").exists():
                return _python_folder(folder, names)
    except OSError as error:
        raise UserError(f"cifar10:{path}: cannot be read: {error.strerror or error}") from None
    raise UserError(f"cifar10:{path}: no CIFAR-10 in this folder; {_ADVICE}")


def download(cache_dir: str | Path) -> Path:
    """Download the official Python version into `cache_dir` with torchvision, unless it is there; return its folder.

    The only function of this package that uses the network; only --download calls it. Raises UserError if it fails.
    """
    from torchvision.datasets import CIFAR10

    try:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        CIFAR10(str(cache_dir), download=True)
    except Exception as error:  # urllib, ssl, tarfile, disk: any of them becomes one line
        raise UserError(
            f"cifar10: the download to {cache_dir} failed ({' '.join(str(error).split())[:160]}); "
            "get it by other means and use cifar10:PATH"
        ) from None
    return Path(cache_dir) / str(CIFAR10.base_folder)


def _data(parts: Mapping[str, Memory], digest: str, notes: Iterable[str] = ()) -> Data:
    for name, part in parts.items():
        if part.images.shape[1:] != (32, 32, 3):
            raise UserError(f"cifar10: {name} images are {part.images.shape[1:]}, expected (32, 32, 3)")
    return Data("cifar10", CLASSES, CHANNELS, SIZE, parts.get("train"), None, parts.get("test"), digest, tuple(notes))


# Binary version: records of one label byte and 3,072 pixel bytes: red, green and blue plane, each row by row.


def _bin_files(folder: Path, records: int) -> list[Path]:
    """Return the six required files; their sizes are checked before any is read."""
    files = [folder / f"{name}.bin" for name in (*_TRAIN, *_TEST)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: missing; the binary version has {', '.join(f.name for f in files)}")
        _check_size(str(file), file.stat().st_size, records)
    return files


def _check_size(name: str, size: int, records: int) -> None:
    if size != records * 3073:
        raise UserError(f"{name}: {size:,} bytes, expected {records * 3073:,}; the file is damaged or another data set")


def _binary(files: Mapping[str, bytes], splits: tuple[str, ...], records: int, source: Path) -> Data:
    def part(names: tuple[str, ...]) -> Memory:
        rows = np.concatenate([np.frombuffer(files[f"{n}.bin"], np.uint8).reshape(records, 3073) for n in names])
        if rows[:, 0].max() > 9:
            row = int(np.argmax(rows[:, 0] > 9))
            file = f"{names[row // records]}.bin"
            raise UserError(f"{source}: {file} record {row % records}: label {rows[row, 0]} is not one of 0..9")
        planes = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return Memory(np.ascontiguousarray(planes), rows[:, 0].astype(np.int64))

    parts = {name: part(names) for name, names in (("train", _TRAIN), ("test", _TEST)) if name in splits}
    return _data(parts, fingerprint(files[f"{n}.bin"] for n in (*_TRAIN, *_TEST)))


# .tar.gz of both versions, read without extracting it


_UNPACKED = 64 << 20  # bytes that an archive may unpack to, in addition to twice the six files
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


def _archive(file: Path, splits: tuple[str, ...], records: int) -> Data:
    names = {f"{name}.bin" for name in (*_TRAIN, *_TEST)}
    files: dict[str, bytes] = {}
    try:
        for member, content in archives.members(file, _UNPACKED + 12 * records * 3073):
            name = Path(member.name).name
            if name in _TRAIN + _TEST:
                return _python_archive(file, splits)
            if name in names and content is not None:
                _check_size(f"{file}: {name}", member.size, records)  # before reading: it may declare any size
                files[name] = content.read(member.size)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{file}: not a readable .tar.gz, or damaged ({reason}); {_ADVICE}") from None
    if missing := sorted(names - files.keys()):
        raise UserError(f"{file}: {missing[0]} is missing; {_ADVICE}")
    return _binary(files, splits, records, file)


def _python_archive(file: Path, splits: tuple[str, ...]) -> Data:
    """Return the data of the official cifar-10-python.tar.gz, unpickled from the same bytes whose MD5 was checked."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        content = stream.read(ARCHIVE_BYTES) if size == ARCHIVE_BYTES else b""  # a file of terabytes is not hashed
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != ARCHIVE_MD5:
        problem = f"MD5 {digest} is not the official {ARCHIVE_MD5}"
        if size != ARCHIVE_BYTES:
            problem = f"{size:,} bytes, the official archive has {ARCHIVE_BYTES:,}"
        raise UserError(
            f"{file}: {problem}; the Python version contains pickles, so it was not read; "
            "get it again, or use the binary version"
        )
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            if member.isfile() and (unpacked := tar.extractfile(member)):
                files[Path(member.name).name] = unpacked.read()
    return _unpickled(files, splits)


def _unpickled(files: Mapping[str, bytes], splits: tuple[str, ...]) -> Data:
    parts = {}
    for split, names in (("train", _TRAIN), ("test", _TEST)):
        if split in splits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy warns about arrays pickled in 2009
                entries = [pickle.loads(files[name], encoding="latin1") for name in names]
            planes = np.concatenate([e["data"] for e in entries]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            labels = np.concatenate([np.asarray(e["labels"], np.int64) for e in entries])
            parts[split] = Memory(np.ascontiguousarray(planes), labels)
    return _data(parts, fingerprint(files[name] for name in (*_TRAIN, *_TEST)))


def _python_folder(folder: Path, splits: tuple[str, ...]) -> Data:
    from torchvision.datasets import CIFAR10

    class LocalCifar10(CIFAR10):  # type: ignore[misc]  # torchvision has no types
        base_folder = folder.resolve().name

    parts: dict[str, Memory] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for split in (s for s in ("train", "test") if s in splits):
                dataset = LocalCifar10(str(folder.resolve().parent), train=split == "train")  # checks the MD5s first
                parts[split] = Memory(np.ascontiguousarray(dataset.data), np.asarray(dataset.targets, np.int64))
    except RuntimeError:
        raise UserError(
            f"{folder}: a file is missing or its MD5 is not the official one; the Python version contains pickles, "
            "so it was not read; get it again, or use the binary version"
        ) from None
    return _data(parts, fingerprint((folder / name).read_bytes() for name in (*_TRAIN, *_TEST)))
