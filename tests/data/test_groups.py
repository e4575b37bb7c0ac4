"""`--group`: no group is on both sides of a cut, the share is met within a group, and a cut without it is as before."""

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reslab
from reslab.cli.main import main
from reslab.data.check.finding import CLIP
from reslab.data.sets.filelist import filelist
from reslab.data.sets.folder import folder
from reslab.data.sets.groups import Groups, check_group
from reslab.data.sets.indexing import held_out
from reslab.errors import UserError
from reslab.show.notes import translated

SMALL = {"batch": 8, "iterations": 1, "drops": (), "log_every": 1, "save_every": 1, "eval_every": 1, "clean_every": 1}


def write(root: Path, names) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        draws = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
        Image.fromarray(draws.integers(0, 256, (16, 16, 3), np.uint8)).save(root / name)
    return root


def films(root: Path, lead: str = "") -> Path:
    """Clips of 1 to 9 frames in two classes; both have clips of the same names, of other lengths."""
    draws = np.random.default_rng(0)
    return write(root, [
        f"{lead}{cls}/clip{clip}_{frame:03}.png"
        for cls in ("cat", "dog") for clip in range(10) for frame in range(int(draws.integers(1, 10)))
    ])  # fmt: skip


def by_group(part, group: str) -> dict[tuple[str, str], int]:
    """(class, group) → number of files, of a split of class folders."""
    found = Counter[tuple[str, str]]()
    for path in part.paths:
        cls, name = Path(path).parts[-2:]
        match = re.search(group, name)
        found[cls, match[1] if match else name] += 1
    return found


def old_held_out(names, share):
    """The cut without groups as version 268d12f wrote it."""
    digests = [hashlib.sha256(name).digest() for name in names]
    ranked = sorted(set(digests))
    held = set(ranked[: min(max(round(share * len(ranked)), 1), len(ranked) - 1)])
    return np.array([digest in held for digest in digests], bool)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.8, 0.99])
def test_no_group_is_on_both_sides(tmp_path, share):
    root = films(tmp_path / "films")
    data = folder(root, 16, share, group=r"(clip\d+)_")
    train, val = (by_group(part, r"(clip\d+)_") for part in (data.train, data.val))
    assert not train.keys() & val.keys()
    assert (data.group, data.origin()["group"]) == (r"(clip\d+)_", r"(clip\d+)_")
    for cls in ("cat", "dog"):
        sizes = [count for found in (train, val) for (name, _), count in found.items() if name == cls]
        held = sum(count for (name, _), count in val.items() if name == cls)
        assert abs(held - share * sum(sizes)) <= max(sizes)
        assert {cls} <= {name for name, _ in train} & {name for name, _ in val}
    groups, both = len(train) + len(val), {name for _, name in train} & {name for _, name in val}
    assert rf"--group (clip\d+)_: val has {len(val)} of {groups} groups" in data.notes
    assert [f.count for f in data.findings if f.kind == "both-sides"] == [len(both)] * bool(both)
    assert all(re.search("[가-힣]", translated(note, "ko")) for note in data.notes)
    assert not any(finding.kind == "clips" for finding in data.findings)


@pytest.mark.parametrize("seed", range(40))
def test_random_groups_meet_the_share(seed):
    """Sizes from 1 to 40, some files that match nothing: whole groups, and at most half a group off if both sides
    have other groups."""
    draws = np.random.default_rng(seed)
    names = [f"g{g}-{k}.png" for g in range(draws.integers(2, 12)) for k in range(draws.integers(1, 41))]
    names += [f"single{k}.png" for k in range(draws.integers(0, 5))]
    names, share = [*draws.permutation(names)], float(draws.uniform(0.01, 0.99))
    groups = Groups(r"^(g\d+)")
    held = groups.held_out("x", [f"x/{name}".encode() for name in names], 2, share)
    sides, sizes = defaultdict(set), Counter()
    for name, side in zip(names, held.tolist(), strict=True):
        key = name.split("-")[0]
        sides[key].add(side)
        sizes[key] += 1
    assert all(len(side) == 1 for side in sides.values())
    assert 0 < held.sum() < len(names)
    assert abs(held.sum() - share * len(names)) <= max(sizes.values())
    chosen = {key for key, side in sides.items() if side == {True}}
    if 1 < len(chosen) < len(sizes) - 1:
        assert abs(held.sum() - share * len(names)) <= max(sizes.values()) / 2
    assert sorted(groups.single) == sorted(f"x/{name}" for name in sizes if name.startswith("single"))


