"""Leases on runs: real processes that compete for one, holders that lose it, and clocks that differ."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from cases import some

from reslab.campaign import layout
from reslab.campaign.layout import Held, look, place_of
from reslab.campaign.lease import Watch, ask_to_stop, claim
from reslab.errors import RunError, UserError

PROCESSES = 6
HOUR = 3600.0


def compete(out: Path, expired: str, begin, winners) -> None:
    begin.wait()
    if (lease := claim(out, 60.0, expired)) is not None:
        winners.put(lease.token)


def winners_of(out: Path, expired: str = "") -> list[str]:
    """The tokens that processes get which all want a run at the same moment."""
    context = multiprocessing.get_context("fork")
    begin, winners = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=compete, args=(out, expired, begin, winners)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = []
    while not winners.empty():
        found.append(winners.get())
    return found


@pytest.mark.parametrize("round_", some(range(10), quick=3))
def test_one_of_many_gets_a_run_and_one_takes_it_over(tmp_path, round_):
    out = tmp_path / "run"
    (first,) = winners_of(out)
    assert winners_of(out) == []  # it is held
    (second,) = winners_of(out, expired=first)
    held = look(out)
    assert held is not None
    assert held.token == second != first
    assert winners_of(out, expired=first) == []  # a late observer of the first holder's silence
    assert [path.name for path in place_of(out).iterdir()] == [second]


def begun(folder: Path, text: str = "0") -> Path:
    """A folder that looks like a run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(text)
    return folder


def checkpoint(attempt: Path, iteration: int) -> None:
    (attempt / "checkpoints" / f"step-{iteration:08d}").mkdir(parents=True)


def test_a_holder_publishes_its_copy_and_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    lease = claim(out, 60.0)
    assert lease is not None
    with lease:
        begun(lease.adopt(), "mine")
        assert not out.exists()
        assert layout.attempt_of(out) == lease.attempt
        lease.publish()
    assert (out / "run.json").read_text() == "mine"
    assert not place_of(out).exists()
    layout.tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_holder_that_is_told_to_stop_leaves_the_run_for_anyone(tmp_path):
    out = tmp_path / "run"
    with claim(out, 0.5) as lease:
        checkpoint(begun(lease.adopt()), 40)
        assert ask_to_stop(out)
        until = time.monotonic() + 30
        while not lease.should_stop:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert (out / "checkpoints" / "step-00000040").is_dir()
    assert not ask_to_stop(out)
    with claim(out, 60.0) as lease:  # it is taken into the next lease, and published once more
        assert not lease.should_stop
        assert (lease.adopt() / "checkpoints" / "step-00000040").is_dir()
        assert not out.exists()
    assert (out / "checkpoints" / "step-00000040").is_dir()


def test_a_holder_that_comes_back_can_do_no_harm(tmp_path):
    """It holds a file open, saves a checkpoint, and publishes: the new holder's run has none of it."""
    out = tmp_path / "run"
    old = claim(out, 60.0)
    attempt = begun(old.adopt(), "old")
    checkpoint(attempt, 40)
    with (attempt / "metrics.jsonl").open("a") as file:
        file.write("40\n")
        file.flush()
        new = claim(out, 60.0, expired=old.token)
        copy = new.adopt()
        file.write("41, of the old holder\n")
    assert old.is_lost
    with pytest.raises(RunError, match="taken over"):
        old.publish()
    checkpoint(old.attempt, 80)  # it makes its folders again
    with pytest.raises(RunError, match="taken over"):
        old.publish()
    assert look(out) == Held(new.token, "0" * 20, new.token.rsplit("-", 2)[0], os.getpid())
    with old:  # ends, and removes only what it has made since
        pass
    assert [path.name for path in place_of(out).iterdir()] == [new.token]
    checkpoint(copy, 120)
    with new:
        new.publish()
    assert (out / "metrics.jsonl").read_text() == "40\n"
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["step-00000040", "step-00000120"]
    assert not place_of(out).exists()


def test_the_newest_copy_is_taken_over(tmp_path):
    """A holder died while it copied: what it had not finished does not count."""
    out = tmp_path / "run"
    old = claim(out, 60.0)
    checkpoint(begun(old.adopt()), 40)
    half = claim(out, 60.0, expired=old.token)
    begun(half.folder / f".copy-{half.token}")
    last = claim(out, 60.0, expired=half.token)
    assert (last.adopt() / "checkpoints" / "step-00000040").is_dir()
    assert {path.name for path in last.folder.iterdir() if path.is_dir()} == {last.token, f".copy-{half.token}"}


def test_signs_of_life(tmp_path):
    out = tmp_path / "run"
    with claim(out, 1.2):
        before = look(out).beat
        until = time.monotonic() + 30
        while look(out).beat == before:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_clocks_of_other_machines_do_not_count(tmp_path):
    """The holder's files are an hour old, or of the next hour: only the observer's own clock decides."""
    out = tmp_path / "run"
    lease, now = claim(out, 60.0), [0.0]
    watch = Watch(60.0, clock=lambda: now[0])
    for skew in (-HOUR, HOUR):
        for file in [lease.folder, *lease.folder.iterdir()]:
            os.utime(file, (time.time() + skew,) * 2)
        begin = now[0]
        (lease.folder / "beat").write_text(f"{int(begin):020}")
        told = []
        while now[0] - begin <= 61:
            told.append(watch.has_expired(out, look(out)))
            now[0] += 1.0
        assert told == [False] * 61 + [True]  # after a minute without a sign of life, and once


def test_time_in_which_the_observer_was_frozen_does_not_count(tmp_path):
    out = tmp_path / "run"
    claim(out, 60.0)
    now = [0.0]
    watch = Watch(60.0, clock=lambda: now[0])
    held = look(out)
    assert not watch.has_expired(out, held)
    now[0] = 1000.0
    assert not watch.has_expired(out, held)
    for second in range(1, 61):
        now[0] = 1000.0 + second
        assert not watch.has_expired(out, held)
    now[0] = 1060.5
    assert watch.has_expired(out, held)


def test_another_version_is_refused_by_name(tmp_path):
    out = tmp_path / "run"
    lease = claim(out, 60.0)
    holder = lease.folder / "lease.json"
    holder.write_text(holder.read_text().replace('"version": "', '"version": "9'))
    with pytest.raises(UserError, match=r"is trained by reslab 9\S+ on .*; use one version on all machines"):
        claim(out, 60.0)
    assert claim(out, 60.0, expired=lease.token) is not None  # but a dead one is taken over


def test_a_folder_that_is_not_shared(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    with layout.marked([here]) as mark, layout.marked([here, there]) as other:
        layout.check_shared(here / "run", mark)
        layout.check_shared(there / "run", other)
        for out in (there / "run", tmp_path / "missing" / "run"):
            with pytest.raises(UserError, match="does not see this folder of the study; give an --out that is shared"):
                layout.check_shared(out, mark)
    layout.tidy(here)
    assert list(here.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "holiday.txt").write_text("not a run")
    with claim(out, 60.0) as lease, pytest.raises(UserError, match=r"holiday\.txt"):
        lease.adopt()
    assert [path.name for path in out.iterdir()] == ["holiday.txt"]
    assert not place_of(out).exists()
