"""What the executors of a scheduler share: tasks that wait here, and tasks that the scheduler has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reslab.campaign.executor import Ended, Outcome, Task


class Scheduled:
    """Base of the executors of Ray and Slurm.

    parallel   most tasks that the scheduler has at a time, None: all
    running    the tasks that it has, by its own handle of them
    """

    def __init__(self, parallel: int | None) -> None:
        self.parallel = parallel
        self.running: dict[Any, Task] = {}
        self.is_cancelled = False
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Train `task` as soon as there is room."""
        self._waiting.append(task)

    def start(self, begin: Callable[[Task], Any]) -> Ended:
        """Begin the tasks that there is room for; once cancelled, return those that wait as stopped.

        begin   hands a task to the scheduler and returns its handle
        """
        if self.is_cancelled:
            stopped: Ended = [(task, Outcome("stopped")) for task in self._waiting]
            self._waiting.clear()
            return stopped
        while self._waiting and (self.parallel is None or len(self.running) < self.parallel):
            task = self._waiting.popleft()
            self.running[begin(task)] = task
        return []

    def forget(self, task: Task) -> list[Any]:
        """Take `task` from those that wait; return the scheduler's handle if it has the task."""
        with suppress(ValueError):
            self._waiting.remove(task)
        return [handle for handle, running in self.running.items() if running is task]
