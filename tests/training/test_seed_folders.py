"""`train --seeds` before its first update: folders that hold other files, and the estimate of `--dry-run`."""

import re
from pathlib import Path

import pytest
from cases import some
from commands import SMOKE, run

import reslab
from reslab.engines import host
from reslab.show.terminal.seeds import lines


def train(out: Path, seeds: int) -> None:
    reslab.train_seeds(
        "cifar_resnet8", "digits", recipe="digits-smoke", iterations=2, seeds=seeds, out=out, threads=1, device="cpu",
        tell=lambda event: None,
    )  # fmt: skip


def rehearsed(out: Path, seeds: int) -> str:
    return run(*SMOKE, "--iterations", "2", "--seeds", seeds, "--out", out, "--dry-run").good().out


@pytest.mark.slow
@pytest.mark.parametrize("is_folder", some([True, False], quick=1))
def test_other_files_in_one_of_the_folders_are_refused_before_all(tmp_path, is_folder):
    mine = tmp_path / "net" / "s1" / "mine" if is_folder else tmp_path / "net" / "s1"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    problem = "holds 'mine' and no run of reslab" if is_folder else "is a file, not a folder"
    for more in ([], ["--dry-run"]):
        run(*SMOKE, "--seeds", "2", "--out", tmp_path / "net", *more).refused(f"s1: {problem}")
    assert mine.read_text() == "kept"
    assert not (tmp_path / "net" / "s0" / "run.json").exists()


def test_an_interval_is_shown_as_far_as_an_error_can_be():
    errors = {"test": {"mean": 42.6, "interval": [-120.04, 205.24], "n": 2}}  # of the errors 29.8 and 55.4
    assert "0.00 to 100.00" in lines({"runs": [], "failures": [], "errors": errors})[-1]


@pytest.mark.slow
def test_a_dry_run_leaves_finished_runs_out(tmp_path):
    out = tmp_path / "net"
    train(out, 2)
    told = rehearsed(out, 5)
    assert re.search(r"^  5 runs +about .*, one after another; 2 finished already$", told, re.MULTILINE)
    assert f"{out / 's2'}: not written by a dry run" in told
    assert "from iteration" not in told
    assert sorted(path.name for path in out.iterdir()) == ["s0", "s1"]
    assert re.search(r"^  2 runs +finished already$", rehearsed(out, 2), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "local", "--cores-per-run", "1"], f"about .*, {min(5, host.cores())} at a time"),
        (["--on", "ray"], "about .* in all, shared among the machines of the cluster"),
    ],
)
def test_a_dry_run_says_how_many_at_a_time(tmp_path, words, told):
    length = ("--recipe", "digits-smoke", "--iterations", "2", "--seeds", "5", "--out", tmp_path / "net")
    out = run("train", "cifar_resnet8", *length, "--dry-run", *words).good().out
    assert re.search(rf"^  5 runs +{told}$", out, re.MULTILINE), out
    assert not (tmp_path / "net").exists()
