"""Keep Pillow and libtiff from printing what the exceptions of `decode` say."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def logger() -> None:
    """Silence what Pillow logs, unless the program handles it."""
    # Pillow logs some damage, and without a handler Python prints it on stderr. A program's own handlers still get it.
    logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def libtiff() -> Iterator[None]:
    """Silence stderr of the process, on which libtiff prints messages in addition to the exception."""
    with _ONE_AT_A_TIME:  # otherwise one thread would restore the null device of another as stderr
        try:
            real = os.dup(2)
        except OSError:  # closed already: nothing to silence
            yield
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            os.close(null)
