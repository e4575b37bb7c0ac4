"""What the command line shows while a run goes on: a live line on a terminal, plain lines elsewhere.

`teller()` chooses. The live line has a bar, the iteration, images per second, the share of time spent waiting for
data, loss, running error and time left; evaluations, warnings and notes are printed above it and stay.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from reslab.errors import shortened
from reslab.show.format import clean, duration, number, percent
from reslab.show.terminal.plain import LONGEST_LINE, Event, PlainTeller, line_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def teller(stream: TextIO | None = None, quiet: bool = False) -> PlainTeller | Teller:
    """The teller that fits `stream` (standard error by default): `Teller` on a terminal, `PlainTeller` elsewhere.

    quiet   warnings and the end alone, as plain lines
    """
    out = stream or sys.stderr
    if quiet:
        return _Quiet(stream)
    if out is not None and out.isatty() and os.environ.get("TERM") != "dumb":
        return Teller(out)
    return PlainTeller(stream)


class _Quiet(PlainTeller):
    def __call__(self, event: Event) -> None:
        if event.get("kind") in ("warning", "end"):
            super().__call__(event)


class Teller:
    """Called with events; draws one live line for each run that is going on. Close it, or use it in a `with`."""

    def __init__(self, stream: TextIO | None = None, terminal: bool | None = None) -> None:
        """stream: a terminal (standard error by default); terminal: True draws even where it says it is none."""
        from rich.console import Console

        self.console = Console(
            file=stream or sys.stderr, force_terminal=terminal, markup=False, highlight=False, emoji=False
        )
        self.progress: Progress | None = None
        self.lines: dict[str, TaskID] = {}
        self.current = ""

    def __call__(self, event: Event) -> None:
        kind = event.get("kind")
        name = str(event.get("name", self.current))
        if kind == "start":
            self.current = name
            self._say(line_of(event))
            self._open(name, event)
        elif kind == "train":
            self._move(name, event)
        elif kind == "campaign":
            self._move("campaign", {"iteration": round(100 * event["done"]), "iterations": 100, "text": line_of(event)})
        elif kind == "page":
            self._move("page", {**event, "text": "claims drawn"})
        elif kind == "end":
            self._shut(name)
            self._say(line_of(event))
        elif kind != "checkpoint":
            self._say(line_of(event), style="yellow" if kind == "warning" else None)

    def _say(self, line: str | None, style: str | None = None) -> None:
        """A line above the live one."""
        from rich.text import Text

        if line is not None:
            self.console.print(Text(shortened(line, LONGEST_LINE), style=style or ""), soft_wrap=True)

    def _open(self, name: str, event: Event) -> None:
        if self.progress is None:
            self.progress = _progress(self.console)
            self.progress.start()
        self.lines[name] = self.progress.add_task(
            "", total=event.get("iterations"), completed=event.get("from") or 0, figures="starting"
        )
        if len(self.lines) > 1:  # one run needs no name beside its bar, several do
            for other, line in self.lines.items():
                self.progress.update(line, description=f"{clean(other)} ")

    def _move(self, name: str, event: Event) -> None:
        if name not in self.lines:
            self._open(name, {"iterations": event.get("iterations")})
        if self.progress is not None:
            self.progress.update(
                self.lines[name],
                completed=event["iteration"],
                figures=_figures(event),
                **({"total": event["iterations"]} if "iterations" in event else {}),
            )

    def _shut(self, name: str) -> None:
        line = self.lines.pop(name, None)
        if self.progress is not None and line is not None:
            self.progress.remove_task(line)
        if not self.lines:
            self.close()

    def close(self) -> None:
        """Take the live lines away and give the cursor back. What was printed above them stays.

        A terminal that is gone is no error: the run's own end must reach the caller.
        """
        if self.progress is not None:
            with suppress(OSError, ValueError):
                self.progress.stop()
            self.progress = None
        self.lines.clear()

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _figures(event: Event) -> str:
    """The live line's figures, short enough for 80 columns beside the bar."""
    if event.get("text"):
        return str(event["text"])
    told = [
        f"loss {number(event.get('loss'), '.3f')}",
        f"err {number(event.get('error'), '.1f', '%')}",
        f"{number(event.get('rate'), ',.0f')} img/s",
        f"wait {number(percent(event.get('data_wait')), '.0f', '%')}",
        f"{duration(event.get('left'))} left",
    ]
    return "  ".join(told)


def _progress(console: Console) -> Progress:
    """The live line. It goes when its run ends: the last word is the end's own line."""
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}{task.completed}/{task.total}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[figures]}", markup=False),
        console=console,
        redirect_stdout=sys.stdout.isatty(),  # results that are piped away must not land on the terminal
        transient=True,
        refresh_per_second=4,
    )
