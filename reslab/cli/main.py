"""Run a command line and return its exit status. Errors are one line on standard error.

Exit 2 for bad input, 1 for work that failed, 75 for interrupted and saved.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from reslab.engines.shares import RANK, is_rank

if TYPE_CHECKING:
    from cyclopts import CycloptsError

    from reslab.errors import ReslabError


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit status; errors are one line, unless --debug asks for the traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        # Imported here so that Ctrl-C during the import is handled too.
        from reslab.cli import output

        output.prepare_streams()
        code = _run([w for w in words if w != "--debug"], "--debug" in words)
        for stream in (sys.stdout, sys.stderr):
            output.drop(stream)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            with suppress(OSError, ValueError):
                print("reslab: stopped at once", file=sys.stderr)
        return 130
    return code


def _run(words: list[str], debug: bool) -> int:
    from reslab.cli import output
    from reslab.errors import ReslabError, RunError, UserError, unexpected

    try:
        from cyclopts import CycloptsError

        from reslab.cli.app import MORE
        from reslab.cli.verbs import app
    except Exception as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        remedy = "install cyclopts again; `reslab.doctor()` in Python shows what else is missing"
        return _fail(RunError(f"the command line cannot be loaded: {problem}; {remedy}"), debug)
    try:
        status = app(MORE.begin(words), exit_on_error=False, print_error=False)
        # This also flushes a help page, so that a full disk is reported.
        output.show(MORE.last_line(words), end="\n" if MORE.hidden else "")
    except CycloptsError as error:
        return _fail(UserError(_message(error, words)), debug)
    except ReslabError as error:
        return _fail(error, debug)
    except output.Unwritable as error:
        if error.errno == errno.EPIPE:
            return 0  # a reader such as `head` closed the pipe: not an error
        return _fail(RunError(f"standard output: {error.strerror or error}"), debug)
    except Exception as error:
        return _fail(unexpected(error), debug)
    return status if isinstance(status, int) else 0


def _fail(error: ReslabError, debug: bool) -> int:
    from reslab.cli import output

    if debug:
        output.say_traceback()
    if is_rank():
        return _fail_as_rank(error)
    output.say(f"reslab: {error}")
    return error.exit_code


def _fail_as_rank(error: ReslabError) -> int:
    """Report the error of one of several ranks. For torchrun a saved stop is no failure, so its status is 0."""
    from reslab.cli import output
    from reslab.errors import Interrupted
    from reslab.training.launch import report

    if not report(error):
        output.say(f"reslab: rank {os.environ.get(RANK, '?')}: {error}")
    return 0 if isinstance(error, Interrupted) else error.exit_code


def _message(error: CycloptsError, words: list[str]) -> str:
    """Return the parser's message in one line.

    An unknown verb comes with the nearest verbs; a flag that is a field of the recipe comes with the --set form.
    """
    import shlex

    from cyclopts import UnknownOptionError

    from reslab.cli.verbs import VERBS
    from reslab.errors import suggest

    text = " ".join(str(error).split())
    verbs: tuple[str, ...] = tuple(VERBS)
    if "recipe" in (error.command_chain or ()):
        verbs = ("list", "show")
    unused = list(getattr(error, "unused_tokens", None) or [])
    if type(error).__name__ == "UnknownCommandError" and unused:
        return f"unknown command {unused[0]!r}{suggest(unused[0], verbs)}; there are {', '.join(verbs)}"
    if isinstance(error, UnknownOptionError):
        has_set = any("--set" in argument.names for argument in error.argument_collection)
        field = _as_field(error.token.keyword or error.token.value, words) if has_set else ""
        return field or text
    if type(error).__name__ == "UnusedCliTokensError" and unused:
        verb = " ".join(["reslab", *(error.command_chain or ())])
        return f"unexpected {shlex.join(unused)}; see `{verb} --help`"
    return text


def _as_field(flag: str, words: list[str]) -> str:
    """Return the message that a flag is a field of the recipe, with its --set form; "" if it is not a field."""
    from reslab.runs.recipe import Recipe

    key = flag.partition("=")[0].removeprefix("--")
    name = key.replace("-", "_")
    if not flag.startswith("--") or name not in Recipe().to_dict():
        return ""
    places = [i for i, word in enumerate(words) if word.partition("=")[0] == f"--{key}"]
    value = words[places[0]].partition("=")[2] or [*words, ""][places[0] + 1] if places else ""
    value = "…" if value.startswith("-") or not value else value
    return f"--{key}: {name} is a field of the recipe; use --set {name}={value}"
