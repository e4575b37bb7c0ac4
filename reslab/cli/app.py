"""The command line's one object; each file of verbs hangs its own on it."""

from __future__ import annotations

from cyclopts import App

from reslab.version import VERSION

app = App(
    name="reslab",
    help="Build, train, examine and trust residual networks (He et al. 2015).\n\n"
    "What goes wrong is told in one line; --debug with any command shows where in the code.",
    version=VERSION,
    help_format="plaintext",  # the list of verbs has no Markdown, whose parser would cost a quarter of its time
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` tells it
)
