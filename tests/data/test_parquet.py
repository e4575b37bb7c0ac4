"""Damaged and hostile parquet files: refused in one line, or with the very same pixels."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.data.sets import parquet
from reslab.data.sets.cifar import cifar10
from reslab.errors import UserError
from reslab.store.files import sha256

pa = pytest.importorskip("pyarrow", reason="the parquet layout needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="the parquet layout needs pyarrow")

REAL = Path(os.environ.get("RESLAB_CIFAR10") or Path(__file__).parents[3] / "shared" / "data" / "cifar10")
needs_real = pytest.mark.skipif(
    not all((REAL / name).exists() for name in parquet.KNOWN),
    reason=f"not the known parquet files at {REAL}; set RESLAB_CIFAR10 to a folder that has them",
)
KINDS = {
    "dictionary": {"write_page_checksum": True},
    "plain": {"write_page_checksum": True, "use_dictionary": False},
    "second form": {"write_page_checksum": True, "data_page_version": "2.0", "compression": "none"},
    "row groups": {"write_page_checksum": True, "row_group_size": 5},
    "full dictionary": {"write_page_checksum": True, "dictionary_pagesize_limit": 500, "data_page_size": 300},
}


def webp(row: int, kind: str = "WEBP", **options) -> bytes:
    y, x = np.mgrid[:32, :32]
    file = io.BytesIO()
    Image.fromarray((np.stack([x * 3 + row * 7, y * 5 + row, x + y], 2) % 256).astype(np.uint8)).save(
        file, kind, **options or {"lossless": True}
    )
    return file.getvalue()


def table(images, labels=None):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table(
        {
            "img": pa.array([{"bytes": image, "path": None} for image in images], struct),
            "label": pa.array(np.arange(len(images)) % 10 if labels is None else labels),
            "exact": pa.array([row != 3 for row in range(len(images))]),
        }
    )


def write(folder: Path, images=None, *, side: str = "test", **options) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{side}-0.parquet"
    pq.write_table(table([webp(row) for row in range(12)] if images is None else images), file, **options)
    return file


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        cifar10(folder, ("test",))
    assert "\n" not in str(error.value)
    return str(error.value)


def check_flips(file: Path, step: int) -> None:
    """Each flipped bit is refused, or changes neither a pixel nor a label nor a note."""
    content, whole = file.read_bytes(), cifar10(file.parent, ("test",))
    refused = 0
    for at in range(0, len(content), step):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        file.write_bytes(damaged)
        try:
            data = cifar10(file.parent, ("test",))
        except UserError:
            refused += 1
            continue
        assert np.array_equal(data.test.images, whole.test.images), at
        assert np.array_equal(data.test.labels, whole.test.labels), at
        assert data.notes == whole.notes, at
        assert data.fingerprint != whole.fingerprint
    assert refused > 0.4 * len(range(0, len(content), step))
    file.write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_13_a_flipped_bit_in_a_file_with_checksums_is_never_silent(tmp_path, kind):
    check_flips(write(tmp_path, **KINDS[kind]), 23)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_fault_13_every_flipped_byte_of_a_file_with_checksums(tmp_path, kind):
    check_flips(write(tmp_path, **KINDS[kind]), 1)


def test_whether_there_are_checksums_is_noted(tmp_path):
    exact = "1 of 12 test images are not bit-exact"
    for options in KINDS.values():
        write(tmp_path, **options)
        assert cifar10(tmp_path, ()).notes == (exact,)
        write(tmp_path, **options | {"write_page_checksum": False})
        data = cifar10(tmp_path, ("test",))
        assert data.notes == (exact, parquet.UNCHECKED)
        assert np.array_equal(data.test.images[5], np.asarray(Image.open(io.BytesIO(webp(5)))))
    write(tmp_path, **KINDS["plain"])
    write(tmp_path, side="train")
    assert parquet.UNCHECKED in cifar10(tmp_path, ("test",)).notes


def test_a_known_file_is_compared_whole(tmp_path, monkeypatch):
    file = write(tmp_path)
    content = file.read_bytes()
    monkeypatch.setattr(parquet, "KNOWN", {file.name: (len(content), sha256(file))})
    assert cifar10(tmp_path, ("test",)).notes == ("1 of 12 test images are not bit-exact",)
    for at in range(0, len(content), 31):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert "its SHA-256 is not that of the known file of this name and size" in refusal(tmp_path)
    file.rename(tmp_path / "test-mine.parquet")
    write(tmp_path, [webp(9)], compression="none").rename(tmp_path / "test-more.parquet")
    assert parquet.UNCHECKED in refusal_or_notes(tmp_path)
    shutil.rmtree(tmp_path)
    write(tmp_path, [webp(9)], compression="none")  # another file of that name, of another size
    assert parquet.UNCHECKED in cifar10(tmp_path, ("test",)).notes


def refusal_or_notes(folder: Path) -> str:
    for file in folder.glob("test-mine*"):
        file.unlink()
    return " ".join(cifar10(folder, ("test",)).notes)


@needs_real
def test_real_files_are_known_and_a_flipped_byte_of_them_is_refused(tmp_path):
    assert {name: (REAL / name).stat().st_size for name in parquet.KNOWN} == {
        name: size for name, (size, _) in parquet.KNOWN.items()
    }
    data = cifar10(REAL, ())
    assert data.notes == ("82 of 50,000 train and 21 of 10,000 test images are not bit-exact",)
    assert data.fingerprint == "a761881fbf3d4786766b57ca7d470415edce3b5a7d20be2f57fffc0f46da36c2"  # of all records
    file = tmp_path / "test-00000-of-00001.parquet"
    shutil.copyfile(REAL / file.name, file)
    with file.open("r+b") as stream:
        for at in (5_000_000, 18_236_060, 100):
            stream.seek(at)
            byte = stream.read(1)
            stream.seek(at)
            stream.write(bytes([byte[0] ^ 16]))
            stream.flush()
            assert "so it is damaged" in refusal(tmp_path)
            stream.seek(at)
            stream.write(byte)
            stream.flush()


# what a file declares


def bombs(folder: Path) -> dict[str, tuple[Path, str]]:
    """name: a file, and what its refusal says."""
    picture, files = webp(1), {}

    def made(name: str, reason: str, content, **options) -> None:
        file = folder / name / "test-0.parquet"
        file.parent.mkdir()
        pq.write_table(content, file, compression="zstd", **options)
        files[name] = file, reason

    made("large image", "or 16 a page", table([bytes(20 << 20)]), use_dictionary=False)
    made("many large", "more than 64 MiB", table([bytes(10 << 20)] * 10), use_dictionary=False, data_page_size=1 << 20)
    made(
        "large entry",
        "the image file has 2,097,152 bytes",
        table([bytes(2 << 20)] * 64),
        dictionary_pagesize_limit=4 << 20,
    )
    made("rows", "120,001 test rows, more than 120,000", table([None] * 120_001))
    wide = table([picture]).replace_schema_metadata({"x": "y" * (2 << 20)})
    made("footer", "declares a footer of", wide)
    prefix = {"img.bytes": "DELTA_BYTE_ARRAY"}
    made("prefixes", "encoding 7", table([bytes(2 << 20)] * 9), use_dictionary=False, column_encoding=prefix)
    whole = files["footer"][0].read_bytes()
    for name, length in (("long footer", 0xFFFFFFF0), ("footer without end", 900_000)):
        made(name, "truncated|declares a footer|damaged", table([picture]))
        content = files[name][0].read_bytes() if name == "long footer" else whole
        files[name][0].write_bytes(content[:-8] + length.to_bytes(4, "little") + b"PAR1")
    return files


LIMITED = """
import resource, sys
from reslab.data.sets.cifar import cifar10
from reslab.errors import UserError
import pyarrow.parquet
from reslab.data.sets import parquet
parquet._PAGE, parquet._COLUMN, parquet._BATCH = 16 << 20, 64 << 20, 16 << 20
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for folder in sys.argv[1:]:
    try:
        print("read", cifar10(folder, ("test",)))
    except UserError as error:
        print("refused:", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as on Linux")
def test_what_a_file_declares_is_bounded_before_it_is_read(tmp_path):
    files = bombs(tmp_path)
    folders = [file.parent for file, _ in files.values()]
    run = subprocess.run([sys.executable, "-c", LIMITED, *folders], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert len(lines) == len(files), run
    for line, (file, reason) in zip(lines, files.values(), strict=True):
        assert line.startswith("refused:"), line
        assert str(file) in line
        assert re.search(reason, line), (file.parent.name, line)


def test_columns_of_another_type_are_refused(tmp_path):
    write(tmp_path)
    file = tmp_path / "test-0.parquet"
    pq.write_table(table([webp(1)], labels=["1"]), file)
    assert "column 'label' is string, expected integer" in refusal(tmp_path)
    pq.write_table(pa.table({"img": [webp(1)], "label": [1]}), file)
    assert "column 'img' is binary, expected a struct with binary 'bytes'" in refusal(tmp_path)
    pq.write_table(pa.table({"img": [{"bytes": "x"}], "label": [1]}), file)
    assert "expected a struct with binary 'bytes'" in refusal(tmp_path)


# one changed byte, seen by the command line


def reslab(folder: Path, *words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "reslab", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("checksum", [False, True])
def test_changed_data_is_seen_by_train_resume_and_evaluate(tmp_path, checksum):
    """One byte of a pixel is another: a page checksum has the file refused, else the content's hash differs."""
    data, pictures = tmp_path / "data", [webp(row, "BMP", bitmap_format="bmp") for row in range(40)]
    options = {"write_page_checksum": checksum, "use_dictionary": False, "compression": "none"}
    for side in ("train", "test"):
        file = write(data, pictures, side=side, **options)
    train = ["train", "cifar_resnet8", "--data", f"cifar10:{data}", "--set", "batch=8", "--out", "run"]
    train += ["--iterations", 2]
    first = reslab(tmp_path, *train)
    assert first.returncode == 0, first
    content = file.read_bytes()
    at = content.index(pictures[7]) + 1000
    file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    resumed, scored = reslab(tmp_path, *train), reslab(tmp_path, "evaluate", "run")
    for run in (resumed, scored):
        assert run.returncode == 2, run
        assert len(run.stderr.strip().splitlines()) == 1, run
        assert ("CRC checksum verification failed" if checksum else "data") in run.stderr, run
    asked = reslab(tmp_path, "evaluate", "run", "--json", "--data", f"cifar10:{data}")
    assert "Traceback" not in asked.stderr
    assert asked.returncode == (2 if checksum else 0), asked
    if not checksum:
        assert "not the files that it was trained on" in asked.stdout, asked
