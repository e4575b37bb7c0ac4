"""Progress of runs on the command line: a live line on a terminal, plain lines elsewhere.

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
    """Return a `Teller` if `stream` (default: standard error) is a terminal, else a `PlainTeller`.

    quiet   print only warnings and the end, as plain lines
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
    """Draw a live line for each active run; an instance is called with each event. Close it, or use `with`."""

    def __init__(self, stream: TextIO | None = None, terminal: bool | None = None) -> None:
        """stream: a terminal (default: standard error). terminal: True draws even if `stream` is not a terminal."""
        from rich.console import Console

        self.console = Console(
            file=stream or sys.stderr, force_terminal=terminal, markup=False, highlight=False, emoji=False
        )
        self.progress: Progress | None = None
        self.lines: dict[str, TaskID] = {}
        self.labels: dict[str, str] = {}
        self.current = ""

    def __call__(self, event: Event) -> None:
        kind = event.get("kind")
        name = str(event.get("name", self.current))
        if kind == "start":
            self.current = name
            self._print(line_of(event))
            self._open(name, event)
        elif kind == "train":
            self._move(name, event)
        elif kind == "campaign":
            self._campaign(event)
        elif kind == "page":
            self._move("page", {**event, "text": "claims drawn"})
        elif kind == "survey":
            self._move("files", {**event, "text": f"files examined, {duration(event['left'])} left"})
            if event["iteration"] == event["iterations"]:
                self._finish("files")
        elif kind == "end":
            self._finish(name)
            self._print(line_of(event))
        elif kind != "checkpoint":
            self._print(line_of(event), style="yellow" if kind == "warning" else None)

    def _campaign(self, event: Event) -> None:
        """Draw a line for all runs of a campaign, and one for each that is at work."""
        rows = {f"run {row['name']}": row for row in event.get("running", ())}
        for name in [name for name in self.lines if name.startswith("run ") and name not in rows]:
            self._finish(name)
        whole = {key: value for key, value in event.items() if key != "running"}  # the rows say the rest
        text = event["text"].partition(";")[0] if event.get("text") else line_of(whole)
        self._move("campaign", {"iteration": round(100 * event["done"]), "iterations": 100, "text": text})
        for name, row in rows.items():
            where = f"on {clean(row['where'])}, " if row["where"] else ""
            self._move(name, {**row, "text": f"{where}{duration(row['left'])} left"}, clean(row["label"]))

    def _print(self, line: str | None, style: str | None = None) -> None:
        """Print a line above the live lines."""
        from rich.text import Text

        if line is not None:
            self.console.print(Text(shortened(line, LONGEST_LINE), style=style or ""), soft_wrap=True)

    def _open(self, name: str, event: Event, label: str = "") -> None:
        if self.progress is None:
            self.progress = _progress(self.console)
            self.progress.start()
        self.lines[name] = self.progress.add_task(
            "", total=event.get("iterations"), completed=event.get("from") or 0, figures="starting"
        )
        self.labels[name] = label or clean(name)
        if len(self.lines) > 1:  # a single run needs no name
            for other, line in self.lines.items():
                self.progress.update(line, description=f"{self.labels[other]} ")

    def _move(self, name: str, event: Event, label: str = "") -> None:
        if name not in self.lines:
            self._open(name, {"iterations": event.get("iterations")}, label)
        if self.progress is not None:
            self.progress.update(
                self.lines[name],
                completed=event["iteration"],
                figures=_figures(event),
                **({"total": event["iterations"]} if "iterations" in event else {}),
            )

    def _finish(self, name: str) -> None:
        line = self.lines.pop(name, None)
        if self.progress is not None and line is not None:
            self.progress.remove_task(line)
        if not self.lines:
            self.close()

    def close(self) -> None:
        """Remove the live lines and restore the cursor. What was printed above them stays.

        Errors of a closed terminal are ignored, so that the run's own result reaches the caller.
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
    """Return the live line's figures, short enough for 80 columns with the bar."""
    if event.get("text"):
        return str(event["text"])
    figures = [
        f"loss {number(event.get('loss'), '.3f')}",
        f"err {number(event.get('error'), '.1f', '%')}",
        f"{number(event.get('rate'), ',.0f')} img/s",
        f"wait {number(percent(event.get('data_wait')), '.0f', '%')}",
        f"{duration(event.get('left'))} left",
    ]
    return "  ".join(figures)


def _progress(console: Console) -> Progress:
    """Return the live lines; each is removed when its run ends."""
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}{task.completed}/{task.total}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[figures]}", markup=False),
        console=console,
        redirect_stdout=sys.stdout.isatty(),  # piped results must not appear on the terminal
        transient=True,
        refresh_per_second=4,
    )
