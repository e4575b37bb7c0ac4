"""Which folders and files are trusted: real owners, modes and links, and the way of the system itself as the truth."""

import itertools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reslab.errors import RunError
from reslab.store.files import ASIDE, cache
from reslab.store.trust import distrust, is_trusted, replacing_privately, temporary_folder

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


@pytest.fixture
def place(tmp_path) -> Path:
    """A private folder; `tmp_path` is one if pytest's own folder is."""
    assert distrust(tmp_path) is None
    return tmp_path


def made(folder: Path, mode: int = 0o755, owner: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    if owner is not None:
        os.lchown(folder, owner, owner)
    return folder


def problem(folder: Path, **how) -> str:
    found = distrust(folder, **how)
    return found.problem if found else ""


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o757, 0o777, 0o1777, 0o2775])
def test_modes_of_the_folder_and_of_one_above_it(place, mode):
    folder = made(place / "above" / "own")
    (place / "above").chmod(mode)
    whose = "others" if mode & stat.S_IWOTH else "its group"
    expected = f"{place}/above is writable by {whose}" if mode & 0o022 else ""
    assert problem(place / "above") == expected
    assert problem(place / "above", sticky=True) == ("" if mode & stat.S_ISVTX else expected)
    assert problem(folder) == ("" if mode & stat.S_ISVTX else expected)  # in a sticky folder ours cannot be replaced
    if expected:
        assert distrust(place / "above").remedy == f"chmod go-w {place}/above"


@as_root
def test_owners_of_the_folder_of_one_above_and_of_a_link(place):
    made(place / "theirs" / "own")
    os.chown(place / "theirs", NOBODY, NOBODY)
    line = f"{place}/theirs belongs to another user"
    assert problem(place / "theirs") == problem(place / "theirs" / "own") == line
    made(place / "own")
    sticky = made(place / "sticky", 0o1777)
    for name, owner in (("ours", 0), ("link", NOBODY)):
        (sticky / name).symlink_to(place / "own")
        os.lchown(sticky / name, owner, owner)
    assert problem(sticky / "ours") == ""
    assert problem(sticky / "link") == f"{sticky}/link belongs to another user"


def test_every_folder_that_a_link_leads_through(place):
    """The folder of the link, its target and all above the target; relative and absolute, through "..", twice."""
    made(place / "open" / "own").parent.chmod(0o777)
    made(place / "safe" / "own")
    line = f"{place}/open is writable by others"
    (place / "safe" / "out").symlink_to(place / "open" / "own")
    (place / "safe" / "relative").symlink_to("../open/own")
    (place / "safe" / "twice").symlink_to("relative")
    (place / "open" / "back").symlink_to(place / "safe" / "own")
    for name in ("out", "relative", "twice", "../open/back", "../open/../safe/own"):
        assert problem(place / "safe" / name) == line, name
        assert problem(Path(os.path.realpath(place / "safe" / name))) in ("", line)
    (place / "safe" / "fine").symlink_to("../safe/./own/")
    assert problem(place / "safe" / "fine") == problem(place / "safe" / "fine" / "..") == ""
    (place / "safe" / "loop").symlink_to("loop")
    assert problem(place / "safe" / "loop") == f"{place}/safe/loop cannot be read (Too many levels of symbolic links)"


def test_a_way_is_judged_as_brute_force_judges_it(place):
    """All 243 ways through three folders, each safe, open or sticky and entered by its name or by a link."""
    modes = {"safe": 0o755, "open": 0o777, "sticky": 0o1777}
    for number, kinds in enumerate(itertools.product(modes, ("safe", "open", "link"), modes, ("safe", "link"), modes)):
        top = made(place / str(number))
        here, folders = top, []
        for depth, kind in enumerate(kinds):
            if kind == "link":
                real = made(top / f"real{depth}")
                (here / f"{depth}").symlink_to(real)
                folders += [here, real]
            else:
                made(here / f"{depth}")
            here = here / f"{depth}"
            folders.append(here)
        for folder, kind in zip(
            [top / "/".join(map(str, range(n + 1))) for n in range(len(kinds))], kinds, strict=True
        ):
            if kind != "link":
                folder.chmod(modes[kind])
        way = [folder.stat().st_mode for folder in folders]
        unsafe = any(mode & 0o022 and not mode & stat.S_ISVTX for mode in way) or bool(way[-1] & 0o022)
        assert bool(distrust(here)) == unsafe, kinds
        shutil.rmtree(top)


