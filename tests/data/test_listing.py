"""Names in one block equal names in a list; a kept index equals a new one, and is left as soon as something changed."""

import dataclasses
import os
import pickle
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reslab.data.paths import Paths
from reslab.data.sets import folder as folders
from reslab.data.sets import listing
from reslab.data.sets.folder import folder
from reslab.data.sets.listing import files_below, is_visible
from reslab.data.splits import Files, hold_out

NAMES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1), max_size=20)


def block(names) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)


@given(NAMES, st.data())
def test_a_block_of_names_equals_their_list(names, source):
    names = [*names, os.fsdecode(b"\xff\xfe.png")]
    paths = Paths("lead/", block(names))
    whole = [f"lead/{name}" for name in names]
    assert list(paths) == whole
    assert paths[-1] == whole[-1]
    assert list(paths[1:3]) == whole[1:3]
    assert [paths.relative(row) for row in range(len(paths))] == [os.fsencode(name) for name in names]
    rows = np.array(source.draw(st.lists(st.integers(0, len(names) - 1))), np.int64)
    chosen = paths.subset(rows)
    assert list(chosen) == [whole[row] for row in rows]
    assert pickle.loads(pickle.dumps(chosen)) == chosen
    assert list(Paths.joined("a/", [paths, chosen])) == ["a/" + path[5:] for path in [*paths, *chosen]]
    assert (chosen == paths) == (list(chosen) == whole)


def slow_below(root: Path) -> list[str]:
    """os.walk, each folder once, each name as a path of its own."""
    found, seen = [], set()
    for where, inner, names in os.walk(root, followlinks=True):
        inner[:] = sorted(filter(is_visible, inner)) if os.path.realpath(where) not in seen else []
        if os.path.realpath(where) not in seen:
            found += [os.path.join(where, name) for name in names if is_visible(name)]
        seen.add(os.path.realpath(where))
    return sorted(found)


