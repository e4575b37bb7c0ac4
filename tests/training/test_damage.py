"""Damaged records through the real verbs: refused, or said in one line; never another figure in silence."""

import json
import random
import shutil
from pathlib import Path

import pytest

import reslab
from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.nets.names import spec_of
from reslab.runs import runlog
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store import jsonl
from reslab.store.sealed import read_sealed
from reslab.training.job import Job
from reslab.training.loop import train

OLDER = Path(__file__).with_name("format1") / "run"
TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
SHORT = changed(recipe("digits"), {"batch": 16, "iterations": 6, "drops": (4,), "save_every": 3, "log_every": 1})


def job(out: Path) -> Job:
    return Job(TINY, "digits", SHORT, 3, out, ComputeOptions("cpu", "fp32", "eager", 1))


def weights(out: Path) -> bytes:
    return (checkpoints.folder_of(out, 6) / checkpoints.WEIGHTS).read_bytes()


def stopped(out: Path) -> Path:
    """A run that was broken off after the checkpoint at iteration 3."""

    def broken(event: dict) -> None:
        if event["kind"] == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(out), digits(), broken)
    return out


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    return stopped(tmp_path_factory.mktemp("half") / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(job(out), digits(), lambda event: None)
    return out


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def resumed(out: Path) -> list[str]:
    """The warnings of a run that goes on."""
    events: list[dict] = []
    assert train(job(out), digits(), events.append).finished
    return [e["text"] for e in events if e["kind"] == "warning"]


def test_a_resume_says_how_many_lines_are_missing(half, whole, tmp_path):
    """Cut to each number of lines; the weights are whole, and the next reader of the record hears of the hole."""
    kept = (half / runlog.METRICS).read_bytes().splitlines(keepends=True)
    count = jsonl.Tail.from_dict(checkpoints.find(half).facts["metrics"]).lines
    assert count == len(kept)
    for length in range(count + 1):
        out = copied(half, tmp_path / str(length))
        (out / runlog.METRICS).write_bytes(b"".join(kept[:length]))
        before = runlog.read(out)
        warnings = resumed(out)
        assert weights(out) == weights(whole)
        if length == count:
            assert (before.problems, warnings) == ((), [])
            continue
        assert f"{count - length} of the {count} lines" in warnings[0]
        assert f"{count - length} of the {count} lines of metrics.jsonl at iteration 3" in before.problems[0]
        after = runlog.read(out)
        assert [m["text"] for m in after.metrics if m["kind"] == "warning"] == warnings
        assert after.problems == (f"{out}: {count - length} lines of metrics.jsonl before iteration 3 were lost",)


def test_what_was_measured_at_the_end_is_measured_again(whole, tmp_path):
    """The final weights are there: a cut through the last lines costs nothing that they can tell."""
    lines = (whole / runlog.METRICS).read_bytes().splitlines(keepends=True)
    finals = [runlog.read(whole).final(split) for split in ("train", "test")]
    for length in range(len(lines) - 4, len(lines)):
        out = copied(whole, tmp_path / str(length))
        (out / runlog.METRICS).write_bytes(b"".join(lines[:length]))
        resumed(out)
        found = runlog.read(out)
        assert [found.final(split) for split in ("train", "test")] == finals
        assert len(found.evaluations("test")) == len(runlog.read(whole).evaluations("test"))
        assert weights(out) == weights(whole)


def test_a_damaged_key_is_said_and_the_run_goes_on(half, whole, tmp_path):
    """It was a KeyError."""
    out = copied(half, tmp_path / "run")
    metrics = out / runlog.METRICS
    metrics.write_bytes(metrics.read_bytes().replace(b'"iteration"', b'"itfration"', 1))
    assert "1 of the" in resumed(out)[0]
    assert weights(out) == weights(whole)


def test_the_end_that_was_cut_off_is_said(whole, tmp_path):
    """A finished run without its last line would not count, and nobody would hear why."""
    out = copied(whole, tmp_path / "run")
    metrics = out / runlog.METRICS
    lines = metrics.read_bytes().splitlines(keepends=True)
    assert (runlog.read(out).problems, runlog.read(out).finished) == ((), True)
    metrics.write_bytes(b"".join(lines[:-1]))
    found = runlog.read(out)
    assert not found.finished
    assert "the last line of metrics.jsonl is missing; run the command" in found.problems[0]
    metrics.write_bytes(b"".join(lines[:-2]))  # the scores come after the last checkpoint, too
    assert "the last line of metrics.jsonl is missing; run the command" in runlog.read(out).problems[0]
    metrics.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert runlog.read(out).problems == (f"{out}: 1 lines of metrics.jsonl are missing",)
    metrics.write_bytes(b"".join(lines).replace(b'"top1_error": ', b'"top1_error": 1', 1))
    assert runlog.read(out).problems == (f"{out}: 1 damaged lines of metrics.jsonl are left out",)


def test_200_flipped_bits_of_run_json(half, tmp_path):
    """On the code before, 37 of 200 were accepted with another value."""
    out = copied(half, tmp_path / "run")
    file, draw, silent, told = out / runlog.RUN, random.Random(2), [], []
    good, record = file.read_bytes(), read_sealed(out / runlog.RUN)
    for _ in range(200):
        raw, at = bytearray(good), draw.randrange(len(good))
        raw[at] ^= 1 << draw.randrange(8)
        file.write_bytes(raw)
        try:
            if runlog.read(out).run != record:
                silent.append(at)
        except UserError as error:
            told.append(str(error))
    assert silent == []
    assert len(told) > 150
    assert all(str(file) in text and "\n" not in text for text in told)


def test_a_run_of_the_first_format_goes_on_and_is_sealed(half, whole, tmp_path):
    """As it was written before: no hashes. It is taken up with a warning, and whole afterwards."""
    out = copied(half, tmp_path / "run")
    record = json.loads((out / runlog.RUN).read_text())
    del record["sha256"]
    (out / runlog.RUN).write_text(json.dumps({**record, "format": 1}))
    lines = [{k: v for k, v in line.items() if k != "check"} for line in jsonl.read(out / runlog.METRICS).records]
    (out / runlog.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not runlog.read(out).checked
    assert "begun by an older reslab, without checksums" in resumed(out)[0]
    found = runlog.read(out)
    assert (found.checked, found.problems, found.run["format"]) == (True, (), 2)
    assert list(found.metrics[: len(lines)]) == lines
    assert weights(out) == weights(whole)


def test_a_run_that_an_older_reslab_began_goes_on(whole, tmp_path):
    """Written by commit d95dce7: `job` as here, killed after the checkpoint at iteration 3. Kept for good.

    There it ended as it ends here; on another processor the first three updates may have come out otherwise.
    """
    out = copied(OLDER, tmp_path / "run")
    assert not runlog.read(out).checked
    warnings = resumed(out)
    assert any("begun by an older reslab, without checksums" in text for text in warnings)
    found = runlog.read(out)
    assert (found.finished, found.checked, found.problems) == (True, True, ())
    begun = (found.run["environment"][key] for key in ("cpu", "torch", "numpy"))
    here = (runlog.read(whole).run["environment"][key] for key in ("cpu", "torch", "numpy"))
    if [*begun] == [*here]:
        assert weights(out) == weights(whole)


def hostile(half: Path, out: Path, change) -> Path:
    """A checkpoint whose facts are changed, and whose manifest says that all is well."""
    run = copied(half, out)
    folder = checkpoints.folder_of(run, 3)
    facts = json.loads((folder / runlog.FACTS).read_text())
    change(facts)
    (folder / runlog.FACTS).write_text(json.dumps(facts))
    manifest = json.loads((folder / "manifest.json").read_text())
    from reslab.store.files import sha256

    manifest["sha256"][runlog.FACTS] = sha256(folder / runlog.FACTS)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return run


ODD = [None, [], {}, "x", -1, 1.5, 10**30, True, float("nan"), [[]], {"a": {}}]
ALLOWED = {"rate": [None, 1.5, 10**30], "warming": [True], "measured": [True], "seed": [-1], "recipe": [{}]}


@pytest.mark.parametrize(
    "key", ["iteration", "spec", "classes", "data", "recipe", "seed", "rate", "warming", "measured"]
)
def test_hostile_facts_are_refused_in_one_line(half, tmp_path, key):
    """Every field with everything that it cannot be, and missing: by `evaluate`, and by the run that would go on."""
    for number, value in enumerate([*ODD, "missing"]):
        if any(type(value) is type(v) and value == v for v in ALLOWED.get(key, [])):
            continue

        def change(facts: dict, value: object = value) -> None:
            if value == "missing":
                del facts[key]
            else:
                facts[key] = value

        run = hostile(half, tmp_path / str(number), change)
        resume = lambda run=run: train(job(run), digits(), lambda event: None)  # noqa: E731
        for ask in (lambda run=run: reslab.evaluate(run), resume):
            with pytest.raises(UserError) as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert str(run) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("widths", [10**6, 10**6, 10**6]), ("classes", 10**9), ("depth", 10**12), ("image_size", 10**9),
        ("in_channels", 10**9), ("blocks", [["basic"] * (2 * 10**4)] * 3), ("dropout", "x"), ("residual", None),
    ],
)  # fmt: skip
def test_a_hostile_spec_takes_no_memory(half, tmp_path, key, value):
    run = hostile(half, tmp_path / "run", lambda facts: facts["spec"].update({key: value}))
    with pytest.raises(UserError) as caught:
        reslab.evaluate(run)
    assert "\n" not in str(caught.value)
