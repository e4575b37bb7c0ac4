"""SIGTERM, SIGINT and SIGHUP as a question that the loop asks: finish the step, save, leave.

A second signal stops at once. SIGHUP is a closed terminal; under `nohup`, which ignores it, it stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stop:
    """`stop()` says whether a signal has come, or `also()` says so (another process's request).

    Outside the main thread signals cannot be taken.
    """

    def __init__(self, also: Callable[[], bool] = lambda: False) -> None:
        self.asked, self.also = False, also
        self._kept: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.asked or self.also()

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._kept[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()  # a second signal has its ordinary, immediate effect

    def _restore(self) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._kept.clear()

    def __exit__(self, *error: object) -> None:
        self._restore()
