"""The row of a resumed run: in one go, ended by SIGTERM from outside, and stopped at an iteration and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.golden.collection import Collection, checkpoints_of, silent
from benchmarks.golden.values import UNCOMPARED, Entries, compared, exact, fault, flat, of_files

MODEL, SEED, ITERATIONS, STOP_AT = "cifar_resnet14", 3, 60, 11
WORDS = (
    MODEL, "--recipe", "digits-smoke", "--seed", str(SEED), "--iterations", str(ITERATIONS), "--set", "log_every=1",
    "--set", "probe_every=20", "--engine", "fused", "--precision", "fp32", "--threads", "1",
)  # fmt: skip
# Other keys that describe a run's circumstances, not its results, such as the machine's parts.
UNCOMPARED_FACTS = UNCOMPARED | {"environment", "why", "metrics"}
LINES_BEFORE_SIGNAL, DEADLINE = 10, 300  # lines of metrics.jsonl; seconds


def resume(collection: Collection) -> Entries:
    """Return records and weights of the uninterrupted run, and whether the interrupted runs end equal to it."""
    status = _command(*WORDS)
    (whole,) = Path("runs").iterdir()
    entries = {"whole/status": exact(status), "whole/folder": whole.name, **_records("whole", whole)}
    stopped = _stopped(collection, Path("stopped"))
    entries |= _records(f"stopped at {STOP_AT}", stopped)
    ways = {f"stopped at {STOP_AT}": stopped}
    if not collection.quick:
        ways["SIGTERM"] = _terminated(Path("terminated"))
    for way, out in ways.items():
        entries |= {f"{way}/{name}": text for name, text in _ends_equal(out, whole).items()}
    return entries


def _command(*words: str) -> int:
    """Return the exit status of `reslab train` in a process of its own."""
    command = [sys.executable, "-m", "reslab", "train", *words]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE, check=False).returncode


def _stopped(collection: Collection, out: Path) -> Path:
    """Return the folder of a run that took SIGTERM after the update STOP_AT and was then resumed."""
    import reslab
    from reslab.errors import Interrupted

    def stopping(event: dict[str, Any]) -> None:
        if event["kind"] == "train" and event["iteration"] == STOP_AT:
            os.kill(os.getpid(), signal.SIGTERM)

    def train(tell: Any) -> None:
        reslab.train(
            MODEL, recipe="digits-smoke", seed=SEED, iterations=ITERATIONS, set={"log_every": 1, "probe_every": 20},
            engine="fused", precision="fp32", threads=1, out=out, tell=tell,
        )  # fmt: skip

    try:
        train(stopping)
    except Interrupted:
        if "resume" in collection.planted:
            collection.layout.republish(checkpoints_of(out)[-1])
    train(silent)
    return out


def _terminated(out: Path) -> Path:
    """Return the folder of a run that was ended by SIGTERM from outside, wherever it was, and then resumed."""
    words = [sys.executable, "-m", "reslab", "train", *WORDS, "--out", str(out)]
    metrics, began = out / "metrics.jsonl", time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and time.monotonic() - began < DEADLINE:
            if metrics.is_file() and metrics.read_bytes().count(b"\n") >= LINES_BEFORE_SIGNAL:
                process.terminate()
                break
            time.sleep(0.002)
        status = process.wait(DEADLINE)
    again = _command(*WORDS, "--out", str(out))
    (out / "statuses").write_text(exact([status, again]), encoding="utf-8")
    return out


def _ends_equal(out: Path, whole: Path) -> Entries:
    """Return whether a resumed run has the lines, weights and momentum of the whole one."""
    entries = {}
    for name, own, theirs in (
        ("lines", _lines(out), _lines(whole)),
        ("tensors", _tensors(out), _tensors(whole)),
    ):
        entries[f"{name} are the whole run's"] = "yes" if own == theirs else fault("they are not")
    statuses = out / "statuses"
    if statuses.is_file():
        codes = statuses.read_text(encoding="utf-8")
        entries["statuses"] = codes if codes == "[75, 0]" else fault(f"{codes}, not [75, 0]: it was not interrupted")
    return entries


def _metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _lines(out: Path) -> list[str]:
    """Return the lines of a run without those about a resume."""
    return [exact(compared(line)) for line in _metrics(out) if line["kind"] != "resume"]


def _tensors(out: Path) -> Entries:
    return of_files(checkpoints_of(out)[-1])


def _records(name: str, out: Path) -> Entries:
    """Return the entries of a run's folder: run.json, every line, the newest checkpoint."""
    newest = checkpoints_of(out)[-1]
    entries = {f"{name}/line {number:03}": exact(compared(line)) for number, line in enumerate(_metrics(out))}
    for file in (out / "run.json", newest / "state.json"):
        facts = compared(json.loads(file.read_text(encoding="utf-8")), UNCOMPARED_FACTS)
        entries |= flat(facts, f"{name}/{file.name}")
    entries |= {f"{name}/checkpoint/{part}": text for part, text in of_files(newest).items()}
    entries[f"{name}/checkpoints"] = exact([path.name for path in checkpoints_of(out)])
    return entries
