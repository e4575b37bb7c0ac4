"""Row 31: a study of 30 runs by every executor ends with the same bits, also while processes are killed or frozen.

Longer runs with fewer faults: `RESLAB_STUDY_SCALE=1 RESLAB_FAULT_EVERY=30` before the command.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from machines import (
    HOSTS,
    RUNS,
    WORDS,
    Freezer,
    Machine,
    all_end,
    finished,
    has_hosts,
    kill_one_of,
    verdicts,
    weights,
    workers,
)  # fmt: skip

LEASE = 4.0
NEVER = float("inf")
EVERY = float(os.environ.get("RESLAB_FAULT_EVERY", 6))  # seconds between two faults, in runs of a few seconds
SLOWLY = max(EVERY, 15.0)  # each job starts an interpreter of its own
FROZEN = 2.5 * LEASE


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> tuple[dict[str, str], list[str]]:
    """What the study gives on one machine."""
    folder = tmp_path_factory.mktemp("local")
    machine = Machine([*WORDS, "--out", str(folder / "study")], folder / "log")
    assert all_end([machine], folder / "study", NEVER, lambda: False) == 0
    assert machine.process.returncode == 0, machine.told
    found = weights(folder / "study"), verdicts(machine.told)
    assert len(found[0]) == RUNS
    assert len(found[1]) == 2
    return found


def check(local, out: Path, machines: list[Machine], count, what: str, faults: int) -> None:
    """Every run is as on one machine, none was finished twice, and every command tells the same verdicts."""
    told = "\n".join(machine.told for machine in machines)
    assert [machine.process.returncode for machine in machines] == [0] * len(machines), told[-4000:]
    assert "Traceback" not in told
    same = sum(weights(out).get(name) == digest for name, digest in local[0].items())
    count(31, f"study of {RUNS} runs, {what}; {faults} faults", RUNS, same)
    assert max(finished(told).values(), default=1) == 1
    assert verdicts(machines[0].told)[-2:] == local[1]
    assert not [path.name for path in out.glob(".leases")]


def test_fault_31_local(local, tmp_path, count):
    draws, machine = random.Random("local"), Machine([*WORDS, "--out", str(tmp_path / "study")], tmp_path / "log")
    faults = all_end([machine], tmp_path / "study", EVERY, lambda: kill_one_of(workers(machine.process.pid), draws))
    assert faults
    check(local, tmp_path / "study", [machine], count, f"local, a process killed every {EVERY:g} s", faults)


def three(tmp_path: Path) -> list[Machine]:
    if not has_hosts():
        pytest.skip("no host names of its own for a process (unshare --uts)")
    more = ["--out", str(tmp_path / "study"), "--on", "folder", "--processes", "1", "--lease", str(LEASE)]
    return [Machine([*WORDS, *more], tmp_path / f"{host}.log", host) for host in HOSTS]


@pytest.mark.parametrize("fault", ["none", "killed", "frozen"])
def test_fault_31_folder(local, tmp_path, count, fault):
    machines, draws, frozen = three(tmp_path), random.Random(fault), list[tuple[float, Machine]]()

    def kill() -> bool:
        """One machine goes down with all its processes, and comes up again."""
        running = [machine for machine in machines if machine.process.poll() is None]
        if not running:
            return False
        machine = draws.choice(running)
        machine.kill()
        machine.start()
        return True

    def freeze() -> bool:
        """One machine after another is stopped for longer than a lease."""
        now = time.monotonic()
        for since, machine in list(frozen):
            if now - since > FROZEN:
                frozen.remove((since, machine))
                machine.signal(signal.SIGCONT)
        running = [machine for machine in machines if machine.process.poll() is None]
        if frozen or len(running) < 2:
            return False
        machine = draws.choice(running)
        machine.signal(signal.SIGSTOP)
        frozen.append((now, machine))
        return True

    acts: dict[str, tuple[float, Callable[[], bool]]] = {
        "none": (NEVER, lambda: False), "killed": (EVERY, kill), "frozen": (0.5, freeze),
    }  # fmt: skip
    faults = all_end(machines, tmp_path / "study", *acts[fault])
    assert faults or fault == "none"
    what = {
        "none": "three machines on one folder",
        "killed": f"a machine of three killed every {EVERY:g} s",
        "frozen": "holders of three frozen for 2.5 leases and revived",
    }[fault]
    check(local, tmp_path / "study", machines, count, f"folder: {what}", faults)


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs submitit (the extra slurm)")
@pytest.mark.parametrize("fault", ["none", "killed", "preempted", "frozen"])
def test_fault_31_slurm(local, tmp_path, count, fault):
    out = tmp_path / "study"
    more = ["--out", str(out), "--on", "slurm:cluster=local", "--lease", str(LEASE)]
    machine, draws = Machine([*WORDS, *more], tmp_path / "log"), random.Random(fault)

    def send(number: int) -> bool:
        return kill_one_of(workers(machine.process.pid, "submitit.core._submit"), draws, number)

    acts = {
        "none": (NEVER, lambda: False),
        "killed": (SLOWLY, lambda: send(signal.SIGKILL)),
        "preempted": (SLOWLY, lambda: send(signal.SIGUSR2)),
        "frozen": (0.5, Freezer(out, FROZEN, draws)),
    }
    faults = all_end([machine], out, *acts[fault])
    assert faults or fault == "none"
    check(local, out, [machine], count, f"submitit's local executor, jobs {fault}", faults)


@contextmanager
def cluster(nodes: int):
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        members = [found.add_node(num_cpus=1) for _ in range(nodes)]
        yield found, members
    finally:
        found.shutdown()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray (the extra ray)")
@pytest.mark.parametrize("fault", ["none", "killed", "frozen"])
def test_fault_31_ray(local, tmp_path, count, fault):
    draws = random.Random(fault)
    with cluster(3) as (nodes, members):
        more = ["--out", str(tmp_path / "study"), "--on", f"ray:{nodes.address}", "--lease", str(LEASE)]
        machine = Machine([*WORDS, *more], tmp_path / "log")

        def kill() -> bool:
            """A node goes down with its workers, and another one joins."""
            node = members.pop(draws.randrange(len(members)))
            nodes.remove_node(node, allow_graceful=False)
            members.append(nodes.add_node(num_cpus=1))
            return True

        freeze = Freezer(tmp_path / "study", FROZEN, draws)
        acts = {"none": (NEVER, lambda: False), "killed": (EVERY, kill), "frozen": (0.5, freeze)}
        faults = all_end([machine], tmp_path / "study", *acts[fault])
        assert faults or fault == "none"
        killed = f"a node of three killed every {EVERY:g} s"
        what = {"none": "three nodes", "killed": killed, "frozen": "workers frozen"}[fault]
        check(local, tmp_path / "study", [machine], count, f"Ray: {what}", faults)
