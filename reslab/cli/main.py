"""From words to an exit status: errors are one line on standard error.

Exit 2 for bad input, 1 for work that failed, 75 for interrupted and saved.
"""

from __future__ import annotations

import os
import shlex
import sys

from cyclopts import CycloptsError

from reslab.cli.verbs import VERBS, app
from reslab.errors import ReslabError, RunError, UserError, suggest


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit status; errors are one line, unless --debug asks for the traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        app(words, exit_on_error=False, print_error=False)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except CycloptsError as error:
        return _fail(UserError(_told(error)), debug)
    except ReslabError as error:
        return _fail(error, debug)
    except KeyboardInterrupt:
        print("reslab: stopped at once", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _fail(_os_error(error), debug)
    return 0


def _drop_output() -> None:
    """What standard output could not take is dropped, or the interpreter would complain of it when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: ReslabError, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    from reslab.show.plain import clean

    print(f"reslab: {clean(error)}", file=sys.stderr)
    return error.exit_code


def _os_error(error: OSError) -> ReslabError:
    return RunError(f"{error.filename or 'file'}: {error.strerror or error}")


def _told(error: CycloptsError) -> str:
    """The parser's message in one line, with the nearest verb where the verb is the mistake."""
    text = " ".join(str(error).split())
    verbs = VERBS
    if "recipe" in (error.command_chain or ()):
        verbs = ("list", "show")
    unused = list(getattr(error, "unused_tokens", None) or [])
    if type(error).__name__ == "UnknownCommandError" and unused:
        return f"unknown command {unused[0]!r}{suggest(unused[0], verbs)}; there are {', '.join(verbs)}"
    if type(error).__name__ == "UnusedCliTokensError" and unused:
        verb = " ".join(["reslab", *(error.command_chain or ())])
        return f"unexpected {shlex.join(unused)}; `{verb} --help` tells what may stand there"
    return text
