"""Libraries compiled from C++ sources: built once, kept, and never in the way of a run that can do without."""

import os
import subprocess
import sys

import pytest

from reslab.store import native

SOURCE = 'extern "C" int twice(int x) { return 2 * x; }\n'

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C++ compiler")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "twice.cpp"
    file.write_text(SOURCE)
    return file


def kept():
    return sorted(native.cache().iterdir())


def test_a_library_is_compiled_once_and_again_where_source_or_flags_change(source):
    assert native.library(source, "-O1").twice(21) == 42
    first = kept()
    assert [file.name.split("-")[0] for file in first] == ["twice"]
    native._library.cache_clear()
    assert native.library(source, "-O1").twice(4) == 8
    assert kept() == first
    native.library(source, "-O2")
    assert len(kept()) == 2
    source.write_text(SOURCE.replace("2 *", "3 *"))
    native._library.cache_clear()
    assert native.library(source, "-O1").twice(4) == 12
    assert len(kept()) == 3


def test_a_torn_file_in_the_cache_is_made_again(source):
    code = f"from pathlib import Path; from reslab.store import native; native.library(Path({str(source)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)  # loaded by another process: this one would know it
    (file,) = kept()
    whole = file.stat().st_size
    file.write_bytes(b"torn")
    assert native.library(source).twice(1) == 2
    assert kept() == [file]
    assert file.stat().st_size == whole


def test_without_a_cache_folder_a_library_is_built_aside(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = "from reslab.training.kernels import why_not; print(repr(why_not()))"
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "XDG_CACHE_HOME": str(blocked)}, capture_output=True, text=True
    )
    assert found.stdout.strip() == "''", found.stderr
    assert blocked.read_text() == "not a folder"


def test_what_does_not_compile_is_said(source):
    assert native.why_not(source) == ""
    source.write_text("no C++")
    native._library.cache_clear()
    assert native.why_not(source) == "twice.cpp cannot be compiled (CalledProcessError)"
