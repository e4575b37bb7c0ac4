"""SIGTERM, SIGINT and SIGHUP as a flag that the loop reads: it finishes the update, saves, and leaves.

A second signal stops the process at once. SIGHUP comes from a closed terminal; under `nohup` it stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stop:
    """`stop()` returns whether a signal has come, or whether `should_stop()` is true (another process's request).

    Outside the main thread Python cannot handle signals, so there only `should_stop` counts.
    """

    def __init__(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.has_signal, self.should_stop = False, should_stop
        self._previous: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.has_signal or self.should_stop()

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.has_signal = True
        self._restore()  # a second signal has its ordinary, immediate effect

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def __exit__(self, *error: object) -> None:
        self._restore()
