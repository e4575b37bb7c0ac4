"""CIFAR-10 in the layouts it is found in: Hugging Face's parquet, the official binary version, the official archive.

The layout is recognised by file names, never by unpickling: the Python version holds pickles, so its bytes are
compared with the publisher's MD5 first, and nothing of a file that differs is read. The fingerprint is over the
source files, so it does not depend on the splits that were asked for.
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
    """Return `cifar10` of `path`."""
    assert path is not None, "the registry says that it takes a path"
    return cifar10(path, splits)


def cifar10(path: str | Path, splits: Iterable[str] = ("train", "test"), *, records: int = RECORDS) -> Data:
    """Read CIFAR-10 from `path`, decoding only `splits`: uint8 [N, 32, 32, 3], labels 0..9.

    `records` is the number of images in each file of the binary version. Raises UserError where the path holds none
    of the layouts, a file is missing or damaged, or the Python version differs from its publisher's checksum.
    """
    root, wanted = expanded(path, "cifar10:"), tuple(splits)
    if not root.exists():
        raise UserError(f"cifar10:{path}: no such file or folder; {_ADVICE}")
    try:
        if root.is_file():
            return _archive(root, wanted, records)
        for folder in (root, root / "data", root / "plain_text"):
            if any(folder.glob("train-*.parquet")) or any(folder.glob("test-*.parquet")):
                return _data(*parquet.read(folder, wanted))
        for folder in (root, root / "cifar-10-batches-bin"):
            if (folder / "data_batch_1.bin").exists() or (folder / "test_batch.bin").exists():
                return _binary({p.name: p.read_bytes() for p in _bin_files(folder, records)}, wanted, records, folder)
        for folder in (root, root / "cifar-10-batches-py"):
            if (folder / "data_batch_1").exists() or (folder / "batches.meta").exists():
                return _python_folder(folder, wanted)
    except OSError as error:
        raise UserError(f"cifar10:{path}: cannot be read: {error.strerror or error}") from None
    raise UserError(f"cifar10:{path}: no CIFAR-10 in this folder; {_ADVICE}")


def download(cache_dir: str | Path) -> Path:
    """Fetch the official Python version into `cache_dir` through torchvision (once), and return its folder.

    The only place of this package that uses the network, and only when asked. Raises UserError when it fails.
    """
    from torchvision.datasets import CIFAR10

    try:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        CIFAR10(str(cache_dir), download=True)
    except Exception as error:  # urllib, ssl, tarfile, disk: whatever it was, one line
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


# binary version: records of one label byte and 3,072 pixel bytes, red, green, blue planes in row order


def _bin_files(folder: Path, records: int) -> list[Path]:
    """The six files that must be there, their sizes checked before any is read."""
    files = [folder / f"{name}.bin" for name in (*_TRAIN, *_TEST)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: missing; the binary version has {', '.join(f.name for f in files)}")
        _check_size(str(file), file.stat().st_size, records)
    return files


def _check_size(name: str, size: int, records: int) -> None:
    if size != records * 3073:
        raise UserError(f"{name}: {size:,} bytes, expected {records * 3073:,}; the file is damaged or another data set")


def _binary(files: Mapping[str, bytes], wanted: tuple[str, ...], records: int, where: Path) -> Data:
    def part(names: tuple[str, ...]) -> Memory:
        rows = np.concatenate([np.frombuffer(files[f"{n}.bin"], np.uint8).reshape(records, 3073) for n in names])
        if rows[:, 0].max() > 9:
            row = int(np.argmax(rows[:, 0] > 9))
            file = f"{names[row // records]}.bin"
            raise UserError(f"{where}: {file} record {row % records}: label {rows[row, 0]} is not one of 0..9")
        planes = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return Memory(np.ascontiguousarray(planes), rows[:, 0].astype(np.int64))

    parts = {name: part(names) for name, names in (("train", _TRAIN), ("test", _TEST)) if name in wanted}
    return _data(parts, fingerprint(files[f"{n}.bin"] for n in (*_TRAIN, *_TEST)))


# .tar.gz of either version, read without being extracted


_UNPACKED = 64 << 20  # bytes that an archive may unpack to, beyond twice the six files
_DAMAGE = (
    tarfile.TarError,
    EOFError,
    OSError,
    ValueError,
    ArithmeticError,
    RecursionError,  # headers that belong to headers, by the thousand
    zlib.error,
    lzma.LZMAError,
)


def _archive(file: Path, wanted: tuple[str, ...], records: int) -> Data:
    names = {f"{name}.bin" for name in (*_TRAIN, *_TEST)}
    files: dict[str, bytes] = {}
    try:
        for member, content in archives.members(file, _UNPACKED + 12 * records * 3073):
            name = Path(member.name).name
            if name in _TRAIN + _TEST:
                return _python_archive(file, wanted)
            if name in names and content is not None:
                _check_size(f"{file}: {name}", member.size, records)  # before reading: it may claim anything
                files[name] = content.read(member.size)
    except _DAMAGE as error:
        told = " ".join(str(error).split())[:120]
        raise UserError(f"{file}: not a readable .tar.gz, or damaged ({told}); {_ADVICE}") from None
    if missing := sorted(names - files.keys()):
        raise UserError(f"{file}: {missing[0]} is missing; {_ADVICE}")
    return _binary(files, wanted, records, file)


def _python_archive(file: Path, wanted: tuple[str, ...]) -> Data:
    """The official cifar-10-python.tar.gz: the very bytes whose MD5 was checked are the ones that are read."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        content = stream.read(ARCHIVE_BYTES) if size == ARCHIVE_BYTES else b""  # a file of terabytes is not hashed
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != ARCHIVE_MD5:
        told = f"MD5 {digest} is not the official {ARCHIVE_MD5}"
        if size != ARCHIVE_BYTES:
            told = f"{size:,} bytes, the official archive has {ARCHIVE_BYTES:,}"
        raise UserError(
            f"{file}: {told}; the Python version holds pickles, so nothing of it was read; "
            "get it again, or use the binary version"
        )
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            if member.isfile() and (unpacked := tar.extractfile(member)):
                files[Path(member.name).name] = unpacked.read()
    return _unpickled(files, wanted)


