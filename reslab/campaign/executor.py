"""Where the runs of a campaign are trained: what an executor is given, what it returns, and how a user names one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from reslab.errors import UserError, suggest
from reslab.version import VERSION

if TYPE_CHECKING:  # importing it imports torch, which each process does where an error of that is told
    from reslab.training.job import Job

LOCAL, FOLDER, RAY, SLURM = "local", "folder", "ray", "slurm"
NAMES = (LOCAL, FOLDER, RAY, SLURM)
WITH_DETAIL = {RAY: "ADDRESS", SLURM: "KEY=VALUE,…"}  # what may follow the colon
LEASE = 120.0  # seconds; on NFS an entry of a folder may be cached for a minute

Ending = Literal["done", "failed", "stopped", "dead", "held"]


@dataclass(frozen=True)
class Where:
    """Where the runs of a campaign are trained, and what each of them gets.

    on         local, folder, ray[:ADDRESS] or slurm[:KEY=VALUE,…]
    processes  most runs at a time; None: as many as there is room for
    cores      threads of each run; None: see `plan.parallelism`
    gpus       of each run, 0 or 1; with 0 and `on` not local it trains on the CPU
    lease      seconds without a sign of life after which another process takes a run over
    """

    on: str = LOCAL
    processes: int | None = None
    cores: int | None = None
    gpus: int = 0
    lease: float = LEASE

    def __post_init__(self) -> None:
        name, colon, detail = self.on.partition(":")
        if name not in NAMES:
            raise UserError(f"--on {self.on}: is none of {', '.join(NAMES)}{suggest(name, NAMES)}")
        if colon and (name not in WITH_DETAIL or not detail):
            forms = (f"{name}:{WITH_DETAIL[name]}, or " if name in WITH_DETAIL else "") + name
            raise UserError(f"--on {self.on}: write {forms}")
        if self.processes is not None and self.processes < 1:
            raise UserError(f"--processes: {self.processes} must be at least 1")
        if self.gpus not in (0, 1):
            raise UserError(f"--gpus-per-run {self.gpus}: a run of a study trains on one GPU at most; give 0 or 1")

    @property
    def is_here(self) -> bool:
        """Whether this machine trains runs, so that what it lacks is known before the first one."""
        return self.name in (LOCAL, FOLDER)

    @property
    def name(self) -> str:
        """What precedes the colon."""
        return self.on.partition(":")[0]

    @property
    def detail(self) -> str:
        """What follows the colon, "" for nothing."""
        return self.on.partition(":")[2]

    @property
    def is_leased(self) -> bool:
        """Whether runs are trained under leases, because processes of several machines share their folder."""
        return self.name != LOCAL

    def device(self, asked: str) -> str:
        """Return the device of a run for which the user asked `asked`: it must not depend on the machine it gets."""
        if not self.is_leased or (asked != "auto" and (asked != "cpu") == bool(self.gpus)):
            return asked
        if asked != "auto":
            raise UserError(f"--device {asked}: with --gpus-per-run {self.gpus}; leave --device out")
        return "cuda" if self.gpus else "cpu"


@dataclass(frozen=True, eq=False)
class Task:
    """One run for an executor; it is pickled, and trained by a process that may be on another machine.

    threads   of the run; 0: all cores
    decoders  most processes that decode image files
    lease     seconds after which a silent holder of the run loses it; None: trained in its own folder, without a lease
    expired   token of a lease that may be taken over, "" for none
    mark      a file in the study folder that shows that it is shared, "" if every process is on this machine
    """

    job: Job
    threads: int
    decoders: int
    lease: float | None = None
    expired: str = ""
    mark: str = ""
    version: str = VERSION


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    ending    done: the run is finished; failed: an error; stopped: saved after a signal; dead: its process is gone;
              held: another process trains it
    message   why, in one line
    trace     traceback of an unexpected error
    is_final  whether the same task would end the same way: the user has to change something
    host      on which it ran
    process   which it was, 0 if unknown
    trained   whether this task finished the run; False if it was finished already
    """

    ending: Ending
    message: str = ""
    trace: str = ""
    is_final: bool = False
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    trained: bool = False


Ended = list[tuple[Task, Outcome]]


class Executor(Protocol):
    """Trains tasks somewhere. Every task comes back from `poll` once, the same object, unless it was abandoned.

    words   what it is, for one line; "" for this machine
    """

    words: str

    def submit(self, task: Task) -> None:
        """Train `task` as soon as there is room."""

    def poll(self) -> Ended:
        """Return the tasks that have ended since the last call, after a fraction of a second at most."""

    def abandon(self, task: Task) -> None:
        """Forget a task that waits, or end its process, which may be frozen: its lease has expired."""

    def cancel(self) -> None:
        """Let every run save and end, and start no other; `poll` reports them all as stopped."""

    def close(self) -> None:
        """Free what the executor holds; runs that still train save and end first."""
