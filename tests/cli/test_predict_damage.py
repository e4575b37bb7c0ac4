"""Bad files between good ones: each is named, none ends `reslab predict`, and none changes another's answer."""

import base64
import csv
import json
import os
import subprocess
import sys
import tempfile
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from cases import some
from commands import environment
from PIL import Image
from test_streams import NAMES

ISOBMFF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x08mdat"  # the first bytes of an AVIF


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **how) -> bytes:
    content = BytesIO()
    image.save(content, kind, **how)
    return content.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) * 6 // 10]


def with_wrong_crc() -> bytes:
    content = bytearray(encoded(photo(1), "PNG"))
    content[content.index(b"IDAT") + 40] ^= 1  # inside the compressed pixels
    return bytes(content)


DAMAGE = {
    "cut.jpg": (cut(encoded(photo(1), "JPEG")), "truncated"),
    "crc.png": (with_wrong_crc(), "checksum"),
    "cut.webp": (cut(encoded(photo(1), "WEBP", lossless=True)), ""),
    "cut.gif": (cut(encoded(photo(1), "GIF")), ""),
    "wide.tif": (encoded(Image.fromarray(np.full((8, 8), 1 << 20, np.int32)), "TIFF"), "32-bit pixels"),
    "float.tif": (encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "floating-point pixels"),
    "empty.png": (b"", "the file is empty"),
    "text.jpg": (b"no image at all\n", "is no image of a known format"),
    "modern.avif": (ISOBMFF, "is no image of a known format"),
}


@pytest.fixture
def mixed(tmp_path):
    """Good and bad files in turn: their paths in order, and the bad ones with a part of the reason."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    bad = {}
    for name, (content, reason) in DAMAGE.items():
        (folder / name).write_bytes(content)
        bad[str(folder / name)] = reason
    os.mkfifo(folder / "pipe.png")
    (folder / "broken.png").symlink_to("nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    bad |= {
        str(folder / "pipe.png"): "not a regular file", str(folder / "broken.png"): "a broken link",
        str(folder / "missing.png"): "no such file", str(folder / "itself.png"): "", "/dev/null": "not a regular file",
    }  # fmt: skip
    good = []
    for number in range(len(bad)):
        path = folder / f"good{number}.{('png', 'jpg', 'webp', 'bmp', 'gif', 'tif')[number % 6]}"
        photo(number).save(path)
        good.append(str(path))
    order = [path for pair in zip(good, bad, strict=True) for path in pair]
    return order, good, bad


def records(outcome):
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.mark.parametrize("words", [(), ("--batch", "1"), ("--batch", "5", "--threads", "2"), ("--precision", "fp32")])
def test_bad_files_are_named_and_change_nothing(warm, trained, mixed, words):
    """The answers of the good files are, to the last bit, those of a list without the bad ones."""
    order, good, bad = mixed
    whole, expected = (
        warm("predict", trained, *order, "--json", *words),
        warm("predict", trained, *good, "--json", *words),
    )
    assert whole.code == 1
    assert "Traceback" not in whole.err
    found = records(whole)
    assert [one["file"] for one in found] == order
    assert [one for one in found if "error" not in one] == records(expected.good())
    for one in found:
        if "error" in one:
            assert (one["classes"], one["probabilities"]) == ([], [])
            assert bad[one["file"]] in one["error"]
            assert f"bad image: {one['file']}: {one['error']}" in whole.err.splitlines()
    assert {one["file"] for one in found if "error" in one} == bad.keys()
    assert whole.err.splitlines()[-1] == f"reslab: {len(bad)} of {len(order)} images could not be read"


def test_a_good_file_has_the_bits_that_it_has_alone(warm, trained, mixed):
    """One image per batch: other members of a batch may change the last bits of a sum."""
    order, good, _ = mixed
    found = {one["file"]: one for one in records(warm("predict", trained, *order, "--json", "--batch", "1"))}
    for path in good[:4]:
        assert records(warm("predict", trained, path, "--json").good()) == [found[path]]


def test_plain_lines_are_those_of_the_good_ones(warm, trained, mixed):
    order, good, _ = mixed
    told = warm("predict", trained, *order)
    assert told.code == 1
    assert [line.partition(": ")[0] for line in told.out.splitlines()] == good


def test_skip_and_error(warm, trained, mixed):
    order, good, bad = mixed
    told = warm("predict", trained, *order, "--json", "--bad-images", "skip").good()
    assert [one["file"] for one in records(told)] == good
    assert told.err.splitlines()[-1] == f"{len(bad)} files left out"
    stopped = warm("predict", trained, *order, "--json", "--bad-images", "error")
    assert (stopped.code, [one["file"] for one in records(stopped)]) == (1, good[:1])
    assert stopped.err.splitlines()[-1].startswith(f"reslab: {order[1]}: ")


def test_csv(warm, trained, mixed):
    order, _, bad = mixed
    told = warm("predict", trained, *order, "--csv", "--top", "3")
    assert told.code == 1
    head, *rows = csv.reader(told.out.splitlines())
    assert head == [
        "file", "class_1", "probability_1", "class_2", "probability_2", "class_3", "probability_3", "error",
        "file_bytes",
    ]  # fmt: skip
    assert [row[0] for row in rows] == order
    plain = records(warm("predict", trained, *order, "--json", "--top", "3"))
    for row, one in zip(rows, plain, strict=True):
        assert row[7] == one.get("error", "")
        assert bool(row[7]) == (one["file"] in bad)
        assert [name for name in row[1:7:2] if name] == one["classes"]
        assert [float(share) for share in row[2:7:2] if share] == one["probabilities"]


def test_only_bad_files_and_nothing_at_all(warm, trained, mixed, tmp_path):
    _, _, bad = mixed
    told = warm("predict", trained, *bad, "--json")
    assert (told.code, len(records(told))) == (1, len(bad))
    _, reason, last = warm("predict", trained, tmp_path / "mixed" / "text.jpg").err.splitlines()
    assert "text.jpg: is no image" in reason
    assert last == "reslab: 1 of 1 images could not be read"
    (tmp_path / "nothing").mkdir()
    warm("predict", trained, tmp_path / "nothing").refused("no image files there")
    warm("predict", trained, tmp_path / "missing.png", tmp_path / "other").refused(
        "missing.png: no such file or folder"
    )


CLOSED = """
import os, sys
from reslab.cli.main import main
run, folder = sys.argv[1:]
main(["predict", run, f"{folder}/a.png"])  # imports all that is needed
if os.geteuid() == 0:
    os.setuid(65534)  # root may read everything
