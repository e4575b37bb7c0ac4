"""The command line's one object; each file of verbs hangs its own on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from reslab.version import VERSION

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel

ALL = "--help-all"


class More:
    """The less common options of a verb: printed by `--help-all`, counted by `--help`."""

    def __init__(self) -> None:
        self.is_shown = False
        self.hidden = 0

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        from cyclopts.help.formatters.default import DefaultFormatter

        if self.is_shown:
            DefaultFormatter()(console, options, panel)
        else:
            self.hidden += len(panel.entries)

    def last_line(self, words: list[str]) -> str:
        """Return what `--help` says of the options that it does not show, or ""."""
        verb = " ".join(word for word in words if not word.startswith("-"))
        count = f"{self.hidden} more option{'s' if self.hidden > 1 else ''}"
        return f"{count}: reslab {verb} {ALL}" if self.hidden else ""

    def begin(self, words: list[str]) -> list[str]:
        """Return the words with `--help-all` as `--help`, and forget the page before."""
        self.is_shown, self.hidden = ALL in words, 0
        return ["--help" if word == ALL else word for word in words]


MORE = More()

app = App(
    name="reslab",
    help="Build, train, examine and trust residual networks (He et al. 2015).\n\n"
    "Every command takes --help, --help-all (every option) and --debug (where in the code an error is).",
    version=VERSION,
    help_format="plaintext",  # the list of verbs has no Markdown, whose parser would cost a quarter of its time
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` tells it
)
