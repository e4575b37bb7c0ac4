"""The executor of a Slurm cluster, by submitit. Needs the extra `slurm`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from reslab.campaign import lease
from reslab.campaign.executor import Ended, Outcome, Task
from reslab.campaign.scheduled import Scheduled
from reslab.engines import host
from reslab.errors import UserError, shortened

PAUSE = 0.5  # seconds between two looks
MINUTES = 24 * 60  # time limit of a job without `time`; a job that reaches it is saved and queued again
HERE = "local"  # cluster=local: submitit's processes on this machine, to try the same without Slurm
GIGABYTE = 1 << 30


class SlurmExecutor(Scheduled):
    """Trains each task as a Slurm job; see `executor.Executor`.

    detail  KEY=VALUE,… of sbatch, such as partition=gpu,time=120 (minutes); cluster=local needs no Slurm
    folder  of the jobs' scripts and logs
    cores   of each run
    gpus    of each run
    need    bytes of memory of each run
    most    jobs that are queued or run at a time; None: all
    Raises UserError without submitit or Slurm, or for an option that submitit does not know.
    """

    def __init__(self, detail: str, folder: Path, cores: int, gpus: int, need: int, most: int | None) -> None:
        try:
            import submitit
        except ImportError:
            text = "--on slurm: needs submitit; install reslab with its extra: pip install 'reslab[slurm]'"
            raise UserError(text) from None
        options = _options(detail)
        cluster = options.pop("cluster", "slurm")
        self._is_here = is_here = cluster == HERE
        super().__init__(most or (max(1, host.cores() // cores) if is_here else None))
        self.words = "submitit's processes on this machine, without Slurm" if is_here else "Slurm: one job for each run"
        self._uncompleted = submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError
        try:
            self._executor = submitit.AutoExecutor(folder, cluster=cluster)
            minutes = int(options.pop("time", MINUTES))
            self._executor.update_parameters(
                timeout_min=minutes, cpus_per_task=cores, gpus_per_node=gpus,
                mem_gb=-(-need // GIGABYTE), name="reslab",
                **({} if is_here else {f"slurm_{key}": value for key, value in options.items()}),
            )  # fmt: skip
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            first = shortened(str(error).strip().splitlines()[0], 200)
            raise UserError(f"--on slurm{':' * bool(detail)}{detail}: {first}") from None

    def poll(self) -> Ended:
        """Return the tasks that have ended; jobs without a result were killed, with their node or by its time limit."""
        stopped = self.start(lambda task: self._executor.submit(work, task))
        time.sleep(PAUSE)
        return stopped + [self._ended(job) for job in [job for job in self.running if job.done()]]

    def _ended(self, job: Any) -> tuple[Task, Outcome]:
        task = self.running.pop(job)
        try:
            return task, job.result()
        except self._uncompleted:
            if self.is_cancelled:
                return task, Outcome("stopped")
            text = f"{task.job.out}: job {job.job_id} ended without a result ({job.state}); its log: {job.paths.stderr}"
            return task, Outcome("dead", text, process=0)

    def abandon(self, task: Task) -> None:
        """Forget `task`, or take its job from the cluster."""
        for job in self.forget(task):
            self._end(job)
            del self.running[job]  # its place is free: a frozen process may not even end

    def cancel(self) -> None:
        """Let every run save and end: the holder of a lease sees the request; other jobs are taken from the queue."""
        self.is_cancelled = True
        for job, task in self.running.items():
            if not lease.ask_to_stop(task.job.out):
                self._end(job)

    def _end(self, job: Any) -> None:
        """Take a job from the cluster; on this machine its process gets the signal that it would get from Slurm."""
        if not self._is_here:
            job.cancel()
            return
        with suppress(ProcessLookupError):  # submitit would interrupt it, with a traceback
            os.kill(int(job.job_id), signal.SIGTERM)

    def close(self) -> None:
        """Take the jobs that are left from the queue; those that train save and end."""
        self.cancel()


def work(task: Task) -> Outcome:
    """Train `task` as a job: the signal before its time limit or a preemption saves it, and ends it as "stopped"."""
    from reslab.campaign.attempt import attempt

    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, note)
    return attempt(task, lambda: bool(asked))


def _options(detail: str) -> dict[str, str]:
    """Return the options in KEY=VALUE,…"""
    options = {}
    for part in filter(None, detail.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise UserError(f"--on slurm:{detail}: {part!r} is no KEY=VALUE, such as partition=gpu")
        options[key] = value
    if not options.get("time", "1").isdecimal():
        raise UserError(f"--on slurm:{detail}: time = {options['time']} is no number of minutes")
    return options
