"""Start one command as several ranks on this machine with torchrun's launcher, and say once why a rank has failed.

A rank that fails writes its error into a private folder (LAUNCHED names it) and says nothing. The launcher tells the
cause: an error that is no consequence of another rank's end, else the rank that was killed.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from reslab.engines import host
from reslab.engines.ranks import RankLost
from reslab.engines.shares import TRY
from reslab.errors import Interrupted, ReslabError, RunError, UserError
from reslab.store.trust import temporary_folder

LAUNCHED = "RESLAB_LAUNCHED"  # in the environment of a rank: the folder for its report
LEAVE = 60  # seconds that the ranks have for saving after a signal, before they are killed
MOMENT = 2.0  # seconds in which ranks that wait for the same one end, too


@dataclass(frozen=True)
class Report:
    """Why a rank ended: its number, the text of its error and its exit status.

    is_consequence   another rank was the cause; is_silent: because it did not answer in time
    """

    rank: int
    text: str
    status: int
    is_consequence: bool
    is_silent: bool


def report(error: ReslabError) -> bool:
    """Leave the error to the launcher; return False if this process was not started by it."""
    folder = os.environ.get(LAUNCHED)
    if not folder:
        return False
    lost = isinstance(error, RankLost)
    is_silent = isinstance(error, RankLost) and error.is_silent
    facts = asdict(Report(int(os.environ["RANK"]), str(error), error.exit_code, lost, is_silent))
    file = _file(Path(folder), facts["rank"])
    file.with_suffix(".json").write_text(json.dumps(facts))
    if is_silent:
        _end_silent(file)
    return True


def present() -> None:
    """Tell the launcher's folder that this rank has begun, so that others can end it if it hangs."""
    if folder := os.environ.get(LAUNCHED):
        _file(Path(folder), int(os.environ["RANK"])).with_suffix(".pid").write_text(str(os.getpid()))


def _file(folder: Path, rank: int) -> Path:
    return folder / f"{os.environ.get(TRY, '0')}-{rank}"


def _end_silent(own: Path) -> None:
    """End the ranks that have not reported a moment later: torchrun would wait 30 seconds for one that is frozen."""
    time.sleep(MOMENT)
    for file in own.parent.glob(f"{own.name.partition('-')[0]}-*.pid"):
        if file.stem != own.name and not file.with_suffix(".json").exists():
            with suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)


def is_orphan(parent: int) -> bool:
    """Return whether the launcher, process `parent`, has ended before this rank that it started."""
    return LAUNCHED in os.environ and os.getppid() != parent


def launch(words: Sequence[str], processes: int, restarts: int, timeout: float) -> None:
    """Run `reslab WORDS` as so many ranks, and wait for them.

    restarts   how often all ranks are started again after one has failed
    Raises the error that ended a rank, Interrupted if all have saved and stopped.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    host.check_processes("--processes", processes)
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the cause is told below, once
    with temporary_folder() as folder, _environment(folder, processes):
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
            rdzv_endpoint="localhost:0", max_restarts=restarts, shutdown_timeout=LEAVE,
            logs_specs=DefaultLogsSpecs(str(folder / "logs")),  # or it would leave a folder in the system's
        )  # fmt: skip
        codes: dict[int, int] = {}
        try:
            elastic_launch(config, sys.executable)("-m", "reslab", *words)
        except ChildFailedError as error:
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        except SignalException:
            codes = {0: 0}
        reports = _reports(folder)
    if stopped := [one for one in reports if one.status == Interrupted.exit_code]:
        raise Interrupted(stopped[0].text)
    if codes:
        raise _cause(codes, reports, processes, timeout)


def _cause(codes: Mapping[int, int], reports: Sequence[Report], processes: int, timeout: float) -> ReslabError:
    """Return the error that ended the ranks, by their exit statuses and what they reported."""
    own = [one for one in reports if not one.is_consequence]
    if own:
        first = own[0]
        is_common = len(own) == processes and len({one.text for one in own}) == 1
        text = first.text if is_common or first.rank == 0 else f"rank {first.rank}: {first.text}"
        return UserError(text) if first.status == UserError.exit_code else RunError(text)
    again = "the same command goes on from the newest checkpoint"
    if any(one.is_silent for one in reports):
        missing = sorted({*range(processes)} - {one.rank for one in reports})
        who = f"rank {missing[0]}" if len(missing) == 1 else "a rank"
        return RunError(f"{who} did not answer within --timeout {timeout:g} s; {again}")
    killed = {rank: -code for rank, code in codes.items() if code < 0}
    if killed:
        rank, number = next(iter(killed.items()))
        return RunError(f"rank {rank} was ended by {signal.Signals(number).name}; {again}")
    return RunError(f"the ranks ended without a reason; {again}")


def _reports(folder: Path) -> list[Report]:
    """Return the reports of the last try, by rank."""
    files = sorted(folder.glob("*.json"), key=lambda file: [int(part) for part in file.stem.split("-")])
    last = files[-1].stem.partition("-")[0] if files else ""
    return [Report(**json.loads(file.read_text())) for file in files if file.stem.partition("-")[0] == last]


@contextmanager
def _environment(folder: Path, processes: int) -> Iterator[None]:
    """Set what the ranks inherit: where they report, and their share of the cores."""
    mine = {LAUNCHED: str(folder), "OMP_NUM_THREADS": str(max(1, host.cores() // processes))}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update({name: value for name, value in mine.items() if name == LAUNCHED or before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