def test_what_is_missing_is_made_for_the_user_alone(place):
    before = os.umask(0)
    try:
        assert distrust(place / "a" / "b" / "c", create=True) is None
        (place / "link").symlink_to(place / "gone" / "d")
        assert distrust(place / "link", create=True) is None
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/c", "gone", "gone/d"):
        assert stat.S_IMODE((place / folder).stat().st_mode) == 0o700, folder
    made(place / "open", 0o777)
    assert problem(place / "open" / "b" / "c", create=True) == f"{place}/open is writable by others"
    assert [*(place / "open").iterdir()] == []
    (place / "file").touch()
    assert problem(place / "file" / "a", create=True) == f"{place}/file is not a folder"
    assert problem(place / "none") == f"{place}/none cannot be read (No such file or directory)"
    assert problem(Path("/proc/none/a"), create=True).startswith("/proc/none cannot be made (")


def test_a_line_stays_a_line(place):
    folder = made(place / "a\nb\x1b[31m", 0o777)
    found = distrust(folder)
    assert found.problem.isprintable()
    assert found.remedy.isprintable()


def test_files(place):
    file = place / "file"
    file.touch(0o644)
    assert is_trusted(file)
    for mode in (0o664, 0o646):
        file.chmod(mode)
        assert not is_trusted(file)
    file.chmod(0o600)
    (place / "link").symlink_to(file)
    os.mkfifo(place / "fifo", 0o600)
    assert not any(is_trusted(place / name) for name in ("link", "fifo", "none", "."))
    if os.geteuid() == 0:
        os.chown(file, NOBODY, NOBODY)
        assert not is_trusted(file)
        os.chown(file, 0, 0)
    assert is_trusted(file)
    place.chmod(0o777)
    assert not is_trusted(file)


def test_nobody_else_can_have_opened_a_file_that_is_replaced(place):
    seen, before = [], os.umask(0)
    try:
        (place / f"{ASIDE}{os.getpid()}-x").touch(0o666)  # left by a process of this number that was killed
        with replacing_privately(place / "x") as file:
            file.write(b"whole")
            seen += [stat.S_IMODE(entry.stat().st_mode) for entry in place.iterdir()]
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert (place / "x").read_bytes() == b"whole"
    assert stat.S_IMODE((place / "x").stat().st_mode) == 0o600


def test_temporary_folders(place, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(place))
    with temporary_folder() as folder:
        assert folder.parent == place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").touch()
    assert [*place.iterdir()] == []
    place.chmod(0o777)
    monkeypatch.setattr("reslab.store.trust.STANDARD_PLACES", (str(place),))
    with pytest.raises(RunError, match=f"{place} is writable by others.*; set TMPDIR to a folder of your own"):
        temporary_folder().__enter__()
    place.chmod(0o1777)
    with temporary_folder() as folder:
        assert folder.parent == place
    monkeypatch.setenv("TMPDIR", ".")
    monkeypatch.chdir(made(place / "here"))
    with temporary_folder() as folder:
        assert folder.parent == place


HOMES = [
    ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/reslab"),
    ({"XDG_CACHE_HOME": "x", "HOME": "/h"}, "/h/.cache/reslab"),
    ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/reslab"),
    ({"XDG_CACHE_HOME": "~/x", "HOME": "/h"}, "/h/.cache/reslab"),
    ({"HOME": "/"}, "/.cache/reslab"),
    ({"HOME": ""}, "LISTED/.cache/reslab"),
    ({"HOME": "h"}, "LISTED/.cache/reslab"),
    ({"HOME": "~"}, "LISTED/.cache/reslab"),
    ({}, "LISTED/.cache/reslab"),
]


@pytest.mark.parametrize(("names", "expected"), HOMES)
def test_the_cache_has_an_absolute_place(monkeypatch, names, expected):
    import pwd

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert str(cache()) == expected.replace("LISTED", pwd.getpwuid(os.geteuid()).pw_dir)


@as_root
def test_a_user_whom_the_system_does_not_list_has_no_cache_and_nothing_is_written():
    """With HOME unset and uid 12345 the old place was a folder called "~" in the current one."""
    code = (
        "import os\nfrom pathlib import Path\nfrom reslab.data.sources import load\n"
        "from reslab.errors import UserError\nfrom reslab.store import native\nfrom reslab.store.files import cache\n"
        "os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        "print(cache(), native.library(Path('../twice.cpp')).twice(21))\n"
        "try: load('cifar10', download=True)\nexcept UserError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as place:  # others may not enter pytest's own
        os.chmod(place, 0o755)
        (Path(place) / "twice.cpp").write_text('extern "C" int twice(int x) { return 2 * x; }\n')
        here = made(Path(place) / "here", 0o1777)
        unset = ("HOME", "XDG_CACHE_HOME", "RESLAB_CIFAR10", "TMPDIR")
        names = {name: value for name, value in os.environ.items() if name not in unset}
        done = subprocess.run([sys.executable, "-c", code], cwd=here, env=names, capture_output=True, text=True)
        assert done.stdout.splitlines() == [
            "None 42",
            "--download: there is no home folder to keep CIFAR-10 in; set XDG_CACHE_HOME to a folder",
        ], done.stderr
        assert [*here.iterdir()] == []
