"""Compiled libraries under attack and damage: planted, cut, flipped, killed while written, on a full disk, at once.

Every case runs in processes of its own, so that a crash or a planted library can be seen.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reslab.store import native
from reslab.store.files import ASIDE

ROOT = Path(native.__file__).parents[2]
CROPS = ROOT / "reslab" / "data" / "batches" / "crops.cpp"
CROPS_FLAGS = ("-O3", "-march=native", "-ffp-contract=off")
TWICE = 'extern "C" int twice(int x) { return 2 * x; }\n'
EVIL = """
#include <cstdio>
#include <cstdlib>
__attribute__((constructor)) static void run() { fclose(fopen(getenv("CANARY"), "w")); }
extern "C" int twice(int x) { return -x; }
"""
LOAD = "from pathlib import Path; from reslab.store import native; print(native.library(Path({!r})).twice(21))"
NOBODY = 65534

pytestmark = pytest.mark.skipif(
    native.compiler() is None or os.name != "posix", reason="no C++ compiler, or no owners of files"
)
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can make another user's files")


@pytest.fixture
def source(tmp_path) -> Path:
    file = tmp_path / "twice.cpp"
    file.write_text(TWICE)
    return file


def run(code: str, home: Path, **names: str) -> subprocess.CompletedProcess[str]:
    """`code` in a fresh process, with its cache in `home`."""
    every = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home), "CANARY": str(home) + ".ran", **names}
    return subprocess.run([sys.executable, "-c", code], env=every, cwd=ROOT, capture_output=True, text=True)


def libraries(home: Path) -> list[Path]:
    return sorted((home / "reslab").iterdir())


# -- planted


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> bytes:
    """A library that, once it is loaded, leaves a file where $CANARY says."""
    work = tmp_path_factory.mktemp("evil")
    (work / "evil.cpp").write_text(EVIL)
    subprocess.run(
        ["g++" if shutil.which("g++") else "clang++", "-shared", "-fPIC", "evil.cpp", "-o", "evil.so"],
        cwd=work,
        check=True,
    )
    return (work / "evil.so").read_bytes()


def own(path: Path, owner: int) -> None:
    os.lchown(path, owner, owner)


def open_folder(home: Path) -> None:
    (home / "reslab").chmod(0o777)


def group_folder(home: Path) -> None:
    (home / "reslab").chmod(0o775)


def open_above(home: Path) -> None:
    home.chmod(0o777)


def their_folder(home: Path) -> None:
    own(home / "reslab", NOBODY)


def their_home(home: Path) -> None:
    own(home, NOBODY)


def link_to_their_folder(home: Path) -> None:
    (home / "reslab").rename(home / "theirs")
    (home / "reslab").symlink_to("theirs")
    own(home / "theirs", NOBODY)


def link_through_open_folder(home: Path) -> None:
    (home / "open").mkdir()
    (home / "reslab").rename(home / "open" / "reslab")
    (home / "reslab").symlink_to(home / "open" / "reslab")
    (home / "open").chmod(0o777)


def their_link_in_sticky_folder(home: Path) -> None:
    (home / "reslab").rename(home / "real")
    (home / "reslab").symlink_to("real")
    own(home / "reslab", NOBODY)
    home.chmod(0o1777)


def their_file(home: Path) -> None:
    for file in libraries(home):
        own(file, NOBODY)


def open_file(home: Path) -> None:
    for file in libraries(home):
        file.chmod(0o666)


def link_for_file(home: Path) -> None:
    for file in libraries(home):
        file.rename(home / file.name)
        file.symlink_to(home / file.name)


ANYONE = (open_folder, group_folder, open_above, link_through_open_folder)
AS_ROOT = (their_folder, their_home, link_to_their_folder, their_link_in_sticky_folder)
FILES = (open_file, link_for_file, their_file)
NEEDS_ROOT = (*AS_ROOT, their_file)
OFTEN = (open_folder, link_through_open_folder, their_home, open_file, link_for_file)  # the others are slow tests


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(a, marks=[*([as_root] if a in NEEDS_ROOT else []), *([] if a in OFTEN else [pytest.mark.slow])])
        for a in (*ANYONE, *AS_ROOT, *FILES)
    ],
)
def test_a_planted_library_never_runs(source, evil, tmp_path, arrange):
    """Under the very name that is looked for, with the hash of the planted content as the record in its name."""
    clean, home = tmp_path / "clean", tmp_path / "home"
    code = LOAD.format(str(source))
    assert run(code, clean).stdout == "42\n"
    (home / "reslab").mkdir(parents=True)
    for file in libraries(clean):
        name = re.sub(r"[0-9a-f]{64}", hashlib.sha256(evil).hexdigest(), file.name)
        (home / "reslab" / name).write_bytes(evil)
        (home / "reslab" / name).chmod(0o755)
    canary = Path(f"{home}.ran")
    check = f"import ctypes; ctypes.CDLL({str(libraries(home)[0])!r})"
    assert run(check, home).returncode == 0
    assert canary.exists()  # the planted library does run if it is loaded
    canary.unlink()
    arrange(home)
    done = run(code, home)
    assert not canary.exists()
    assert done.stdout == "42\n", done.stderr
    if arrange in FILES:  # the folder is private, so what cannot be trusted there is replaced
        assert [file.read_bytes() for file in libraries(home)] == [file.read_bytes() for file in libraries(clean)]
        assert all(file.is_file() and not file.is_symlink() for file in libraries(home))
        return
    assert [file.read_bytes() for file in libraries(home)] == [evil]  # and nothing is written there either
    done = run(f"{code}; print(native.uncached_reason(Path({str(source)!r})))", home)
    reason = done.stdout.splitlines()[1]
    assert re.fullmatch(
        rf"{home}[/a-z]* (is writable by (others|its group)|belongs to another user), "
        rf"so kernels are compiled for this process alone: (chmod go-w {home}[/a-z]*|set XDG_CACHE_HOME .*)",
        reason,
    )


def test_a_folder_for_compiling_that_others_can_write_is_not_used(source, tmp_path):
    """Neither for the library nor, as $TMPDIR of the compiler, for what the compiler itself writes and reads again."""
    work = tmp_path / "open"
    work.mkdir()
    work.chmod(0o777)
    spy = tmp_path / "spy.sh"
    spy.write_text(f'#!/bin/sh\necho "$TMPDIR" >> {tmp_path}/places\nexec g++ "$@"\n')
    spy.chmod(0o755)
    assert run(LOAD.format(str(source)), tmp_path / "home", TMPDIR=str(work), CXX=str(spy)).stdout == "42\n"
    compiled_in = Path((tmp_path / "places").read_text().splitlines()[-1])
    assert work not in compiled_in.parents
    assert not compiled_in.exists()
    assert [*work.iterdir()] == []


# -- damaged


CROP = f"""
import ctypes, numpy as np
from pathlib import Path
from reslab.store import native
crop = native.library(Path({str(CROPS)!r}), *{CROPS_FLAGS!r}).crop
P, N = ctypes.c_void_p, ctypes.c_long
crop.argtypes, crop.restype = (*(P,) * 7, *(N,) * 4, P, P), None
draw = np.random.default_rng(0)
n, h, w, c = 8, 9, 7, 3
arrays = [draw.integers(0, 256, (n, h, w, c)).astype(np.uint8), draw.random((h, w, c), np.float32),
          draw.random((w, c), np.float32) + 1, draw.permutation(n), draw.integers(-2, 3, n), draw.integers(-2, 3, n),
          draw.integers(0, 2, n).astype(np.uint8)]
