"""Rows 1 to 3: processes killed and stopped at any moment end where an uninterrupted one ends, bit for bit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from commands import environment
from counts import KILLS, STOPS
from damage import Tally, crash
from processes import Running
from trained import FOLDER, OFTEN, end_of, iteration_of, orphans, pets, same_end

ENGINES = {
    "eager": ("--engine", "eager", "--precision", "fp32"),
    "fused": ("--engine", "fused", "--precision", "fp32"),
    "winograd": ("--engine", "winograd", "--precision", "bf16"),
    "compiled": ("--engine", "compiled", "--precision", "fp32"),
}
LENGTH = 60
SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGHUP}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return pets(tmp_path_factory.mktemp("images") / "pets")


@pytest.fixture(scope="module")
def whole_of(server, images, kernels, tmp_path_factory) -> Callable[[str], tuple]:
    """`whole_of(engine)`: the end of an uninterrupted run, and the seconds it took once all was compiled."""
    ends: dict[str, tuple] = {}

    def made(engine: str) -> tuple:
        if engine not in ends:
            here = tmp_path_factory.mktemp(engine)
            words = command(engine, images, 0)
            for name in ("first", "second"):  # the first compiles
                start = time.monotonic()
                ended = server(*words, "--out", name, cwd=here, seconds=240, **cache(kernels))
                if ended.code == 2 and ("--engine" in ended.last or "--precision" in ended.last):
                    pytest.skip(f"not on this machine: {ended.last}")
                ended.good()
            assert end_of(here / "first") == end_of(here / "second")
            ends[engine] = end_of(here / "first"), time.monotonic() - start
        return ends[engine]

    return made


def cache(kernels: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(kernels), "TORCHINDUCTOR_CACHE_DIR": str(kernels / "inductor")}


def command(engine: str, images: Path, workers: int) -> tuple[str, ...]:
    return (
        *FOLDER, *OFTEN, *ENGINES[engine], "--data", str(images), "--iterations", str(LENGTH), "--workers", str(workers)
    )  # fmt: skip


def moment(number: int, out: Path, draws: Random, seconds: float) -> Callable[[Running], None]:
    """A way to wait for the moment to kill at: at the start, inside a save, in an evaluation, anywhere."""

    def start(running: Running) -> None:
        time.sleep(draws.uniform(0, 0.4 * seconds))

    def saving(running: Running) -> None:
        running.until(lambda: any((out / "checkpoints").glob(".writing-*")))
        time.sleep(draws.choice((0, 0.001, 0.003, 0.006)))

    def measuring(running: Running) -> None:
        due = max(1, iteration_of(out) // 7 + 1) * 7
        running.until(lambda: iteration_of(out) >= due)
        time.sleep(draws.uniform(0, 0.02))

    def anywhere(running: Running) -> None:
        time.sleep(draws.uniform(0, 1.1 * seconds))

    return (start, saving, measuring, anywhere)[number % 4]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_fault_01_killed_and_resumed(reslab, images, kernels, whole_of, count, engine, workers):
    whole, seconds = whole_of(engine)
    draws, tally, words = Random(f"{engine} {workers}"), Tally(), command(engine, images, workers)
    life, kills, moments = 0, [], []
    while tally.tried < KILLS:
        out = reslab.here / f"run{life}"
        running = reslab.start(*words, "--out", out, **cache(kernels))
        if tally.tried + len(kills) < KILLS:
            moment(len(moments), out, draws, seconds)(running)
            moments.append(iteration_of(out))
        kills_it = tally.tried + len(kills) < KILLS and running.alive
        if kills_it:
            running.signal(signal.SIGKILL)
        ended = running.wait(240)
        if kills_it and ended.code == -signal.SIGKILL:  # else it had just ended by itself
            kills.append(f"kill at iteration {moments[-1]} of life {life}")
            continue
        wrong = crash(ended) or ("" if same_end(out, whole) else "ends elsewhere")
        wrong = wrong or (f"left behind: {orphans(out)}" if orphans(out) else "")
        for kill in kills:
            tally.add(kill, wrong)
        life, kills = life + 1, []
        assert life < 5 * KILLS
    tally.told(count, 1, f"process group killed and resumed, {engine}, {workers} data workers")


def test_fault_01_killed_before_the_first_import_is_done(images, kernels, whole_of, reslab, count):
    """Fresh interpreters, killed at random while they import, read and begin."""
    whole, _ = whole_of("eager")
    draws, tally = Random(1), Tally()
    out = reslab.here / "run"
    words = [sys.executable, "-m", "reslab", *command("eager", images, 0), "--out", str(out)]
    for _ in range(max(3, KILLS // 2)):
        process = subprocess.Popen(
            words, stderr=subprocess.DEVNULL, start_new_session=True, env=environment(XDG_CACHE_HOME=str(kernels))
        )
        time.sleep(draws.uniform(0.2, 5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        tally.add("cold start", "")
    ended = reslab(*words[3:])
    if wrong := crash(ended) or ("" if same_end(out, whole) and not orphans(out) else "ends elsewhere"):
        tally.wrong += [f"cold start: {wrong}"] * tally.tried
    tally.told(count, 1, "fresh interpreter killed within its first seconds")


@pytest.mark.parametrize("resumes", [1, 2, 5])
def test_fault_02_resumed_within_one_epoch_with_other_workers(reslab, images, kernels, whole_of, count, resumes):
    """Killed so often within an epoch; at its end; inside an evaluation; each life with another number of workers."""
    whole, _ = whole_of("eager")
    tally = Tally()
    for place, base in (("mid-epoch", 13), ("at an epoch's end", 24), ("in an evaluation", 28)):
        out = reslab.here / place.replace(" ", "-")
        for life in range(resumes):
            running = reslab.start(*command("eager", images, (1, 2, 4, 0)[life % 4]), "--out", out)
            step = out / "checkpoints" / f"step-{base + (life if place == 'mid-epoch' else 0):08d}"
            wanted = base + life
            if place == "in an evaluation":
                reached = lambda out=out, wanted=wanted: iteration_of(out) >= wanted  # noqa: E731
            else:
                reached = lambda step=step: step.exists()  # noqa: E731
            running.until(reached)
            running.signal(signal.SIGKILL)
            running.wait()
        ended = reslab(*command("eager", images, 2), "--out", out)
        tally.add(f"{place}, {resumes} resumes", crash(ended) or ("" if same_end(out, whole) else "ends elsewhere"))
    tally.told(count, 2, f"{resumes} resumes in one epoch, at its end, in an evaluation; 0, 1, 2, 4 workers")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", SIGNALS)
def test_fault_03_stopped_by_a_signal(reslab, images, whole_of, count, name, workers):
    """To the process and to its group; between updates and in an evaluation: saved, exit 75, resumed bit for bit."""
    whole, _ = whole_of("eager")
    tally = Tally()
    for number in range(STOPS):
        for group in (False, True):
            for at in (3, 14, 29):
                out = reslab.here / f"run-{number}-{group}-{at}"
                running = reslab.start(*command("eager", images, workers), "--out", out)
                assert running.until(lambda out=out, at=at: iteration_of(out) >= at), running.wait().err
                running.signal(SIGNALS[name], group=group)
                ended = running.wait()
                wrong = "" if ended.code == 75 else f"exit {ended.code}: {ended.last[:100]}"
                if "Traceback" in ended.text:
                    wrong = f"traceback: {ended.last}"
                told = re.search(r"stopped at iteration ([\d,]+)", ended.last)
                saved = sorted((out / "checkpoints").glob("step-*"))
                if not wrong and not (told and saved and saved[-1].name == f"step-{int(told[1]):08d}"):
                    wrong = f"not saved where it stopped: {ended.last}"
                again = reslab(*command("eager", images, workers), "--out", out)
                wrong = wrong or crash(again) or ("" if same_end(out, whole) else "ends elsewhere")
                tally.add(f"{name} to the {'group' if group else 'process'} at iteration {at}", wrong)
    tally.told(count, 3, f"{name} to process and group, {workers} data workers: exit 75, saved, resumed")


def test_fault_03_a_second_signal_stops_at_once(reslab, images, whole_of, count):
    whole, _ = whole_of("eager")
    tally = Tally()
    for name, number in SIGNALS.items():
        out = reslab.here / name
        running = reslab.start(*command("eager", images, 2), "--out", out)
        assert running.until(lambda out=out: iteration_of(out) >= 10)
        for _ in range(2):
            running.signal(number)
            time.sleep(0.001)
        ended = running.wait()
        wrong = "hung" if ended.hung else "" if ended.code in (75, 130, -number) else f"exit {ended.code}"
        again = reslab(*command("eager", images, 0), "--out", out)
        tally.add(name, wrong or crash(again) or ("" if same_end(out, whole) else "ends elsewhere"))
    tally.told(count, 3, "two signals at once: stopped, resumed")