sys.exit(main(["predict", run, folder, "--json"]))
"""


def test_files_and_folders_that_may_not_be_read(trained):
    """Modes of 000, and another user's."""
    with tempfile.TemporaryDirectory() as place:  # others may not enter pytest's own
        os.chmod(place, 0o755)
        subprocess.run(["cp", "-r", trained, f"{place}/run"], check=True)
        folder = Path(place) / "pictures"
        (folder / "deep").mkdir(parents=True)
        for name in ("a.png", "b.png", "c.png", "deep/d.png"):
            photo(0).save(folder / name)
        for name in ("b.png", "deep"):
            (folder / name).chmod(0)
        subprocess.run(["chmod", "-R", "go+rX", f"{place}/run"], check=True)
        words = [sys.executable, "-c", CLOSED, f"{place}/run", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment(XDG_CACHE_HOME=place), timeout=120)
        (folder / "deep").chmod(0o755)
    found = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert done.returncode == 1, done.stderr
    assert [(Path(one["file"]).name, one.get("error")) for one in found] == [
        ("a.png", None), ("b.png", "permission denied"), ("c.png", None),
        ("deep", "cannot be read (Permission denied)"),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoding", some(["ascii", "utf-8", "cp949"], quick=1))
def test_csv_leads_back_to_the_file(trained, tmp_path, encoding):
    for number, name in enumerate(NAMES):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            photo(number).save(file, "PNG")
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "predict", trained, tmp_path, "--csv", "--top", "1"],
        capture_output=True, env=environment(PYTHONIOENCODING=encoding), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(StringIO(done.stdout.decode("utf-8"), newline="")))
    exact = {base64.b64decode(row["file_bytes"]) if row["file_bytes"] else row["file"].encode() for row in rows}
    assert {os.path.basename(name) for name in exact} == set(NAMES)
