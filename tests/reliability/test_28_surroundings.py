"""Rows 28 to 30: no network, another machine, a long run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
from commands import environment
from counts import UPDATES
from damage import Tally, copied, crash
from PIL import Image
from trained import FOLDER, OFTEN, TINY, end_of, iteration_of, pets, rewrite, same_end, sets

WITHOUT = """
import os, socket
connect = socket.socket.connect
def refuse(*words, **more):
    os.write(2, b"the network was asked for\\n")
    os._exit(99)
def local(self, address):
    return connect(self, address) if self.family == socket.AF_UNIX else refuse()
socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = local
"""


def test_fault_28_no_network(reslab, tmp_path, count):
    """Every verb in a process whose sockets end it; and, if the system allows it, without a network device."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT)
    images = pets(tmp_path / "pets", train=4, val=2, side=16)
    Image.linear_gradient("L").resize((8, 8)).save(reslab.here / "x.png")
    verbs = [
        ("list",), ("describe", "resnet18"), ("draw", "resnet18", "--out", "net.svg"), ("recipe", "show"), ("claims",),
        (*TINY, "--iterations", "2", "--out", "run"), (*TINY, "--dry-run"),
        (*FOLDER, "--widths", "4,4,8", "--image-size", "16", *OFTEN, "--data", images, "--iterations", "2",
         "--workers", "2", "--out", "pets"),
        ("evaluate", "run"), ("predict", "run", "x.png"), ("probe", "run", "--samples", "8"),
        ("report", "run", "--out", "p.html"), ("figure", "table1", "--out", "t.html"),
        ("figure", "fig6", "run", "--out", "f.png"),
        ("reproduce", "C1", "--depths", "8,14", "--seeds", "1", "--recipe", "digits-smoke", "--scale", "0.1",
         "--set", "drops=1", "--out", "study"),
    ]  # fmt: skip
    alone = shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    for before, more in (((), {"PYTHONPATH": path}), *([(("unshare", "-n"), {})] if alone else [])):
        tally, here = Tally(), tmp_path / ("alone" if before else "patched")
        shutil.copytree(reslab.here, here)
        for words in verbs:
            done = subprocess.run(
                [*before, sys.executable, "-m", "reslab", *map(str, words)], cwd=here, capture_output=True, text=True,
                env=environment(XDG_CACHE_HOME=str(tmp_path / "cache"), **more), timeout=300,
            )  # fmt: skip
            tally.add(words[0], "" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-120:]}")
        start = time.monotonic()
        words = [*before, sys.executable, "-m", "reslab", *TINY, "--data", "cifar10", "--download", "--dry-run"]
        if before:  # what needs the network says so, and soon
            done = subprocess.run(
                words,
                cwd=here,
                capture_output=True,
                text=True,
                env=environment(XDG_CACHE_HOME=str(here / "c"), **more),
                timeout=60,
            )
            wrong = (
                ""
                if done.returncode == 2 and "download" in done.stderr
                else f"exit {done.returncode}: {done.stderr[-120:]}"
            )
            tally.add("--download", wrong or ("" if time.monotonic() - start < 40 else "slow to refuse"))
        tally.told(
            count,
            28,
            f"every verb {'in a network of its own (unshare -n)' if before else 'with sockets that end the process'}",
        )


def test_fault_29_another_machine(reslab, count):
    """Versions and processor that differ from the record's are told; the run goes on, and is marked."""
    tally = Tally()
    words = (
        *TINY,
        "--iterations",
        "400000",
        *sets("save_every=5", "log_every=1", "eval_every=400000", "clean_every=400000"),
    )
    running = reslab.start(*words, "--out", "began")
    began = reslab.here / "began"
    assert running.until(lambda: iteration_of(began) >= 8)
    running.signal(15)
    assert running.wait().code == 75
    record = json.loads((began / "run.json").read_text())
    for key, value in {"torch": "1.0.0", "numpy": "1.0", "cpu": "another CPU", "cores": 999}.items():
        run = copied(began, reslab.here / key)
        rewrite(run / "run.json", {**record, "environment": {**record["environment"], key: value}})
        again = reslab.start(*words, "--out", run)
        at = iteration_of(run)
        again.until(lambda run=run, at=at: iteration_of(run) > at)
        again.signal(15)
        ended = again.wait()
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        is_kept = any(line["kind"] == "warning" and str(value) in line["text"] for line in lines)
        wrong = "" if ended.code == 75 else f"exit {ended.code}: {ended.last}"
        wrong = wrong or ("" if f"{key} is " in ended.err and str(value) in ended.err else "not told")
        tally.add(key, wrong or ("" if is_kept else "not kept in the metrics"))
    for option, value in {"--threads": "2", "--device": "cuda", "--precision": "bf16"}.items():
        key = option[2:]
        run = copied(began, reslab.here / f"changed-{key}")
        given = [value if before == option else word for before, word in zip(("", *words), words, strict=False)]
        given += [] if option in words else [option, value]
        again = reslab.start(*given, "--out", run)
        at = iteration_of(run)
        again.until(lambda run=run, at=at: iteration_of(run) > at, 20)
        if again.alive:
            again.signal(15)
        ended = again.wait()
        told = (
            "threads is 2" in ended.err
            if key == "threads"
            else (ended.code == 2 and value in ended.last) or "GPU" in ended.last
        )
        tally.add(key, "" if told and "Traceback" not in ended.err else f"exit {ended.code}: {ended.last}")
    tally.told(count, 29, "other torch, numpy, processor, cores, threads; another device and precision are refused")


