"""Rows 6 and 7: full disks and places that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from counts import FULL_DISKS
from damage import Tally, crash, refusal
from trained import FOLDER, OFTEN, TINY, end_of, iteration_of, orphans, pets, same_end, sets
from written_runs import write_run

from reslab.errors import LONGEST_WORD

TRAIN = (*TINY, "--iterations", "60", *sets("save_every=1", "log_every=1", "eval_every=10", "clean_every=20"))


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes of its own; the test is skipped where none may be mounted."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """Fill a file system until `free` bytes are left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        left = shutil.disk_usage(folder).free - free
        while left > 0:
            try:
                left -= file.write(bytes(min(left, 4096)))
            except OSError:
                break
    return filler


def steps(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def test_fault_06_training_on_a_disk_that_fills(reslab, tmp_path, count):
    """Full before the start, or filled while it runs, to random levels; after room is made it ends as without."""
    reslab(*TRAIN, "--out", "whole").good()
    whole = end_of(reslab.here / "whole")
    draws, tally = Random(6), Tally()
    for number in range(2 * FULL_DISKS):
        with disk(tmp_path / f"disk{number}", draws.randrange(1 << 20, 3 << 20)) as place:
            out, at = place / "run", -1 if number % 3 == 0 else draws.randrange(1, 40)
            free = draws.choice((0, 4096, draws.randrange(60_000), draws.randrange(300_000)))
            filler = fill(place, free) if at < 0 else None
            running = reslab.start(*TRAIN, "--out", out)
            if at >= 0:
                running.until(lambda out=out, at=at: iteration_of(out) >= at)
                filler = fill(place, free)
            ended = running.wait()
            case = f"{free} bytes free from iteration {at}"
            wrong = crash(ended)
            if not wrong and ended.code:
                is_named = str(place) in ended.last and ("space" in ended.last or "free" in ended.last)
                wrong = "" if is_named else f"message: {ended.last[:160]}"
            wrong = wrong or (f"left behind: {orphans(place)}" if orphans(place) else "")
            before = [step.name for step in steps(out)]
            assert filler is not None
            filler.unlink()
            again = reslab(*TRAIN, "--out", out)
            if not wrong and ended.code and before and "resumes at iteration" not in again.text:
                wrong = f"{before} did not resume: {again.last[:120]}"
            tally.add(case, wrong or crash(again) or ("" if same_end(out, whole) else f"ends elsewhere: {again.last}"))
    tally.told(count, 6, "training: disk of 1 to 3 MB, filled before or while it runs; room made, resumed")


WRITERS = {
    "a report": ("report", "RUN", "--out", "DISK/page.html"),
    "a figure": ("figure", "fig6", "RUN", "--out", "DISK/fig6.svg"),
    "a drawing": ("draw", "resnet18", "--out", "DISK/net.svg"),
    "a table": ("figure", "table1", "--out", "DISK/table.html"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_fault_06_pages_and_pictures(reslab, tmp_path, count, what):
    """The message names the file, nothing unfinished stays, an older file is as it was."""
    run = write_run(tmp_path / "run", "cifar_resnet20", 0)
    draws, tally = Random(what), Tally()
    for number in range(FULL_DISKS):
        with disk(tmp_path / "disk", 1 << 20) as place:
            words = [w.replace("DISK", str(place)).replace("RUN", str(run)) for w in WRITERS[what]]
            target = Path(words[-1])
            old = b"<!-- older -->" if number % 2 else None
            if old:
                target.write_bytes(old)
                words.append("--overwrite")
            free = draws.choice((0, draws.randrange(3000)))
            fill(place, free)
            ended = reslab(*words)
            wrong = crash(ended)
            if not wrong and ended.code:
                wrong = refusal(ended, str(target))
                there = target.read_bytes() if target.exists() else None
                wrong = wrong or ("" if there == old else f"the target holds {len(there or b'')} bytes of a part")
            elif not wrong and (not target.exists() or target.read_bytes() == old):
                wrong = "exit 0 without the file"
            tally.add(f"{free} bytes free", wrong or (f"left behind {orphans(place)}" if orphans(place) else ""))
    tally.told(count, 6, f"{what} on a full disk")


def test_fault_06_caches(reslab, tmp_path, count):
    """Kernels and verdicts are kept where there is room, and all goes on where there is none."""
    images = pets(tmp_path / "pets", train=8, val=2)
    words = (*FOLDER, *OFTEN, "--data", images, "--iterations", "4", "--engine", "fused")
    first = reslab(*words, "--out", "whole", seconds=240)
    if first.code == 2 and "--engine" in first.last:
        pytest.skip(f"no kernels on this machine: {first.last}")
    whole, draws, tally = end_of(reslab.here / "whole"), Random(60), Tally()
    listed = reslab("claims").good().out
    for number in range(FULL_DISKS):
        with disk(tmp_path / "disk", 1 << 20) as place:
            free = draws.choice((0, 4096, draws.randrange(100_000)))
            fill(place, free)
            ended = reslab(*words, "--out", f"run{number}", XDG_CACHE_HOME=str(place), seconds=240)
            wrong = crash(ended) or (
                "" if same_end(reslab.here / f"run{number}", whole) else f"ends elsewhere: {ended.last}"
            )
            tally.add(
                f"kernels, {free} bytes free", wrong or (f"left behind {orphans(place)}" if orphans(place) else "")
            )
            told = reslab("claims", XDG_CACHE_HOME=str(place))
            wrong = crash(told) or ("" if told.out == listed else "other verdicts")
            tally.add(
                f"claims, {free} bytes free", wrong or (f"left behind {orphans(place)}" if orphans(place) else "")
            )
    tally.told(count, 6, "caches of kernels and of verdicts on a full disk")


def test_fault_06_a_limit_on_file_size(reslab, tmp_path, count):
    """RLIMIT_FSIZE in place of a full disk, which needs no mount."""
    reslab(*TRAIN, "--out", "whole").good()
    whole = end_of(reslab.here / "whole")
    draws, tally = Random(61), Tally()
    for number in range(FULL_DISKS):
        out, most = (
            reslab.here / f"run{number}",
            draws.choice((draws.randrange(500, 4000), draws.randrange(4000, 40_000))),
        )
        ended = reslab(*TRAIN, "--out", out, file_size=most)
        wrong = crash(ended) or (refusal(ended, str(out)) if ended.code else "")
        wrong = wrong or (f"left behind {orphans(out)}" if orphans(out) else "")
        again = reslab(*TRAIN, "--out", out)
        tally.add(f"at most {most} bytes", wrong or crash(again) or ("" if same_end(out, whole) else "ends elsewhere"))
    tally.told(count, 6, "training: files limited to 0.5 to 40 KB; limit lifted, resumed")


PLACES = {
    "read-only": "a folder without write permission",
    "file": "a file in place of a folder",
    "below-file": "a folder below a file",
    "pipe": "a named pipe",
    "device": "/dev/null",
    "proc": "/proc/1/run",
    "long": "a name of 300 characters",
    "dangling": "a link that leads nowhere below a read-only folder",
}
OUTPUTS = {
    "train": (*TINY, "--iterations", "2", "--out"),
    "reproduce": ("reproduce", "degradation", "--depths", "8,14", "--seeds", "1", "--scale", "0.01", "--out"),
    "report": ("report", "RUN", "--out"),
    "figure": ("figure", "fig6", "RUN", "--out"),
    "draw": ("draw", "resnet18", "--out"),
}


@pytest.mark.parametrize("verb", OUTPUTS)
def test_fault_07_output_that_cannot_be_written(reslab, count, verb):
    """As a user without rights: refused in one line before anything is computed, and nothing is written."""
    tally = Tally()
    here = reslab.here
    run = write_run(here / "run", "cifar_resnet20", 0)
    closed = here / "closed"
    closed.mkdir()
    (here / "plain").write_text("mine")
    os.mkfifo(here / "pipe")
    (closed / "link").symlink_to(closed / "nowhere")
    closed.chmod(0o555)
    places = {
        "read-only": closed / "out", "file": here / "plain", "below-file": here / "plain" / "out",
        "pipe": here / "pipe", "device": Path("/dev/null"), "proc": Path("/proc/1/run"),
        "long": here / ("x" * 300), "dangling": closed / "link",
    }  # fmt: skip
    for name, place in places.items():
        target = place if verb in ("train", "reproduce") else place.with_name(place.name + ".html")
        if verb not in ("train", "reproduce") and name in ("file", "pipe", "device", "dangling"):
            target = place
        words = [str(run) if w == "RUN" else w for w in OUTPUTS[verb]]
        ended = reslab(*words, target, cwd=here, plain=True, XDG_CACHE_HOME="/nowhere", HOME="/nowhere")
        # A message cuts longer words in the middle.
        tally.add(PLACES[name], refusal(ended, str(target)[: LONGEST_WORD // 2]))
    assert (here / "plain").read_text() == "mine"
    assert sorted(p.name for p in closed.iterdir()) == ["link"]
    tally.told(count, 7, f"{verb} --out: read-only, a file, a pipe, a device, too long")