def test_the_cut_does_not_depend_on_the_order_of_the_files():
    names = [f"x/g{g}-{k}.png".encode() for g in range(9) for k in range(g + 1)]
    order = np.random.default_rng(0).permutation(len(names))
    plain, mixed = (Groups("(g.)-").held_out("x", files, 2, 0.3) for files in (names, [names[k] for k in order]))
    assert np.array_equal(plain[order], mixed)


@pytest.mark.parametrize(
    ("group", "path", "name"),
    [
        (r"clip\d+", "clip12_003.png", "clip12"), (r"(clip)(\d+)", "clip12_003.png", "clip"),
        (r"clip(\d+)|scan(\d+)", "scan7.png", "7"), (r"(clip\d+)?_", "x_1.png", "_"), (r"^(.+)/", "a/b/1.png", "a/b"),
        (r"clip\d+", "CLIP1.png", None), (CLIP, "run3_cam2_0017.png", "run3_cam2_"), (CLIP, "a/7.jpeg", "a/"),
        (CLIP, "face.jp2", None), ("é(.)", "éa.png", "a"),
    ],
)  # fmt: skip
def test_the_group_of_a_path(group, path, name):
    assert Groups(group).name(path) == name


def test_the_class_folder_is_no_part_of_the_path(tmp_path):
    """Neither its name nor that of the split is searched: each class would be one group of such an expression."""
    root = films(tmp_path / "films", "train/")
    write(root, ["test/cat/a.png"])
    data = folder(root, 16, 0.3, group="^(clip.)")
    assert not by_group(data.train, "^(clip.)").keys() & by_group(data.val, "^(clip.)").keys()
    with pytest.raises(UserError, match=r"all .* images of class 'cat' are one group"):
        folder(root, 16, 0.3, group="(clip)")
    each = folder(root, 16, 0.3, group="train|cat|dog")  # matches no file
    count = len(each.train) + len(each.val)
    assert [finding.count for finding in each.findings if finding.kind == "ungrouped"] == [count]
    deep = write(
        tmp_path / "deep", [f"{c}/{c[0]}{k}/{n}.png" for c in ("cat", "dog") for k in range(5) for n in range(4)]
    )
    parts = folder(deep, 16, 0.2, group=r"^(.+)/").splits()
    assert {split: len(part) for split, part in parts.items()} == {"train": 32, "val": 8}
    assert len({Path(path).parent for path in parts["val"].paths}) == 2


def test_a_class_of_one_image_stays_in_train(tmp_path):
    root = write(films(tmp_path / "films"), ["owl/clip1_001.png"])
    data = folder(root, 16, 0.2, group=r"(clip\d+)_")
    assert Counter(data.classes[label] for label in data.val.labels.tolist()).keys() == {"cat", "dog"}
    assert [f.examples for f in data.findings if f.kind == "missing-class"] == [("owl",)]


def test_a_list_is_cut_like_its_folder(tmp_path):
    root = films(tmp_path / "films")
    rows = [f"films/{file.relative_to(root)},{file.parent.name}" for file in root.rglob("*.png")]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    one, other = (
        folder(root, 16, 0.3, group=r"(clip\d+)_"),
        filelist(tmp_path / "list.csv", 16, 0.3, group=r"(clip\d+)_"),
    )
    assert {*one.val.paths} == {*other.val.paths}
    assert other.origin()["group"] == r"(clip\d+)_"


def test_without_a_group_the_cut_keeps_its_bits(tmp_path):
    """Against the former algorithm, and against the fingerprint that version 268d12f gave these names and sizes."""
    root = tmp_path / "fixed"
    for cls, count in (("cat", 23), ("dog", 11), ("owl", 1)):
        (root / cls).mkdir(parents=True)
        for number in range(count):
            (root / cls / f"clip{number // 4}_{number:03}.ppm").write_bytes(b"P6 1 1 255\n" + bytes([number, 7, 9]))
    data = folder(root, 16, 0.2)
    assert data.fingerprint == "9214f32d1403c6e7cfdce392022113401d63c27003716431edb79a658830f8fc"
    assert "group" not in data.origin()
    draws = np.random.default_rng(0)
    for count in (1, 2, 3, 50):
        names = [f"c/{draws.integers(1000)}.png".encode() for _ in range(count)]
        for share in (0.001, 0.2, 0.5, 0.999):
            assert np.array_equal(held_out(names, share), old_held_out(names, share))