def test_fault_29_the_clock_jumps(reslab, count):
    """Modification times in the future and in 1970 change nothing."""
    words, tally = (*TINY, "--iterations", "12", *sets("save_every=4")), Tally()
    reslab(*words, "--out", "whole").good()
    whole = end_of(reslab.here / "whole")
    for moment in (0, 2**33, 2**31 - 1):
        running = reslab.start(*words, "--out", f"run{moment}")
        run = reslab.here / f"run{moment}"
        running.until(lambda run=run: (run / "checkpoints" / "step-00000004").exists())
        running.signal(9)
        running.wait()
        for path in run.rglob("*"):
            os.utime(path, (moment, moment))
        ended = reslab(*words, "--out", run)
        tally.add(moment, crash(ended) or ("" if same_end(run, whole) else "ends elsewhere"))
    tally.told(count, 29, "file times of 1970 and of the future, resumed")


def held(pid: int) -> tuple[int, int, int]:
    """Resident bytes, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    size, threads = (int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "Threads"))  # type: ignore[index]
    return size << 10, len(os.listdir(f"/proc/{pid}/fd")), threads


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("source", ["digits", "folder with 2 data workers"])
def test_fault_30_a_long_run(reslab, tmp_path, count, source):
    """Memory, open files and threads of the second half are those of the first; the drift of an update is reported."""
    words: tuple[object, ...] = (*TINY, *sets("batch=16", "drops=9999999"))
    if source != "digits":
        images = pets(tmp_path / "pets", train=32, val=4, side=16)
        words = (
            *FOLDER,
            "--widths",
            "4,4,8",
            "--image-size",
            "16",
            "--data",
            images,
            "--workers",
            "2",
            *sets("batch=8", "drops=9999999"),
        )
    length = UPDATES if source == "digits" else UPDATES // 2
    rare = sets(
        "save_every=50", f"log_every={max(1, length // 40)}", "eval_every=100", "clean_every=200", "probe_every=250"
    )
    running = reslab.start(*words, *rare, "--iterations", length, "--out", "run")
    run, samples = reslab.here / "run", []
    while running.alive:
        try:
            samples.append((iteration_of(run), *held(running.pid)))
        except (OSError, TypeError):
            break
        time.sleep(0.1)
    ended = running.wait(300)
    assert ended.code == 0, ended.last
    half = [
        [s for s in samples if low <= s[0] < high]
        for low, high in ((length // 4, length // 2), (3 * length // 4, length))
    ]
    assert all(len(part) > 3 for part in half)
    tally, told = Tally(), []
    for place, name, slack in ((1, "memory", 20 << 20), (2, "open files", 2), (3, "threads", 0)):
        first, second = (median(s[place] for s in part) for part in half)
        shown = (
            f"{name} {first / 2**20:.0f} to {second / 2**20:.0f} MB"
            if place == 1
            else f"{name} {first:.0f} to {second:.0f}"
        )
        tally.add(name, "" if second <= first + slack else f"grows: {shown}")
        told.append(shown)
    rates = [
        line["clock"]["rate"]
        for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        if line["kind"] == "train"
    ]
    quarter = len(rates) // 4
    drift = 100 * (median(rates[quarter : 2 * quarter]) / median(rates[3 * quarter :]) - 1)
    tally.told(
        count, 30, f"{length:,} updates, {source}: {', '.join(told)}; an update took {drift:+.0f} % in the last quarter"
    )
