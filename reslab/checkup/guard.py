"""Run a check so that whatever is broken becomes a finding: no exception, no warning, nothing on standard error."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reslab.checkup.result import FAULT, Finding
from reslab.errors import LONGEST_TEXT, ReslabError, shortened

BROKEN = (Exception, SystemExit)  # a package may raise anything when it is imported


@contextlib.contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Yield the list of warnings raised inside; what is printed on standard error is dropped.

    Broken packages print whole tracebacks there, such as those of numpy about modules compiled for its first version.
    """
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def found(subject: str, check: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    """Return the findings of `check`, or a fault of `subject` with the reason it cannot be examined."""
    try:
        with quiet():
            return tuple(check())
    except BROKEN as error:
        return (Finding(subject, FAULT, f"cannot be examined: {reason(error)}"),)


def attempted(make: Callable[[], Any]) -> tuple[Any, str]:
    """Return (result, "") of `make`, or (None, the reason it raised an error)."""
    try:
        with quiet():
            return make(), ""
    except BROKEN as error:
        return None, reason(error)


def import_problem(module: str) -> str:
    """Import a module; return the reason it cannot be imported in one line, or ""."""
    return attempted(lambda: importlib.import_module(module))[1]


def reason(error: BaseException) -> str:
    """Return an error in one short line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # its __str__ fails too
        text = ""
    if isinstance(error, ReslabError):
        return text
    kind = type(error).__name__
    return shortened(f"{kind}: {text}" if text else kind, LONGEST_TEXT)