out, work = np.zeros((n, h, w, c), np.float32), np.zeros((w, c), np.float32)
crop(*(a.ctypes.data for a in arrays), n, h, w, c, out.ctypes.data, work.ctypes.data)
print(out.tobytes().hex())
"""


def code_of(library: bytes) -> range:
    """The bytes of the section .text of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names = struct.unpack_from("<HHH", library, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", library, table + row * size) for row in range(count)]
    for name, _, _, _, offset, length in sections:
        start = sections[names][4] + name
        if library[start : library.index(b"\0", start)] == b".text":
            return range(offset, offset + length)
    raise AssertionError("no .text")


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")
@pytest.mark.parametrize(("cuts", "flips"), [(16, 24)])
@pytest.mark.slow
def test_a_damaged_library_is_compiled_again_and_no_bit_of_a_result_changes(tmp_path, cuts, flips):
    home = tmp_path / "home"
    first = run(CROP, home)
    assert first.returncode == 0, first.stderr
    (file,) = libraries(home)
    whole = file.read_bytes()
    damaged = [whole[: len(whole) * part // cuts] for part in range(cuts)]
    draw = random.Random(0)
    for _ in range(flips):
        content = bytearray(whole)
        content[draw.choice(code_of(whole))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(content))
    outcomes = []
    for content in damaged:
        file.write_bytes(content)
        done = run(CROP, home)
        outcomes.append((done.returncode, done.stdout == first.stdout, file.read_bytes() == whole))
    assert outcomes == [(0, True, True)] * (cuts + flips)
    assert libraries(home) == [file]


# -- interrupted, full, at once


def test_folders_are_0700_and_files_0600_under_any_umask(source, tmp_path):
    home = tmp_path / "a" / "home"
    assert run(f"import os; os.umask(0)\n{LOAD.format(str(source))}", home).stdout == "42\n"
    for folder in (home.parent, home, home / "reslab"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in libraries(home)] == [0o600]


@pytest.mark.parametrize("instant", ["fsync", "replace"])
def test_killed_while_the_library_is_published(source, tmp_path, instant):
    """SIGKILL before the content is on the disk, and before it has its name; the next start publishes it."""
    home, work, code = tmp_path / "home", tmp_path / "work", LOAD.format(str(source))
    work.mkdir()
    kill = f"import os; os.{instant} = lambda *_: os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    assert run(kill + code, home, TMPDIR=str(work)).returncode == -signal.SIGKILL
    (orphan,) = libraries(home)
    assert orphan.name.startswith(ASIDE)
    assert run(code, home).stdout == "42\n"
    assert len(libraries(home)) == 2
    (published,) = set(libraries(home)) - {orphan}
    hour_ago = time.time() - native.ABANDONED - 1
    os.utime(orphan, (hour_ago, hour_ago))
    published.unlink()
    assert run(code, home).stdout == "42\n"
    assert libraries(home) == [published]  # the orphan of an hour ago is swept


def test_each_state_that_a_kill_or_a_fault_can_leave_loads_the_right_library(source, tmp_path):
    home, code = tmp_path / "home", LOAD.format(str(source))
    assert run(code, home).stdout == "42\n"
    (file,) = libraries(home)
    whole, other = file.read_bytes(), file.with_name(file.name.replace(file.name[-67:-3], "0" * 64))
    for name, content in ((file, b""), (other, whole), (other, b""), (file, whole[:-1])):
        for old in libraries(home):
            old.unlink()
        name.write_bytes(content)
        name.chmod(0o600)
        assert run(code, home).stdout == "42\n"
        assert [(f, f.read_bytes()) for f in libraries(home)] == [(file, whole)]


def test_a_full_disk_leaves_nothing_and_the_library_works(source, tmp_path):
    """A limit on the size of files stands for the full disk; the compiler, a process of its own, lifts it again."""
    home = tmp_path / "home"
    compiler = tmp_path / "compiler.sh"
    compiler.write_text('#!/bin/sh\nulimit -S -f unlimited\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
    code = f"{limit}{LOAD.format(str(source))}; print(native.uncached_reason(Path({str(source)!r})))"
    done = run(code, home, CXX=str(compiler))
    assert done.stdout.splitlines() == [
        "42",
        f"{home}/reslab cannot be used (File too large), so kernels are compiled for this process alone: "
        "set XDG_CACHE_HOME to a folder of your own",
    ], done.stderr
    assert libraries(home) == []


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_processes_that_compile_at_once_all_get_the_library(source, tmp_path, rounds):
    code = LOAD.format(str(source))
    for number in range(rounds):
        home = tmp_path / f"home{number}"
        every = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home)}
        running = [
            subprocess.Popen([sys.executable, "-c", code], env=every, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        assert [process.communicate()[0] for process in running] == ["42\n"] * 3
        assert len(libraries(home)) == 1
        assert run(code, home).stdout == "42\n"
