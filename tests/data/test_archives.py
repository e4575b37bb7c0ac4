"""What an archive declares or unpacks to is bounded before it is read; the refusal is one line."""

import bz2
import gzip
import io
import lzma
import re
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from reslab.data.sets import archives, cifar
from reslab.data.sets.cifar import cifar10
from reslab.errors import UserError

RECORDS = 6


def binary_tar(before: bytes = b"", after: bytes = b"") -> bytes:
    """The binary version with `RECORDS` random images a file, and raw blocks around it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in cifar.LAYOUT.files:
            rows = np.random.default_rng(len(name)).integers(0, 10, (RECORDS, 3073), np.uint8)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = rows.nbytes
            tar.addfile(member, io.BytesIO(rows.tobytes()))
    return before + file.getvalue() + after


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


class Repeated:
    """`size` bytes of `block`, over and over."""

    def __init__(self, block: bytes, size: int) -> None:
        self.block, self.count = block * max(1, (1 << 20) // len(block)), size // max(1 << 20, len(block))

    def compressed(self, compress=gzip.compress) -> bytes:
        return compress(self.block) * self.count  # streams one after another are one file


def write_gzip(path: Path, *parts: bytes | Repeated) -> Path:
    pieces = [gzip.compress(part) if isinstance(part, bytes) else part.compressed() for part in parts]
    path.write_bytes(b"".join(pieces))
    return path


def write_bomb(folder: Path, name: str, size: int) -> Path:
    """A file of a few kilobytes or megabytes that declares or unpacks to `size` bytes."""
    file, zeros = folder / f"{name}.tar.gz", Repeated(bytes(1 << 20), size)
    text = Repeated(b"a" * (1 << 20), size)
    if name == "pax":
        return write_gzip(file, header(tarfile.XHDTYPE, size), text)
    if name == "global pax":
        return write_gzip(file, header(tarfile.XGLTYPE, size), text)
    if name == "long name":
        return write_gzip(file, header(tarfile.GNUTYPE_LONGNAME, size), text)
    if name == "long link":
        return write_gzip(file, header(tarfile.GNUTYPE_LONGLINK, size), text)
    if name == "sparse":
        return write_gzip(file, header(tarfile.GNUTYPE_SPARSE, size), text)
    if name == "member before":
        return write_gzip(file, header(tarfile.REGTYPE, size), zeros, binary_tar())
    if name == "zeros behind":
        return write_gzip(file, binary_tar(), zeros)
    if name == "no archive":
        return write_gzip(file, text)
    if name == "members":
        return write_gzip(file, Repeated(header(tarfile.REGTYPE, 0), size))
    if name == "headers of headers":
        return write_gzip(file, Repeated(header(tarfile.XHDTYPE, 512) + b"9 a=bcde\n".ljust(512, b"\0"), size))
    if name == "record":
        return write_gzip(file, header(tarfile.REGTYPE, size, "data_batch_1.bin"), zeros)
    if name == "python version":
        write_gzip(file, header(tarfile.REGTYPE, 512, "data_batch_1"), bytes(1024))
        with file.open("r+b") as stream:
            stream.truncate(size)
        return file
    file.write_bytes(zeros.compressed({"bz2": bz2.compress, "xz": lzma.compress}[name]))
    return file


BOMBS = [
    "pax",
    "global pax",
    "long name",
    "long link",
    "sparse",
    "member before",
    "zeros behind",
    "no archive",
    "members",
    "headers of headers",
    "record",
    "python version",
    "bz2",
    "xz",
]


LIMITED = """
import resource, sys
from reslab.data.sets.cifar import cifar10
from reslab.errors import UserError
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (60 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for file in sys.argv[1:]:
    try:
        print("read", cifar10(file, records=6))
    except UserError as error:
        print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as on Linux")
def test_bombs_take_no_memory(tmp_path):
    """All in one process that may take 60 MB more; what it may unpack is 64 MiB and a little."""
    files = [write_bomb(tmp_path, name, 96 << 20) for name in BOMBS]
    run = subprocess.run([sys.executable, "-c", LIMITED, *files], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert len(lines) == len(BOMBS), run
    for name, line in zip(BOMBS, lines, strict=True):
        assert line.startswith("refused:"), (name, line)
        assert f"{name}.tar.gz" in line
        assert not re.search("MemoryError|allocate", line), line


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as on Linux")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_6_gb_is_one_line_on_the_command_line(tmp_path, name):
    file = write_bomb(tmp_path, name, 6 << 30)
    command = [sys.executable, "-m", "reslab", "train", "cifar_resnet8", "--data", f"cifar10:{file}", "--dry-run"]
    limited = ["bash", "-c", 'ulimit -v 16000000; exec "$@"', "bash", *map(str, command)]
    run = subprocess.run(limited, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2, run
    assert len(run.stderr.strip().splitlines()) == 1, run
    assert not re.search("MemoryError|allocate", run.stderr), run


def test_an_archive_of_another_compression_is_read(tmp_path):
    raw = binary_tar()
    expected = cifar10(write_gzip(tmp_path / "x.tar.gz", raw), records=RECORDS)
    two_streams = lzma.compress(raw[:5000]) + bytes(8) + lzma.compress(raw[5000:])
    for content in (raw, bz2.compress(raw), lzma.compress(raw), two_streams, lzma.compress(raw, lzma.FORMAT_ALONE)):
        file = tmp_path / "x.tar"
        file.write_bytes(content)
        data = cifar10(file, records=RECORDS)
        assert data.fingerprint == expected.fingerprint
        for length in (100, len(content) // 2, len(content) - 12 if content is not raw else 9000):
            file.write_bytes(content[:length])
            with pytest.raises(UserError, match=r"not a readable \.tar\.gz|is missing"):
                cifar10(file, records=RECORDS)


def test_ordinary_headers_and_strange_members_are_read(tmp_path):
    """A pax header of usual size, a link, a long name, and members of no interest."""
    expected = cifar10(write_gzip(tmp_path / "x.tar.gz", binary_tar()), records=RECORDS)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "ä" * 900}) as tar:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("ü" * 300))
        with tarfile.open(fileobj=io.BytesIO(binary_tar())) as there:
            for member in there:
                member.pax_headers = {"mtime": "1234567.25"}
                tar.addfile(member, there.extractfile(member))
    assert cifar10(write_gzip(tmp_path / "y.tar.gz", file.getvalue()), records=RECORDS).fingerprint == (
        expected.fingerprint
    )


def test_an_xz_file_that_wants_much_memory_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    content = bytearray(lzma.compress(binary_tar(), filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    wanted = lzma._encode_filter_properties(filters[0])[0]
    own = lzma._encode_filter_properties({"id": lzma.FILTER_LZMA2, "preset": 0})[0]
    assert wanted > own
    at = content.index(bytes([0x21, 1, own])) + 2
    content[at] = wanted
    block = content[12 : 12 + (content[12] + 1) * 4]
    content[12 + len(block) - 4 : 12 + len(block)] = zlib.crc32(block[:-4]).to_bytes(4, "little")
    file = tmp_path / "x.tar.xz"
    file.write_bytes(content)
    with pytest.raises(UserError, match="Memory usage limit"):
        cifar10(file, records=RECORDS)


def test_members_are_those_of_tarfile(tmp_path):
    file = write_gzip(tmp_path / "x.tar.gz", binary_tar())
    with tarfile.open(file) as tar:
        expected = [(member.name, tar.extractfile(member).read()) for member in tar]
    assert [
        (member.name, content.read(1 << 20)) for member, content in archives.members(file, 1 << 20, "CIFAR-10")
    ] == expected
