"""Claims in words for a terminal: each study with its command, and with what must be said of its data."""

from __future__ import annotations

import shlex
from itertools import takewhile
from pathlib import Path

import pytest
from written_runs import write_run, write_study

from reslab.claims.catalogue import default_setting
from reslab.claims.evidence import read
from reslab.claims.overview import Told, overview
from reslab.show.terminal.verdicts import claim_text, claims_json, claims_text, command, notes_of

NOTE = "82 of 50,000 train and 21 of 10,000 test images are not bit-exact"
KOREAN = "train 이미지 50,000장 중 82장, test 이미지 10,000장 중 21장이 bit 단위로 정확하지 않다"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """Every claim on a study of digits, and on one of CIFAR-10 with a note on its images."""
    root = tmp_path_factory.mktemp("noted")
    digits = write_study(root / "digits", default_setting("digits", 2, (8, 20)))
    cifar = write_study(root / "cifar", default_setting("cifar10:somewhere", 1), notes=[NOTE])
    return {one.claim.id: one for one in overview([read(digits), read(cifar)])}


def block(text: str, id: str) -> list[str]:
    """The lines of a claim in the list, without their indent."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"{id} "))
    return [line.strip() for line in takewhile(lambda line: line.startswith(" "), lines[first + 1 :])]


def test_the_list_says_each_study_s_command_once_below_its_sentence(told):
    text = claims_text(list(told.values()))
    for id in ("C1", "C2", "C8"):
        lines = block(text, id)
        assert [x for x in lines if x.startswith("reslab ")] == [command(j) for j in told[id].judgements]
        assert lines[-1].startswith("reslab reproduce")
        assert len(told[id].judgements) == 2
    for line in text.splitlines():
        if line.strip().startswith("reslab "):
            assert shlex.split(line)[:2] == ["reslab", "reproduce"]  # whole, on one line


def test_what_is_to_be_said_of_the_data_stands_with_the_study_that_has_them(told):
    text = claims_text(list(told.values()))
    lines = block(text, "C1")
    assert [x for x in lines if x.startswith("data: ")] == [f"data: {NOTE}"]
    of_cifar = next(i for i, x in enumerate(lines) if x.startswith("cifar10"))
    assert lines.index(f"data: {NOTE}") > of_cifar
    for found in (claim_text(told["C1"]), claim_text(told["C8"])):
        assert found.count(f"  data: {NOTE}") == 1
    notes = {one["data"]: one["data_notes"] for one in claims_json([told["C1"]])[0]["studies"]}
    assert notes == {"digits": [], "cifar10": [NOTE]}
    (cifar,) = [j for j in told["C1"].judgements if j.evidence.setting.data == "cifar10"]
    assert notes_of(cifar, "ko") == [KOREAN]


def test_a_claim_that_trains_nothing_has_its_study_s_notes_and_one_that_trains_its_own(tmp_path: Path):
    """C6 computes; C1's nets are the twins, of which a run of another net says nothing."""
    folder = write_study(tmp_path / "s", default_setting("cifar10:x", 1))
    write_run(folder / "other", "cifar_resnet26", 0, recipe_of=default_setting("cifar10:x").recipe, notes=[NOTE])
    found = {one.claim.id: one for one in overview([read(folder)])}
    assert notes_of(found["C6"].judgements[0]) == [NOTE]
    assert found["C1"].claim.nets
    assert notes_of(found["C1"].judgements[0]) == []


def test_a_claim_not_run_anywhere_says_how_to_run_it():
    lines = block(claims_text(overview([])), "C1")
    assert lines[-1].startswith("reslab reproduce C1 ")
