"""Whole or absent: published folders against random damage, text files replaced in one step."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reslab.errors import RunError, UserError
from reslab.store.files import (
    ASIDE,
    MANIFEST,
    aside_folder,
    expanded,
    publish_folder,
    read_json,
    sweep,
    verified_manifest,
    writable_folder,
    write_json,
    write_text,
)

FORM = 1


@pytest.fixture
def published(tmp_path):
    """Three files of which one is large, and their manifest."""
    target = tmp_path / "step-00000001"
    aside = aside_folder(target)
    draw = random.Random(0)
    (aside / "weights.safetensors").write_bytes(draw.randbytes(5000))
    (aside / "state.safetensors").write_bytes(draw.randbytes(700))
    (aside / "state.json").write_text('{"iteration": 1}')
    publish_folder(aside, target, FORM)
    return target


def caught(folder) -> bool:
    """As `models.checkpoints.load` asks: the files' hashes, and the manifest's format."""
    try:
        return verified_manifest(folder).get("format") != FORM
    except RunError:
        return True


def test_a_published_folder_is_whole(published):
    assert sorted(f.name for f in published.iterdir()) == [
        MANIFEST, "state.json", "state.safetensors", "weights.safetensors",
    ]  # fmt: skip
    assert [f.name for f in published.parent.iterdir()] == [published.name]
    manifest = verified_manifest(published)
    assert manifest["format"] == FORM
    assert len(manifest["sha256"]) == 3
    assert not caught(published)


def test_fault_09_every_bit_flip_is_caught(published):
    """300 random single-bit flips over all files, at least 60 in each, the manifest included."""
    draw = random.Random(9)
    files = sorted(published.iterdir())
    silent = []
    for k in range(300):
        file = files[k % len(files)]
        kept = file.read_bytes()
        at, bit = draw.randrange(len(kept)), draw.randrange(8)
        raw = bytearray(kept)
        raw[at] ^= 1 << bit
        file.write_bytes(raw)
        if not caught(published):
            silent.append((file.name, at, bit))
        file.write_bytes(kept)
    assert silent == []
    assert not caught(published)


def test_fault_08_every_truncation_is_caught(published):
    """50 random lengths of every file, and the empty file."""
    draw = random.Random(8)
    for file in sorted(published.iterdir()):
        kept = file.read_bytes()
        lengths = {0, len(kept) - 1, *(draw.randrange(len(kept)) for _ in range(50))}
        silent = []
        for length in lengths:
            file.write_bytes(kept[:length])
            if not caught(published):
                silent.append((file.name, length))
        file.write_bytes(kept)
        assert silent == []
    assert not caught(published)


def test_missing_files_are_caught_and_others_are_let_be(published):
    """What a file manager, a sync client or a note-taker leaves beside the files is no damage of theirs."""
    for extra in (".DS_Store", "notes.txt", "weights (conflicted copy).safetensors"):
        (published / extra).write_bytes(b"")
    (published / "folder").mkdir()
    assert not caught(published)
    (published / "state.json").unlink()
    with pytest.raises(RunError, match=r"state\.json: missing"):
        verified_manifest(published)
    (published / MANIFEST).unlink()
    with pytest.raises(RunError, match="no checkpoint of reslab"):
        verified_manifest(published)


def test_a_file_that_the_system_cannot_read_counts_as_damaged(published):
    """A real EIO: the first page of a process's memory is mapped to nothing."""
    file = published / "weights.safetensors"
    file.unlink()
    file.symlink_to("/proc/self/mem")
    if not file.is_file():
        pytest.skip("no /proc here")
    with pytest.raises(OSError, match="Input/output error"):
        file.read_bytes()
    with pytest.raises(RunError, match=r"weights\.safetensors: cannot be read \(Input/output error\)"):
        verified_manifest(published)
    manifest = published / MANIFEST
    manifest.unlink()
    manifest.symlink_to(manifest)  # leads to itself
    with pytest.raises(RunError, match=r"manifest\.json: damaged \(Too many levels of symbolic links\)"):
        verified_manifest(published)


def test_a_file_beyond_all_bounds_is_not_hashed(published):
    """A sparse file of 10 TB would keep a hash busy for hours."""
    with (published / "weights.safetensors").open("wb") as file:
        try:
            file.truncate(10 << 40)
        except OSError:
            pytest.skip("no sparse files of 10 TB here")
    with pytest.raises(RunError, match=r"weights\.safetensors: more than 17,179,869,184 bytes"):
        verified_manifest(published)


