"""One study of 30 runs by several commands, each as on a machine of its own: they are killed, frozen and revived."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from reslab.campaign.layout import look
from reslab.store.files import sha256

SCALE = os.environ.get("RESLAB_STUDY_SCALE", "0.1")
WORDS = ["reproduce", "degradation", "--depths", "8,14,20", "--seeds", "5", "--scale", SCALE]
RUNS = 30
LIMIT = 600.0 + 3000 * float(SCALE)  # seconds after which a study counts as hung
HOSTS = ("machine-a", "machine-b", "machine-c")


def weights(out: Path) -> dict[str, str]:
    """The SHA-256 of the final weights of every run of a study."""
    finals = {run.parent.name: max((run.parent / "checkpoints").glob("step-*")) for run in out.glob("*/run.json")}
    return {name: sha256(final / "weights.safetensors") for name, final in sorted(finals.items())}


def verdicts(told: str) -> list[str]:
    """The lines of the claims that a study has judged."""
    return sorted(line for line in told.splitlines() if re.match(r"C\d+ ", line))


class Machine:
    """A command in a process group of its own; `host` is the host name that it and its children see."""

    def __init__(self, words: list[str], log: Path, host: str = "") -> None:
        self.words, self.log, self.host = words, log, host
        self.start()

    def start(self) -> None:
        """Start the command, again after it was killed; its words are added to the log."""
        line = [sys.executable, "-m", "reslab", *self.words]
        if self.host:
            line = ["unshare", "--uts", "sh", "-c", f'hostname {self.host}; exec "$@"', "sh", *line]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                line, stdout=log, stderr=log, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )

    @property
    def told(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=60)


def has_hosts() -> bool:
    """Whether this system lets a process have a host name of its own."""
    with suppress(OSError):
        return subprocess.run(["unshare", "--uts", "hostname", "a"], capture_output=True).returncode == 0
    return False


def all_end(machines: list[Machine], out: Path, every: float, fault: Callable[[], bool]) -> int:
    """Call `fault` every so many seconds until all runs are in `out`; return how often it did something.

    Returns when all commands have ended; those that are frozen then come back first.
    """
    begin, last, count = time.monotonic(), time.monotonic(), 0
    try:
        while any(machine.process.poll() is None for machine in machines):
            assert time.monotonic() - begin < LIMIT, "\n".join(machine.told[-2000:] for machine in machines)
            time.sleep(0.1)
            if time.monotonic() - last >= every:
                last = time.monotonic()
                if len(list(out.glob("*/run.json"))) < RUNS:
                    count += fault()
                    continue
                for machine in machines:
                    machine.signal(signal.SIGCONT)
        return count
    finally:
        for machine in machines:
            machine.signal(signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """The processes that come from `process`, by their parents."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, rest = [], [process]
    while rest:
        children = [child for child, parent in parents.items() if parent == rest[0]]
        found += children
        rest = rest[1:] + children
    return found


def workers(process: int, word: str = "spawn_main") -> list[int]:
    """The descendants of `process` whose command line has `word`."""
    found = []
    for child in descendants(process):
        with suppress(OSError):
            if word in (Path("/proc") / str(child) / "cmdline").read_bytes().decode().replace("\0", " "):
                found.append(child)
    return found


def kill_one_of(processes: list[int], draws: random.Random, number: int = signal.SIGKILL) -> bool:
    if not processes:
        return False
    with suppress(ProcessLookupError):
        os.kill(draws.choice(processes), number)
        return True
    return False


class Freezer:
    """Stops the process that holds the lease of a run, and revives it after so many seconds; call it now and then."""

    def __init__(self, out: Path, seconds: float, draws: random.Random) -> None:
        self.out, self.seconds, self.draws = out, seconds, draws
        self.frozen: list[tuple[float, int]] = []

    def __call__(self) -> bool:
        now = time.monotonic()
        for since, process in list(self.frozen):
            if now - since > self.seconds:
                self.frozen.remove((since, process))
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
        holders = [held.process for place in self.out.glob(".leases/*") if (held := look(self.out / place.name))]
        if self.frozen or not holders:
            return False
        process = self.draws.choice(holders)
        self.frozen.append((now, process))
        return kill_one_of([process], self.draws, signal.SIGSTOP)


def finished(told: str) -> Counter[str]:
    """How often each run was told to be finished by the command that trained it."""
    return Counter(match[1] for match in re.finditer(r"^(\S+): finished on ", told, re.MULTILINE))
