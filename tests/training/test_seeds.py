"""Several seeds: real runs that are killed and resumed, their bits and their interval held against scipy's."""

import hashlib
import json
import math
import re
import shutil
import signal
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from cases import some
from processes import Ended, Trainings
from scipy import stats

import reslab
from reslab.errors import UserError
from reslab.runs import runlog
from reslab.store import jsonl

LENGTH = ["--iterations", "30", "--set", "save_every=5", "--set", "log_every=1", "--set", "holdout=200"]
BASE = ["train", "cifar_resnet8", "--data", "digits", "--recipe", "digits-smoke", "--threads", "1", *LENGTH]
SHORT = {"recipe": "digits-smoke", "iterations": 4, "threads": 1, "tell": lambda event: None}


TRAININGS = Trainings(*BASE)
start, done = TRAININGS.start, TRAININGS.finish


def hashes(run: Path) -> dict[str, str]:
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in last.glob("*.safetensors")}


def last_error(run: Path, split: str) -> float:
    """The error at the end, from the bare lines of the record."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [m["top1_error"] for m in lines if m["kind"] == "eval" and m["split"] == split][-1]


def reached(run: Path, k: int):
    return lambda: any(m.get("iteration", 0) >= k for m in jsonl.read(run / "metrics.jsonl").records)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> tuple[Path, Ended]:
    out = tmp_path_factory.mktemp("three") / "net"
    return out, done(out, "--seeds", "3", "--seed", "4")


@pytest.mark.slow
def test_each_run_is_that_of_its_seed_alone(three, tmp_path):
    out, _ = three
    assert sorted(p.name for p in out.iterdir()) == ["s4", "s5", "s6"]
    assert len({str(hashes(out / f"s{seed}")) for seed in (4, 5, 6)}) == 3
    for seed in (4, 6):
        alone = tmp_path / str(seed)
        done(alone, "--seed", str(seed))
        assert hashes(alone) == hashes(out / f"s{seed}")


def test_the_table_has_mean_and_interval(three):
    """Against scipy's own Student interval of the errors in the records."""
    out, ended = three
    rows = [re.split(r"  +", line.strip()) for line in ended.out.splitlines()]
    assert rows[0] == ["seed", "val error", "test error", "folder"]
    errors = {split: [last_error(out / f"s{seed}", split) for seed in (4, 5, 6)] for split in ("val", "test")}
    for row, seed, *found in zip(rows[1:4], (4, 5, 6), errors["val"], errors["test"], strict=True):
        assert row == [str(seed), *(f"{error:.2f} %" for error in found), str(out / f"s{seed}")]
    assert rows[4] == ["mean", *(f"{mean(values):.2f} %" for values in errors.values()), "n = 3"]
    ends = [stats.t.interval(0.95, 2, loc=np.mean(v), scale=stats.sem(v)) for v in errors.values()]
    assert rows[5][:3] == ["95 %", *(f"{low:.2f} to {high:.2f}" for low, high in ends)]
    assert len(rows) == 6
    assert [f"run {k} of 3: seed {k + 3}" in ended.err for k in (1, 2, 3)] == [True] * 3


def test_the_recorded_command_trains_the_run_alone(three, tmp_path):
    out, _ = three
    words = json.loads((out / "s5" / "run.json").read_text())["command"].split()
    assert words[:2] == ["reslab", "train"]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert TRAININGS.server(*words[1:], "--threads", "1", cwd=tmp_path, seconds=300).code == 0
    assert hashes(tmp_path / "again") == hashes(out / "s5")


@pytest.mark.parametrize("sign", some([signal.SIGKILL, signal.SIGINT], quick=1))
def test_the_same_command_goes_on(three, tmp_path, sign):
    whole, told = three
    out = tmp_path / "net"
    process = start(out, "--seeds", "3", "--seed", "4")
    assert process.until(reached(out / "s5", 12), 240)
    process.signal(sign)
    ended = process.wait(60)
    assert ended.code == (75 if sign == signal.SIGINT else -9)
    assert ended.out == ""
    assert not (out / "s6" / "run.json").exists()  # a signal stops all of them
    assert runlog.read(out / "s4").finished
    before = (out / "s4" / "metrics.jsonl").read_bytes()
    again = done(out, "--seeds", "3", "--seed", "4")
    assert "finished already" in again.err
    assert "resumes at iteration" in again.err
    assert (out / "s4" / "metrics.jsonl").read_bytes() == before
    assert [hashes(out / f"s{s}") for s in (4, 5, 6)] == [hashes(whole / f"s{s}") for s in (4, 5, 6)]
    assert again.out.replace(str(out), str(whole)) == told.out


def test_more_seeds_add_runs(three, tmp_path):
    out = tmp_path / "net"
    shutil.copytree(three[0], out)
    before = {p: p.read_bytes() for p in out.rglob("metrics.jsonl")}
    ended = done(out, "--seeds", "4", "--seed", "4")
    assert ended.err.count("finished already") == 3
    assert all(path.read_bytes() == content for path, content in before.items())
    assert "n = 4" in ended.out


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    """Another process holds the folder of the second run; it is stopped, so that it keeps it."""
    out = tmp_path / "net"
    out.mkdir()
    other = start(out / "s1", "--seed", "1")
    assert other.until(reached(out / "s1", 3), 240)
    other.signal(signal.SIGSTOP)
    try:
        ended = start(out, "--seeds", "3").wait(300)
    finally:
        other.signal(signal.SIGKILL)
        other.wait(60)
    assert ended.code == 1
    assert [runlog.read(out / f"s{seed}").finished for seed in (0, 1, 2)] == [True, False, True]
    assert re.search(r"^ *1 +failed +failed +", ended.out, re.MULTILINE)
    assert "n = 2" in ended.out
    assert "1 of 3 runs failed; the first, of seed 1: " in ended.last
    assert "s1" in ended.last
    assert done(out, "--seeds", "3").out.count("n = 3") == 1


