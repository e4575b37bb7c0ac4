"""The executor of a Ray cluster. Needs the extra `ray`."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from reslab.campaign.executor import Ended, Outcome, Task
from reslab.campaign.scheduled import Scheduled
from reslab.errors import UserError, shortened

PAUSE = 0.2  # seconds that `poll` waits at most
ABSENT = 10.0  # seconds for the cluster to answer; Ray itself waits for minutes


class RayExecutor(Scheduled):
    """Trains each task as a Ray task; see `executor.Executor`.

    address  of the cluster, "" for that of RAY_ADDRESS or of this machine; without one Ray is started here
    cores    of each run
    gpus     of each run
    most     runs at a time, None: as many as the cluster has cores for
    Raises UserError without Ray, without the cluster, or if no node of it has so many cores and GPUs.
    """

    def __init__(self, address: str, cores: int, gpus: int, most: int | None) -> None:
        super().__init__(most)
        self._ray, self._is_own = _started(address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        self._check(nodes, cores, gpus)
        total = int(sum(node.get("CPU", 0) for node in nodes))
        self.words = f"Ray: {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}, {total} cores"
        # Errors and dead nodes are repeated by the campaign, which counts them.
        self._attempt = self._ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(_attempt)

    def _check(self, nodes: list[dict[str, float]], cores: int, gpus: int) -> None:
        if any(node.get("CPU", 0) >= cores and node.get("GPU", 0) >= gpus for node in nodes):
            return
        self.close()
        sizes = ", ".join(f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes)
        raise UserError(
            f"--on ray: no node has {cores} cores and {gpus} GPUs for a run (the nodes have {sizes}); change "
            "--cores-per-run or --gpus-per-run"
        )

    def poll(self) -> Ended:
        """Return the tasks that have ended; those of dead nodes and workers are "dead"."""
        stopped = self.start(self._attempt.remote)
        if not self.running:
            return stopped
        ready, _ = self._ray.wait(list(self.running), num_returns=len(self.running), timeout=PAUSE)
        return stopped + [self._ended(one) for one in ready]

    def _ended(self, one: Any) -> tuple[Task, Outcome]:
        task = self.running.pop(one)
        try:
            return task, self._ray.get(one)
        except self._ray.exceptions.RayError as error:
            if self.is_cancelled:
                return task, Outcome("stopped")
            return task, Outcome("dead", f"{task.job.out}: lost by Ray ({_first_line(error)})", process=0)

    def abandon(self, task: Task) -> None:
        """Forget `task`, or kill its worker."""
        for one in self.forget(task):
            self._ray.cancel(one, force=True)

    def cancel(self) -> None:
        """Let every run save and end: Ray interrupts its main thread, which `Stop` notices."""
        self.is_cancelled = True
        for one in self.running:
            self._ray.cancel(one, force=False)

    def close(self) -> None:
        """Leave the cluster; what still trains for this command is ended by Ray."""
        if self._is_own:
            self._ray.shutdown()


def _attempt(task: Task) -> Outcome:
    from reslab.campaign.attempt import attempt

    return attempt(task)


def _started(address: str) -> tuple[Any, bool]:
    """Return the module `ray`, connected, and whether that was done here. Raises UserError."""
    try:
        import ray
    except ImportError:
        raise UserError("--on ray: needs ray; install reslab with its extra: pip install 'reslab[ray]'") from None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if ray.is_initialized():  # by the caller of `reslab.reproduce`
        return ray, False
    _check_answers(address)
    try:
        ray.init(address or None, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise UserError(
            f"--on ray:{address}: no Ray cluster answers there ({_first_line(error)}); `ray status` shows one"
        ) from None
    return ray, True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return shortened(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__, 200)


def _check_answers(address: str) -> None:
    """Raise UserError if nothing answers at HOST:PORT; other forms of an address are Ray's to resolve."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ABSENT).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--on ray:{address}: no Ray cluster answers there ({reason}); `ray status` shows one"
        ) from None