def _unpickled(files: Mapping[str, bytes], wanted: tuple[str, ...]) -> Data:
    parts = {}
    for split, names in (("train", _TRAIN), ("test", _TEST)):
        if split in wanted:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's remarks on how arrays were pickled in 2009
                entries = [pickle.loads(files[name], encoding="latin1") for name in names]
            planes = np.concatenate([e["data"] for e in entries]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            labels = np.concatenate([np.asarray(e["labels"], np.int64) for e in entries])
            parts[split] = Memory(np.ascontiguousarray(planes), labels)
    return _data(parts, fingerprint(files[name] for name in (*_TRAIN, *_TEST)))


def _python_folder(folder: Path, wanted: tuple[str, ...]) -> Data:
    from torchvision.datasets import CIFAR10

    class Here(CIFAR10):  # type: ignore[misc]  # torchvision has no types
        base_folder = folder.resolve().name

    parts: dict[str, Memory] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for split in (s for s in ("train", "test") if s in wanted):
                source = Here(str(folder.resolve().parent), train=split == "train")  # MD5 of every file first
                parts[split] = Memory(np.ascontiguousarray(source.data), np.asarray(source.targets, np.int64))
    except RuntimeError:
        raise UserError(
            f"{folder}: a file is missing or its MD5 is not the official one; the Python version holds pickles, "
            "so nothing of it was read; get it again, or use the binary version"
        ) from None
    return _data(parts, fingerprint((folder / name).read_bytes() for name in (*_TRAIN, *_TEST)))
