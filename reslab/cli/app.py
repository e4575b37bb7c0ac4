"""The command line's `app`, which `verbs` adds the verbs to, and the help pages' `--help-all`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from reslab.version import VERSION

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel

ALL = "--help-all"
STDIN = "\0stdin"  # no word of a command line has a zero byte


class More:
    """Formatter of the less common options of a verb: `--help-all` prints them, `--help` counts them."""

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
        """Return the line that counts the options that `--help` hid, or "" if it hid none."""
        verb = " ".join(word for word in words if not word.startswith("-"))
        count = f"{self.hidden} more option{'s' if self.hidden > 1 else ''}"
        return f"{count}: reslab {verb} {ALL}" if self.hidden else ""

    def begin(self, words: list[str]) -> list[str]:
        """Start a command: return its words with `--help-all` replaced by `--help`, and `-` of `predict` by STDIN.

        The parser would take `-` for an option.
        """
        self.is_shown, self.hidden = ALL in words, 0
        words = ["--help" if word == ALL else word for word in words]
        if words[:1] == ["predict"]:
            words[2:] = [STDIN if word == "-" else word for word in words[2:]]
        return words


MORE = More()

app = App(
    name="reslab",
    help="Build, train, examine and trust residual networks (He et al. 2015).\n"
    "Start: reslab reproduce degradation (trains on digits, writes a report).\n"
    "All commands take --help, --help-all (every option) and --debug (traceback).",
    version=VERSION,
    help_format="plaintext",  # importing the Markdown parser would take a quarter of the time
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` handles it
)
for flag in (*app.help_flags, *app.version_flags):
    app[flag].show = False  # every command has --help, and the page must fit one screen
