"""Claims in words for a terminal: a list that is one screen, and one claim in full, with data and command."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from written_runs import write_run, write_study

from reslab.claims.catalogue import default_setting
from reslab.claims.evidence import Beginning, read
from reslab.claims.ledger import hashes
from reslab.claims.overview import ClaimSummary, overview
from reslab.claims.rules import FAILS, HOLDS, NOT_RUN, UNDECIDED, VERDICTS
from reslab.show.terminal.verdicts import claim_text, claims_json, claims_text, command, notes_of
from reslab.show.words import VERDICT, wide

NOTE = "82 of 50,000 train and 21 of 10,000 test images are not bit-exact"
KOREAN = "train 이미지 50,000장 중 82장, test 이미지 10,000장 중 21장은 원본과 비트 단위로 같지 않다"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClaimSummary]:
    """Every claim on a study of digits, and on one of CIFAR-10 with a note on its images."""
    root = tmp_path_factory.mktemp("noted")
    digits = write_study(root / "digits", default_setting("digits", 2, (8, 20)))
    cifar = write_study(root / "cifar", default_setting("cifar10:somewhere", 1), notes=[NOTE])
    return {one.claim.id: one for one in overview([read(digits), read(cifar)])}


def test_the_list_is_one_screen(told):
    first, *lines, marked, last = claims_text(list(told.values())).splitlines()
    assert marked == "* exploratory: its runs are older than its rule"
    assert [line.split()[0] for line in lines] == list(told)
    for line, one in zip(lines, told.values(), strict=True):
        assert one.verdict + ("*" if one.is_exploratory else " ") in line
        assert line.endswith(one.claim.text.en)
        assert len(line) <= 104
    verdicts = [one.verdict for one in told.values()]
    assert first == f"{len(told)} claims: " + ", ".join(
        f"{verdict} {verdicts.count(verdict)}" for verdict in VERDICTS if verdict in verdicts
    )
    assert last.endswith("reslab claims C3")


def test_in_korean(told):
    first, *lines, marked, last = claims_text(list(told.values()), "ko").splitlines()
    assert marked.startswith("* 탐색적")
    assert first.startswith(f"주장 {len(told)}개: ")
    assert "--lang ko" in last
    for line, one in zip(lines, told.values(), strict=True):
        assert line.split()[0] == one.claim.id
        assert VERDICT[one.verdict].ko in line
        assert wide(line.removesuffix(one.claim.text.ko)) == 29  # whatever the verdict, sentences begin in one column
    for id in ("C1", "C8", "C25"):
        whole = claim_text(told[id], "ko")
        for english in ("verdict", "figures", "command:", "records:", "bar ", "not recorded", "computed"):
            assert english not in whole, english
        assert told[id].claim.text.en in whole  # beside it
        assert all(
            wide(line) <= 100 for line in whole.splitlines() if "reslab reproduce" not in line and "/" not in line
        )


def test_one_claim_says_each_studys_command_and_what_is_to_be_said_of_its_data(told):
    for id in ("C1", "C2", "C8"):
        assert len(told[id].judgements) == 2
        lines = [line.strip() for line in claim_text(told[id]).splitlines()]
        commands = [line.removeprefix("command: ") for line in lines if line.startswith("command: ")]
        assert commands == [command(j) for j in told[id].judgements]
        assert all(shlex.split(one)[:2] == ["reslab", "reproduce"] for one in commands)  # whole, on one line
        assert lines.count(f"data: {NOTE}") == 1
        of_cifar = next(i for i, line in enumerate(lines) if line.startswith("cifar (cifar10, "))
        assert lines.index(f"data: {NOTE}") > of_cifar
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


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((HOLDS, UNDECIDED), "verdict: holds; decided by cifar"),
        ((UNDECIDED, FAILS), "verdict: does not hold; decided by digits"),
        ((HOLDS, HOLDS), "verdict: holds; decided by cifar, digits"),
        ((HOLDS, FAILS), "verdict: holds with a condition; cifar, digits disagree"),
        ((UNDECIDED, NOT_RUN), "verdict: undecided"),
    ],
)
def test_a_verdict_says_which_studies_decide_it(told, verdicts, said):
    both = [replace(j, verdict=v) for j, v in zip(told["C1"].judgements, verdicts, strict=True)]
    assert [j.evidence.folder.name for j in both] == ["cifar", "digits"]  # real images come first
    lines = claim_text(replace(told["C1"], judgements=tuple(both))).splitlines()
    assert said in lines
    alone = claim_text(replace(told["C1"], judgements=tuple(both[1:])))
    assert "decided by" not in alone
    heading = "digits (digits, 2 seeds, 400 iterations, recipe digits-study): "
    shown = "run in part" if verdicts[1] == NOT_RUN else verdicts[1]
    assert heading + shown in alone


def test_a_verdict_by_runs_older_than_their_rule_is_called_exploratory(told):
    (other, one) = told["C1"].judgements
    began = Beginning("2026-12-01", None, {**hashes(), "C1": "0" * 16})
    older = replace(one, verdict=HOLDS, evidence=replace(one.evidence, beginning=began))
    text = claim_text(replace(told["C1"], judgements=(older, replace(other, verdict=UNDECIDED))))
    assert "verdict: holds; decided by digits (exploratory)" in text
    alone = replace(told["C1"], judgements=(older,))
    assert "verdict: holds (exploratory)\n" in claim_text(alone)
    assert alone.is_exploratory
    assert not replace(told["C1"], judgements=(older, replace(other, verdict=HOLDS))).is_exploratory


def test_a_study_that_measured_only_a_part_is_not_called_not_run(told):
    part = replace(told["C1"].judgements[1], verdict=NOT_RUN)
    assert part.says
    text = claim_text(replace(told["C1"], judgements=(part,)))
    assert "recipe digits-study): run in part" in text


def test_a_claim_not_run_anywhere_says_how_to_run_it():
    (one,) = overview([], ["C1"])
    assert "command: reslab reproduce C1 " in claim_text(one)