def test_runs_that_diverge_leave_no_figure(tmp_path):
    ended = start(tmp_path / "net", "--seeds", "2", "--set", "lr=1e30").wait(300)
    assert ended.code == 1
    assert "2 of 2 runs failed" in ended.last
    assert "not finite" in ended.last
    assert "mean" not in ended.out
    assert len(ended.out.splitlines()) == 3


def test_the_live_line_of_a_run_that_failed_goes(tmp_path):
    """On a terminal: no line is left of a run that diverged when the next one begins."""
    from reslab.show.terminal.console import Teller

    with (tmp_path / "screen").open("w", encoding="utf-8") as screen, Teller(screen, terminal=True) as teller:
        left: list[set[str]] = []

        def tell(event: dict) -> None:
            if str(event.get("text")).startswith("run "):
                left.append({*teller.lines})
            teller(event)

        found = reslab.train_seeds(
            "cifar_resnet8", seeds=2, out=tmp_path / "net", set={"lr": 1e30, "log_every": 1}, **{**SHORT, "tell": tell}
        )
    assert [*found.failures] == [0, 1]
    assert left == [set(), set()]


def test_another_run_in_one_of_the_folders_is_refused_before_all(tmp_path):
    out = tmp_path / "net"
    out.mkdir()
    done(out / "s1", "--seed", "9")
    ended = start(out, "--seeds", "2").wait(300)
    assert ended.code == 2
    assert "s1: holds another run (seed is 1 here and 9 there); give another --out" in ended.last
    assert not (out / "s0" / "run.json").exists()


def test_one_seed_has_no_interval(three, tmp_path):
    out = tmp_path / "net"
    shutil.copytree(three[0] / "s4", out / "s4")
    told = done(out, "--seeds", "1", "--seed", "4").out
    assert len(told.splitlines()) == 2
    assert "mean" not in told
    assert "95 %" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "0"], "--seeds: 0 must be at least 1"),
        (["--seeds", "-3"], "--seeds: -3 must be at least 1"),
        (["--seeds", "1001"], "--seeds: 1,001 runs are more than 1,000; give fewer"),
        (["--seeds", "2", "--extend", "90"], "--extend 90: with --seeds; extend each run by itself"),
        (["--seeds", "2", "--seed", str(2**63 - 1)], "has more than 63 bits"),
        (["--seeds", "0", "--dry-run"], "--seeds: 0 must be at least 1"),
        (["--seeds", "2", "--extend", "90", "--dry-run"], "--extend 90: with --seeds"),
    ],
)
def test_what_is_refused(words, told, tmp_path):
    ended = start(tmp_path / "net", *words).wait(60)
    assert ended.code == 2
    assert ended.err.splitlines() == [ended.last]
    assert told in ended.last
    assert not (tmp_path / "net").exists()


def test_a_dry_run_estimates_one_and_says_how_many(tmp_path):
    ended = done(tmp_path / "net", "--seeds", "5", "--dry-run")
    assert re.search(r"^  5 runs +about .*, one after another$", ended.out, re.MULTILINE)
    assert f"{tmp_path / 'net' / 's0'}: not written by a dry run" in ended.out
    assert not (tmp_path / "net").exists()
    assert "one after another" not in done(tmp_path / "net", "--dry-run").out


def test_a_file_may_have_the_number(tmp_path):
    (tmp_path / "run.toml").write_text("seeds = 2\nseed = 7\n")
    assert "n = 2" in done(tmp_path / "net", "--config", "run.toml").out
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["s7", "s8"]


# -- from Python


def test_python_returns_records_and_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = reslab.train_seeds("cifar_resnet8", "digits", seeds=3, log="tensorboard", **SHORT)
    assert [record.folder for record in found.records] == sorted(Path("runs").iterdir())
    assert [record.seed for record in found.records] == [0, 1, 2]
    assert found.failures == {}
    assert all((record.folder / "tensorboard").is_dir() for record in found.records)
    values = [last_error(record.folder, "test") for record in found.records]
    final = found.final()
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (final.values, final.n) == (tuple(values), 3)
    assert (final.mean, final.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (final.low, final.high) == pytest.approx((low, high))
    assert found.final("val") is None
    result = found.to_dict()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["errors"]["test"]["interval"] == [final.low, final.high]
    assert f"{final.low:.2f} to {final.high:.2f}, n = 3" in found._repr_html_()


def test_images_in_python_and_one_run(tmp_path):
    rng = np.random.default_rng(0)
    data = (rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2)
    found = reslab.train_seeds("cifar_resnet8", {"train": data, "test": data}, out=tmp_path, set={"batch": 8}, **SHORT)
    assert [record.folder for record in found.records] == [tmp_path / "s0"]
    assert (found.final().n, found.final().high) == (1, math.inf)
    assert found.to_dict()["errors"]["test"]["interval"] is None
    assert "n = 1" in found._repr_html_()


def test_an_extended_run_is_not_one_of_them(tmp_path):
    """It is longer than the others."""
    options = {**SHORT, "out": tmp_path}
    reslab.train_seeds("cifar_resnet8", seeds=2, **options)
    reslab.train("cifar_resnet8", seed=1, extend=6, **{**options, "out": tmp_path / "s1"})
    with pytest.raises(UserError, match="s1: holds another run \\(it was extended to 6 iterations\\)"):
        reslab.train_seeds("cifar_resnet8", seeds=2, **options)
