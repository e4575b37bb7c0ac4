"""A study's folder read back: what belongs to it, and records that are torn, strange, of another version or recipe."""

import json
import shutil

import pytest
from shelf import DIGITS, Shelf

from reslab.claims.catalogue import catalogue
from reslab.claims.evidence import net, read
from reslab.claims.judging import judge
from reslab.errors import UserError
from reslab.runs.runlog import read as read_run
from reslab.store.checksums import write_checksums

RESNET, C = net("cifar_resnet20"), net("cifar_resnet20", shortcut="C")


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "study")


def test_runs_are_found_by_net_and_seed(shelf):
    shelf.run(RESNET, 0, 1.0)
    shelf.run(C, 0, 2.0)
    shelf.run(C, 3, 3.0)
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [0]
    assert [r.final("train")["top1_error"] for r in found.runs(C).values()] == [2.0, 3.0]
    assert found.setting == DIGITS
    assert found.problems == ()


def test_a_run_of_another_recipe_is_left_out_and_told(shelf):
    recipe = {**DIGITS.recipe.to_dict(), "lr": 0.5}
    out = shelf.run(RESNET, 0, 1.0, recipe=recipe)
    found = shelf.evidence()
    assert found.runs(RESNET) == {}
    assert found.problems == (f"{out}: another recipe than study.json says; it is left out",)


def test_a_field_younger_than_a_record_is_at_its_default(shelf):
    recipe = {k: v for k, v in DIGITS.recipe.to_dict().items() if k != "holdout"}
    shelf.run(RESNET, 0, 1.0, recipe=recipe)
    assert list(shelf.evidence().runs(RESNET)) == [0]


def test_a_seed_outside_the_study_does_not_count(shelf):
    shelf.run(RESNET, 99, 1.0)
    assert shelf.evidence().runs(RESNET) == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 99}', '{"format": 1, "model": "x"}', '{"format": 1}', "\x00\x01", '"text"'],
)
def test_a_run_that_cannot_be_read_is_a_problem_in_one_line(shelf, text):
    out = shelf.run(RESNET, 0, 1.0)
    shelf.run(RESNET, 1, 2.0)
    (out / "run.json").write_text(text)
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [1], "the others stand"
    (told,) = found.problems
    assert str(out) in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "eval", "split": "train"}, {"kind": "eval", "split": "train", "iteration": "x", "top1_error": 3.0},
        {"kind": "eval", "split": "train", "iteration": 400}, {"kind": "probe", "iteration": 400, "residuals": 7},
        {"kind": "probe", "gradients": {}}, {"kind": "train", "loss": 1.0}, {"no": "kind"},
    ],
)  # fmt: skip
def test_a_damaged_line_is_left_out_and_told(shelf, line):
    """Whatever it lacks, every claim is judged on the lines that are whole."""
    out = shelf.run(RESNET, 0, 1.0)
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    found = shelf.evidence()
    assert found.problems == (f"{out}: 1 damaged lines of metrics.jsonl are left out",)
    assert found.runs(RESNET)[0].final("train")["top1_error"] == 1.0
    for claim in catalogue(found.setting):
        judge(claim, found)


def test_a_probe_without_a_part_says_nothing_of_it(shelf):
    shelf.run(RESNET, 0, 1.0, probes=[{"gradients": {"a": 1.0}}, {}])
    found = shelf.evidence()
    assert found.problems == ()
    for claim in catalogue(found.setting):
        judge(claim, found)


def test_runs_of_other_data_are_left_out_and_told(shelf):
    for seed in (0, 1):
        shelf.run(RESNET, seed, 1.0)
    other = {"name": "digits", "source": "digits", "fingerprint": "beef", "notes": []}
    out = shelf.run(RESNET, 2, 9.0, data=other)
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [0, 1]
    assert found.problems == (f"{out}: trained on other data than most runs of this study; it is left out",)


def flipped(path, old: bytes, new: bytes) -> None:
    raw = path.read_bytes()
    assert raw.count(old) >= 1
    path.write_bytes(raw.replace(old, new, 1))


def test_damage_is_said_and_never_counted(shelf):
    """A figure changed by one digit: in a line of metrics, in a measurement, in who the run is."""
    runs = [shelf.run(RESNET, seed, 1.0) for seed in range(3)]
    path = shelf.measured("one", {"a": 1.0}, 0)
    flipped(runs[0] / "metrics.jsonl", b'"top1_error": 5.0', b'"top1_error": 4.0')
    flipped(runs[1] / "run.json", b'"seed": 1', b'"seed": 3')
    flipped(path, b'"a": 1.0', b'"a": 9.0')
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [0, 2]
    assert found.measured == {}
    assert len(found.problems) == 3
    assert found.problems[0] == f"{runs[0]}: 1 damaged lines of metrics.jsonl are left out"
    assert "run.json: damaged (its SHA-256" in found.problems[1]
    assert "one-s0.json: damaged (its SHA-256" in found.problems[2]
    flipped(shelf.folder / "study.json", b'"data": "digits"', b'"data": "digit5"')
    with pytest.raises(UserError, match=r"study\.json: damaged \(its SHA-256"):
        shelf.evidence()


