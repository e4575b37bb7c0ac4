"""Libraries compiled from C++ sources: built once, kept, and never in the way of a run that can do without."""

import os
import shutil
import subprocess
import sys

import pytest

from reslab.errors import RunError
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
    native._found_or_compiled.cache_clear()
    assert native.library(source, "-O1").twice(4) == 8
    assert kept() == first
    native.library(source, "-O2")
    assert len(kept()) == 2
    source.write_text(SOURCE.replace("2 *", "3 *"))
    native._found_or_compiled.cache_clear()
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


@pytest.mark.slow
def test_without_a_cache_folder_a_library_is_built_aside(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = "from reslab.engines import kernels as k; print(repr(k.unavailable_reason()), k.uncached_reason())"
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "XDG_CACHE_HOME": str(blocked)}, capture_output=True, text=True
    )
    line = f"'' {blocked} is not a folder, so kernels are compiled for this process alone: "
    assert found.stdout == f"{line}set XDG_CACHE_HOME to a folder of your own\n", found.stderr
    assert blocked.read_text() == "not a folder"


def test_what_does_not_compile_has_a_reason(source):
    assert native.unavailable_reason(source) == ""
    source.write_text("no C++")
    native._found_or_compiled.cache_clear()
    reason = native.unavailable_reason(source)
    assert reason.startswith("twice.cpp cannot be compiled: ")
    assert "ends with status 1: " in reason
    assert "error: " in reason
    with pytest.raises(RunError) as error:
        native.library(source)
    assert str(error.value) == reason


COMPILERS = {  # $CXX -> the reason
    'g++ "x': "CXX='g++ \"x' cannot be read (No closing quotation)",
    "no-such-compiler -O9": "CXX names 'no-such-compiler', which is not found",
    '""': "CXX names '', which is not found",
    "/": "CXX names '/', which is not found",
    "false": "/false ends with status 1",
    "true": "No such file or directory: ",
    "g++ -c": ": only ET_DYN and ET_EXEC can be loaded",
    "g++ -fsyntax-only": "No such file or directory: ",
    "g++ --no-such-option": "ends with status 1: g++: error: unrecognized command-line option",
    "sh -c 'kill -9 $$'": "sh ends with status ",
}


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("g++"), reason="the words are those of Linux and g++")
@pytest.mark.parametrize(("words", "expected"), COMPILERS.items())
def test_a_compiler_that_cannot_work_has_a_reason_in_one_line(source, monkeypatch, words, expected):
    monkeypatch.setenv("CXX", words)
    monkeypatch.setenv("TMPDIR", str(source.parent / "tmp"))
    (source.parent / "tmp").mkdir()
    reason = native.unavailable_reason(source)
    assert expected in reason
    assert reason.isprintable()
    assert native.uncached_reason(source) == ""
    assert [*(source.parent / "tmp").iterdir()] == []


def test_no_variable_and_an_empty_one_are_the_same(source, monkeypatch):
    for value in (None, "", "  "):
        monkeypatch.delenv("CXX", raising=False) if value is None else monkeypatch.setenv("CXX", value)
        assert native.library(source).twice(2) == 4


@pytest.mark.slow
@pytest.mark.parametrize("words", ['g++ "x', *(pytest.param(w, marks=pytest.mark.slow) for w in ("no-such", "false"))])
def test_the_command_line_names_the_compiler_that_cannot_work(tmp_path, words):
    command = [
        "train",
        "cifar_resnet8",
        "--recipe",
        "digits-smoke",
        "--engine",
        "fused",
        "--out",
        str(tmp_path / "run"),
    ]
    names = {**os.environ, "CXX": words, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "reslab", *command], env=names, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("reslab: --engine fused: ")
    assert line.endswith("; use --engine auto")