def test_clips_on_both_sides_are_told_and_how_to_keep_them_whole(tmp_path):
    root = films(tmp_path / "films")
    (line,) = [line for line in reslab.check(root, size=16, val_share=0.3).lines() if "frames of a clip" in line]
    example = re.search(r"--group '(.+)'", line)[1]
    assert example == CLIP
    mended = reslab.check(root, size=16, val_share=0.3, group=example)
    assert not any(finding.kind == "clips" for finding in mended.findings)
    data = folder(root, 16, 0.3)
    train, val = (by_group(part, r"(clip\d+)_") for part in (data.train, data.val))
    count = {f.cls: f.count for f in data.findings if f.kind == "clips"}
    for cls in ("cat", "dog"):  # frames of a clip that train has some of, by brute force
        whole = {name: n + val[cls, name] for (other, name), n in train.items() if other == cls}
        assert count[cls] == sum(val[cls, name] for name, n in whole.items() if n >= 3)
    partly = folder(write(root, [f"cat/film{k}_{n:03}.png" for k in range(3) for n in range(9)]), 16, 0.3,
                    group=r"(clip\d+)_")  # fmt: skip
    (found,) = (finding for finding in partly.findings if finding.kind == "clips")
    assert found.cls == "cat"
    assert all("film" in name for name in found.examples)  # those that match were kept together


def test_what_is_refused(tmp_path, capsys):
    root = films(tmp_path / "films")
    words = ["train", "cifar_resnet8", "--data", str(root), "--image-size", "16", "--out", str(tmp_path / "run")]
    for more, line in (
        (["--group", "(clip"], "--group: keeps groups of files whole when --val-share cuts val"),
        (["--group", "(clip", "--val-share", "0.2"], "--group: '(clip' is no regular expression: missing )"),
        (["--group", "(clip)", "--val-share", "0.2"], "are one group ('clip'); give a regular expression that tells"),
    ):
        for verb in (words, [*words, "--dry-run"]):
            assert main([*verb, *more]) == 2
            told = capsys.readouterr().err
            assert line in told
            assert told.count("\n") == 1
    for group, share in (("x", None), ("[", 0.1), ("*", 0.1), ("(?P<a", 0.1)):
        with pytest.raises(UserError):
            check_group(group, share)
    check_group(None, None)
    assert main(["check", str(root), "--group", "x"]) == 2
    assert "--group: keeps groups" in capsys.readouterr().err


def test_a_run_keeps_its_groups(tmp_path):
    """Evaluation cuts as the run did, the command does it again, another expression is another run."""
    root, group = films(tmp_path / "films"), r"(clip\d+)_"
    options = {"data": root, "image_size": 16, "widths": (4, 4, 8), "set": SMALL, "threads": 1, "workers": 0,
               "val_share": 0.3, "out": tmp_path / "run", "tell": lambda event: None}  # fmt: skip
    record = reslab.train("cifar_resnet8", **options, group=group)
    data = record.run["data"]
    assert (data["group"], data["val_share"]) == (group, 0.3)
    assert r"--group '(clip\d+)_'" in record.run["command"]
    (found,) = reslab.evaluate(record.folder, split="val", threads=1, workers=0)
    assert found.scores.n == data["sizes"]["val"] == len(folder(root, 16, 0.3, group=group).val)
    moved = tmp_path / "moved"
    root.rename(moved)
    (again,) = reslab.evaluate(record.folder, moved, split="val", threads=1, workers=0)
    assert again.scores == found.scores
    moved.rename(root)
    assert reslab.train("cifar_resnet8", **options, group=group).finished
    for other, words in ((None, r"group is none here and \(clip"), (r"_(\d+)", r"group is _\(")):
        with pytest.raises(UserError, match=f"holds another run .{words}"):
            reslab.train("cifar_resnet8", **options, group=other)
