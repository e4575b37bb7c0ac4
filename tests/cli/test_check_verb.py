"""`reslab check` through the command line: status, lines, JSON; bad input in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from data.test_check import EXPECTED, photos, spoil


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory) -> Path:
    root = photos(tmp_path_factory.mktemp("check") / "photos")
    spoil(root)
    return root


def test_the_status_says_whether_training_would_go_wrong(warm, tmp_path, spoiled):
    fine = warm("check", photos(tmp_path / "fine"), "--size", "48")
    assert (fine.code, fine.err) == (0, "")
    assert fine.out.startswith(f"{tmp_path / 'fine'}: no fault; train 16, val 6; 2 classes")
    wrong = warm("check", spoiled, "--size", "48")
    assert wrong.code == 1
    assert wrong.err.splitlines()[-1].endswith("8 kinds of faults; training or its score would go wrong")
    levels = [line.split()[0] for line in wrong.out.splitlines()[1:]]
    assert levels == ["fault"] * 8 + ["note"] * (len(EXPECTED) - 8)


def test_json_counts_and_names(warm, spoiled):
    short, whole = (
        json.loads(warm("check", spoiled, "--size", "48", "--json", *more).out) for more in ((), ("--all",))
    )
    counts = dict.fromkeys(EXPECTED, 0)
    for finding in short["findings"]:
        counts[finding["kind"]] += finding["count"]
        assert len(finding["examples"]) <= 3
    assert counts == EXPECTED
    (avif,) = (finding for finding in whole["findings"] if finding["kind"] == "format")
    assert len(avif["examples"]) == avif["count"] == 13
    assert not whole["fine"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere/x",), "no such folder"), (("digits", "--val-share", "0.1"), "only folders and lists are cut"),
        (("digits", "--size", "0"), "--size"), ((), "requires an argument"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(warm, words, message):
    ended = warm("check", *words)
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_training_would_go_wrong_for_another_reason(warm, tmp_path):
    """A class that train lacks: the line that `train` would give, among the findings."""
    root = photos(tmp_path / "photos")
    os.rename(root / "val" / "flower", root / "val" / "flwoer")
    ended = warm("check", root, "--size", "48")
    assert ended.code == 1
    assert "train has no class 'flwoer'; did you mean flower?" in ended.out