@pytest.mark.parametrize("rest", [{}, {"files": []}, {"sha256": {"state.json": "0"}}])
def test_a_later_format_is_no_damage(published, rest):
    """Whatever else its manifest holds; what is no number is none."""
    (published / MANIFEST).write_text(json.dumps({"format": FORM + 1, **rest}))
    with pytest.raises(UserError, match=r"step-00000001: checkpoint format 2, this reslab reads 1; use the newer"):
        verified_manifest(published, FORM)
    (published / MANIFEST).write_text(json.dumps({"format": True, **rest}))
    with pytest.raises(RunError):
        verified_manifest(published, FORM)


@pytest.mark.parametrize("path", ["~nosuchuser/x", "~nosuchuser"])
def test_a_home_that_is_not_there(path):
    with pytest.raises(UserError, match=f"data: {path}: no such user"):
        expanded(path, "data: ")
    assert expanded("~/x", "data: ") == Path.home() / "x"


@pytest.mark.parametrize("text", ["[]", "{}", '{"sha256": 3}', '{"sha256": ["a"]}', "null", '"x"', '{"sha256": null}'])
def test_a_manifest_of_another_shape_is_refused(published, text):
    (published / MANIFEST).write_text(text)
    with pytest.raises(RunError):
        verified_manifest(published)


def test_an_unpublished_folder_is_swept(tmp_path):
    aside = aside_folder(tmp_path / "step-00000007")
    (aside / "part").write_text("half")
    (tmp_path / f"{ASIDE}1-run.json").write_text("half")
    (tmp_path / "run.json").write_text("{}")
    sweep(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["run.json"]


def test_publishing_never_replaces_a_filled_folder(published):
    aside = aside_folder(published)
    (aside / "other").write_text("")
    with pytest.raises(OSError, match="not empty"):
        publish_folder(aside, published, FORM)
    shutil.rmtree(aside)
    assert not caught(published)


WRITER = """
import sys
from pathlib import Path
from reslab.store.files import write_text
path = Path(sys.argv[1])
while True:
    for letter in "ab":
        write_text(path, letter * 300_000)
"""


def test_a_reader_sees_the_old_text_or_the_new_one(tmp_path):
    """A real writer, replacing without pause until it is killed: never a part, never nothing."""
    path = tmp_path / "run.json"
    write_text(path, "a" * 300_000)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    seen = set()
    try:
        until = time.monotonic() + 60
        reads = 0
        while (len(seen) < 2 or reads < 200) and time.monotonic() < until:
            text = path.read_text()
            reads += 1
            assert text in ("a" * 300_000, "b" * 300_000), len(text)
            seen.add(text[0])
    finally:
        writer.kill()
        writer.wait()
    assert seen == {"a", "b"}  # it did write while we read
    assert len(path.read_text()) == 300_000
    sweep(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["run.json"]


def test_write_text_makes_the_folder_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "잔차")
    write_text(path, "residual")
    assert path.read_text(encoding="utf-8") == "residual"
    assert [f.name for f in path.parent.iterdir()] == ["note.txt"]


def test_a_failed_write_leaves_the_old_text(tmp_path):
    """The disk refuses the new text half-way (a limit on file size): the old one stands."""
    path = tmp_path / "run.json"
    write_text(path, "old")
    source = """
import resource, sys
from pathlib import Path
from reslab.store.files import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_text(Path(sys.argv[1]), "n" * 5000)
"""
    done = subprocess.run([sys.executable, "-c", source, str(path)], capture_output=True, text=True)
    assert f"File too large: '{path}'" in done.stderr
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["run.json"]


def test_a_json_file_beyond_all_bounds_is_not_read(tmp_path):
    """A sparse file of 8 GB; and brackets nested deeper than Python's stack."""
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(UserError, match=r"run\.json: more than 67,108,864 bytes"):
        read_json(path)
    path.write_text("[" * 200_000)
    with pytest.raises(UserError, match=r"run\.json: cannot be read as JSON"):
        read_json(path)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, "잔차 </script>", os.fsdecode(b"caf\xe9")])
def test_json_comes_back(tmp_path, value):
    """The last is a file name in another encoding than UTF-8, as the system hands it over."""
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value


def test_unreadable_json_is_named(tmp_path):
    path = tmp_path / "run.json"
    with pytest.raises(UserError, match="no such file"):
        read_json(path)
    for content in (b'{"a": 1', b"\xff\xfe", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"run\.json: cannot be read as JSON"):
            read_json(path)


def test_a_folder_that_takes_files(tmp_path):
    assert writable_folder(tmp_path / "new" / "deep").is_dir()
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    for bad in (file, file / "below"):
        with pytest.raises(UserError, match="is a file, not a folder"):
            writable_folder(bad)
    with pytest.raises(UserError, match="too long"):
        writable_folder(tmp_path / ("x" * 300))
    with pytest.raises(UserError, match="zero byte"):
        writable_folder(tmp_path / "a\0b")