def test_below_equals_a_walk(tmp_path):
    for name in (
        "c/b.png", "c/a.png", "c/.hidden", "c/-first", "c/Thumbs.db", "c/thumbs.dbx", "c/d/x", "c/d/.y/z", "c/d.png",
        "c/d/e/f", "c/d-e", "c/__MACOSX/x", "c/0/desktop.ini", "c/개/\udcff.png", "c/empty/.x", "other/1",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for link, to in (("up", ".."), ("loop", "loop"), ("gone", "nowhere"), ("far", "../other"), ("twin", "d")):
        (tmp_path / "c" / link).symlink_to(to)
    watched: dict = {}
    unread: list[str] = []
    found = files_below(f"{tmp_path}/", "c", watched, unread)
    assert list(found) == slow_below(tmp_path / "c")
    assert unread == []
    assert {"c", "c/d", "c/d/e", "c/far", "c/empty"} <= watched.keys()
    assert None not in watched.values()
    assert list(files_below(f"{tmp_path}/", "nowhere", watched, unread)) == []
    assert unread == [f"{tmp_path}/nowhere: cannot be read (No such file or directory)"]


# -- the kept index


@pytest.fixture
def pets(tmp_path, monkeypatch) -> Path:
    """Class folders whose index is kept at once, in a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "MIN_FILES", 1)
    monkeypatch.setattr(listing, "SETTLED", -1e9)
    for name in ("cat/0", "cat/1", "cat/deep/2", "dog/0", "dog/1", "dog/2"):
        picture(tmp_path / "pets" / f"{name}.png")
    return tmp_path / "pets"


def picture(file: Path, side: int = 4) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (side, 0, len(file.name))).save(file)


def same(a, b) -> bool:
    """Two `Data`, field by field, split by split."""
    parts = [(getattr(a, room), getattr(b, room)) for room in ("train", "val", "test")]
    fields = [f.name for f in dataclasses.fields(a) if f.name not in ("train", "val", "test")]
    return all(getattr(a, name) == getattr(b, name) for name in fields) and all(
        (p is None and q is None) or (list(p.paths) == list(q.paths) and p.labels.tolist() == q.labels.tolist())
        for p, q in parts
    )


def opened(monkeypatch, root: Path, **options):
    """(data, whether it came from a kept index); it equals what is found without one."""
    made = []
    index = folders._index
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_index", lambda *words: made.append(words) or index(*words))
        data = folder(root, 32, 0.4, **options)
        with patch.context() as without:
            without.setattr(listing, "load_index", lambda *_: None)
            without.setattr(listing, "save_index", lambda *_: None)
            fresh = folder(root, 32, 0.4, **options)
    assert same(data, fresh)
    return data, len(made) == 1


def test_a_kept_index_equals_a_new_one(pets, monkeypatch):
    first, was_kept = opened(monkeypatch, pets)
    assert not was_kept
    data, was_kept = opened(monkeypatch, pets)
    assert was_kept
    assert same(first, data)
    assert isinstance(data.train, Files)
    assert pickle.loads(pickle.dumps(data.train)).paths == data.train.paths
    held = hold_out(dataclasses.replace(data, val=None), 2)
    assert sorted([*held.train.paths, *held.val.paths]) == sorted(data.train.paths)
    assert folder(pets, 64, 0.4).train.size == 64  # the size is not the index's
    monkeypatch.chdir(pets.parent)
    assert not opened(monkeypatch, Path("pets"))[1]  # the same folder by another name has other paths


CHANGES = {
    "a new image": lambda root: picture(root / "cat" / "new.png"),
    "a new image, deeper": lambda root: picture(root / "cat" / "deep" / "new.png"),
    "one less": lambda root: (root / "dog" / "0.png").unlink(),
    "another name": lambda root: (root / "dog" / "0.png").rename(root / "dog" / "3.png"),
    "moved to another class": lambda root: (root / "dog" / "0.png").rename(root / "cat" / "3.png"),
    "a new class": lambda root: picture(root / "eel" / "0.png"),
    "a class less": lambda root: [(root / "cat").rename(root / ".cat"), picture(root / "bat" / "0.png")],
    "a link to other files": lambda root: [
        (root / "dog" / "more").unlink(), (root / "dog" / "more").symlink_to(root.parent / "second")
    ],
    "a file behind a link": lambda root: picture(root.parent / "first" / "new.png"),
    "written over by another size": lambda root: picture(root / "dog" / "1.png", side=90),
    "a new file put in its place": lambda root: [
        picture(root.parent / "other.png", side=90), (root.parent / "other.png").replace(root / "dog" / "1.png")
    ],
    "a bad file made good": lambda root: picture(root / "dog" / "bad.png"),
    "the times of a folder alone": lambda root: os.utime(root / "cat", (1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(pets, monkeypatch, change):
    """In a sample that is the whole, also what is written over."""
    picture(pets.parent / "first" / "x.png")
    picture(pets.parent / "second" / "y.png")
    (pets / "dog" / "more").symlink_to(pets.parent / "first")
    (pets / "dog" / "bad.png").write_bytes(b"no image")
    monkeypatch.setattr(listing, "sampled", lambda n: np.arange(n))
    assert not opened(monkeypatch, pets, bad_images="skip")[1]
    assert opened(monkeypatch, pets, bad_images="skip")[1]
    CHANGES[change](pets)
    assert not opened(monkeypatch, pets, bad_images="skip")[1]
    assert opened(monkeypatch, pets, bad_images="skip")[1]


def test_options_have_an_index_each(pets, monkeypatch):
    (pets / "dog" / "bad.png").write_bytes(b"no image")
    opened(monkeypatch, pets, bad_images="skip")
    with pytest.raises(folders.UserError, match="bad files: 1"):
        folder(pets, 32, 0.4)
    assert folder(pets, 32, 0.5, bad_images="skip").notes != folder(pets, 32, 0.2, bad_images="skip").notes


@pytest.mark.parametrize("damage", [b"", b"\0" * 8, b"x" * 100, b"\xff" * 8])
def test_a_torn_index_is_made_again(pets, monkeypatch, tmp_path, damage):
    opened(monkeypatch, pets)
    (file,) = (tmp_path / "cache" / "reslab").glob("folder-*.index")
    whole = file.read_bytes()
    for torn in (damage, damage + whole[len(damage) :], whole[: len(whole) // 2], whole[:-1]):
        if torn != whole:
            file.write_bytes(torn)
            assert not opened(monkeypatch, pets)[1]
            assert opened(monkeypatch, pets)[1]


def test_nothing_is_kept_of_few_files_a_changing_folder_or_without_a_cache(pets, monkeypatch, tmp_path):
    place = tmp_path / "cache" / "reslab"
    with monkeypatch.context() as patch:
        patch.setattr(listing, "MIN_FILES", 7)
        opened(patch, pets)
        patch.setattr(listing, "MIN_FILES", 6)
        patch.setattr(listing, "SETTLED", 3600)
        opened(patch, pets)
    assert not place.exists()
    place.parent.mkdir()
    place.write_text("a file stands where the cache should be")
    assert not opened(monkeypatch, pets)[1]
    assert not opened(monkeypatch, pets)[1]


def open_folder(file: Path) -> None:
    file.parent.chmod(0o777)


def link_to_open_folder(file: Path) -> None:
    place = file.parent
    place.rename(place.with_name("open"))
    place.symlink_to("open")
    place.chmod(0o777)


def open_file(file: Path) -> None:
    file.chmod(0o666)


def their_file(file: Path) -> None:
    os.chown(file, 65534, 65534)


def their_folder(file: Path) -> None:
    os.chown(file.parent, 65534, 65534)


def test_a_damaged_index_is_made_anew(pets, monkeypatch, tmp_path):
    """100 flipped bits and cuts at every sixteenth: other names would be other images, or none."""
    names = opened(monkeypatch, pets)[0].train.paths[:]
    (file,) = (tmp_path / "cache" / "reslab").glob("folder-*.index")
    whole, draw = file.read_bytes(), random.Random(4)
    for number in range(116):
        raw = bytearray(whole)
        if number < 100:
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        file.write_bytes(raw if number < 100 else raw[: len(raw) * (number - 100) // 16])
        data, was_kept = opened(monkeypatch, pets)
        assert not was_kept
        assert list(data.train.paths) == list(names)


@pytest.mark.parametrize("arrange", [open_folder, link_to_open_folder, open_file, their_file, their_folder])
def test_an_index_that_another_user_may_have_written_is_not_read(pets, monkeypatch, tmp_path, arrange):
    """It could swap the classes of all images; in a folder that others can write none is written either."""
    if arrange.__name__.startswith("their") and os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    opened(monkeypatch, pets)
    (file,) = (tmp_path / "cache" / "reslab").glob("folder-*.index")
    planted = file.read_bytes()[:-4].replace(b'["cat", "dog"]', b'["dog", "cat"]')
    planted += zlib.crc32(planted).to_bytes(4, "little")
    file.write_bytes(planted)
    assert folder(pets, 32, 0.4).classes == ("dog", "cat")  # from a private place it is believed
    arrange(file)
    data, was_kept = opened(monkeypatch, pets)
    assert (was_kept, data.classes) == (False, ("cat", "dog"))
    if arrange in (open_file, their_file):  # the folder is private: the file is replaced
        assert file.read_bytes() != planted
        assert opened(monkeypatch, pets)[1]
    else:
        assert file.read_bytes() == planted
        file.unlink()
        opened(monkeypatch, pets)
        assert [*file.parent.iterdir()] == []


def test_without_a_home_the_index_is_not_kept(pets, monkeypatch, tmp_path):
    monkeypatch.setattr(listing, "cache", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert not opened(monkeypatch, pets)[1]
    assert not opened(monkeypatch, pets)[1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["pets"]