def test_records_of_the_first_format_are_used_and_said_to_be_unchecked(shelf):
    out = shelf.run(RESNET, 0, 1.0)
    shelf.run(RESNET, 1, 1.0)
    record = json.loads((out / "run.json").read_text())
    del record["sha256"]
    (out / "run.json").write_text(json.dumps({**record, "format": 1}))
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [0, 1]
    (told,) = found.problems
    assert "1 records are of the first format, which had no checksums, so they are used unchecked" in told
    write_checksums(shelf.folder.parent)
    assert shelf.evidence().problems == (), "a list of checksums covers them"


def test_a_committed_record_that_changed_or_went_is_said(shelf):
    runs = [shelf.run(RESNET, seed, 1.0) for seed in range(3)]
    write_checksums(shelf.folder.parent)
    assert shelf.evidence().problems == ()
    with (runs[0] / "metrics.jsonl").open("ab") as file:
        file.write(b"\n")
    (runs[1] / "run.json").unlink()
    found = shelf.evidence()
    assert list(found.runs(RESNET)) == [2]
    assert len(found.problems) == 2
    assert "missing, though checksums.json lists it" in found.problems[0]
    assert "metrics.jsonl: damaged (its SHA-256 is not the one in" in found.problems[1]


def test_lost_weights_are_said_but_in_a_copy_without_any(tmp_path):
    """A wheel has the committed records without their checkpoints; a checkout that lost some of them is damaged."""
    root = tmp_path / "checkpoints" / "results"  # a user's own folder may have that name
    root.mkdir(parents=True)
    shelf = Shelf(root / "study")
    runs = [shelf.run(RESNET, seed, 1.0) for seed in range(3)]
    for run in runs:
        weights = run / "checkpoints" / "step-00000400" / "weights.safetensors"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
    write_checksums(root)
    assert shelf.evidence().problems == ()
    shutil.rmtree(runs[0] / "checkpoints")
    (problem,) = shelf.evidence().problems
    assert problem.endswith("weights.safetensors: missing, though checksums.json lists it")
    for run in runs[1:]:
        shutil.rmtree(run / "checkpoints")
    assert shelf.evidence().problems == ()
    (runs[2] / "metrics.jsonl").unlink()
    assert any("metrics.jsonl: missing" in problem for problem in shelf.evidence().problems)


def test_exact_scores_count_before_those_on_the_way(shelf):
    """`summary.json`: the final weights in fp32, which the run itself may have scored in bf16."""
    out = shelf.run(RESNET, 0, 1.0, test=5.0)
    (out / "summary.json").write_text(json.dumps({"command": "…", "test": {"top1_error": 5.5, "n": 10}}))
    record = shelf.evidence().runs(RESNET)[0]
    assert (record.final("test")["top1_error"], record.final("train")["top1_error"]) == (5.5, 1.0)
    (out / "summary.json").write_text("[]")
    assert "summary.json" in shelf.evidence().problems[0]
    shelf.run(RESNET, 1, 1.0, finished=False)
    (out.parent / "run2" / "summary.json").write_text(json.dumps({"test": {"top1_error": 5.5}}))
    assert read_run(out.parent / "run2").final("test") is None, "an unfinished run has no end"


def test_torn_metrics_lose_their_last_line_alone(shelf):
    out = shelf.run(RESNET, 0, 1.0)
    whole = (out / "metrics.jsonl").read_text()
    (out / "metrics.jsonl").write_text(whole[:-20])
    assert shelf.evidence().runs(RESNET) == {}, "without its last line a run has not ended"
    (out / "metrics.jsonl").write_text("")
    assert shelf.evidence().runs(RESNET) == {}
    (out / "metrics.jsonl").write_text(whole)
    assert list(shelf.evidence().runs(RESNET)) == [0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9, "name": "a", "seed": null, "figures": {}}', "null"])
def test_a_measurement_that_cannot_be_read_is_a_problem(shelf, text):
    path = shelf.measured("one", {"a": 1.0}, 0)
    shelf.measured("one", {"a": 2.0}, 1)
    path.write_text(text)
    found = shelf.evidence()
    assert found.measured == {"one": {1: {"a": 2.0}}}
    (told,) = found.problems
    assert str(path) in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3}, {"recipe": {"lr": "fast"}}, {"recipe": None}, {"seeds": None}, {"seeds": ["a"]}, {"depths": 3},
        {"recipe": {"unknown": 1}},
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_read_is_one_line(shelf, change):
    path = shelf.folder / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as caught:
        read(shelf.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_no_study_at_all(shelf, text):
    (shelf.folder / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study\.json"):
        read(shelf.folder)


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(UserError, match="holds no study"):
        read(tmp_path)
