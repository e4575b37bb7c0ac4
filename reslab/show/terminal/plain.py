"""Training events as plain lines, for pipes and CI. Needs neither rich nor a terminal.

Events are dicts from the training loop; `kind` is start, train, eval, checkpoint, warning, note, end, campaign (many
runs at once), page (claims of a page drawn), or survey (files examined). Rates are in images per second, errors in
percent, `data_wait` is a share from 0 to 1, `left` is in seconds. `name` is the event's run; an event without it
belongs to the run that started last.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from reslab.errors import shortened
from reslab.show.format import clean, duration, number, percent

Event = dict[str, Any]
LONGEST_LINE = 2000  # characters: a verdict's sentence fits, a name of thousands of characters is cut


def measures(event: Event) -> str:
    """Return the figures of a "train" event without its iteration: loss, error, rate, data wait, time left."""
    waiting = percent(event.get("data_wait"))
    figures = [f"loss {number(event.get('loss'), '.4f')}", f"train error {number(event.get('error'), '.2f', ' %')}"]
    if "lr" in event:
        figures.append(f"lr {number(event['lr'], 'g')}")
    figures += [f"{number(event.get('rate'), ',.0f')} img/s", f"data wait {number(waiting, '.0f', ' %')}"]
    return ", ".join([*figures, f"{duration(event.get('left'))} left"])


def line_of(event: Event) -> str | None:
    """Return an event as one line of plain text, or None for an unknown kind."""
    kind = event.get("kind")
    if kind == "start":
        return _start(event)
    if kind == "train":
        total = f"/{event['iterations']:,}" if "iterations" in event else ""
        epoch = f", epoch {event['epoch']:.1f}" if "epoch" in event else ""
        return f"iteration {event['iteration']:,}{total}{epoch}: {measures(event)}"
    if kind == "eval":
        split = "train, clean pass" if event["split"] == "train" else event["split"]
        return clean(
            f"iteration {event['iteration']:,}: {split} error {number(event['top1_error'], '.2f', ' %')}, "
            f"loss {number(event.get('loss'), '.4f')}, n = {number(event.get('n'), ',')}"
        )
    if kind == "checkpoint":
        return f"iteration {event['iteration']:,}: checkpoint"
    if kind == "campaign":
        if event.get("text"):
            return clean(event["text"])
        work = f"{number(percent(event['done']), '.0f', ' %')} of the work"
        at_work = f"; at work: {rows}" if (rows := places(event)) else ""
        return f"{event['runs_done']} of {event['runs']} runs done, {work}, {duration(event.get('left'))} left{at_work}"
    if kind == "survey":
        return (
            f"{event['iteration']:,} of {event['iterations']:,} files examined, {event['rate']:,.0f} a second, "
            f"{duration(event['left'])} left"
        )
    if kind == "page":
        return f"page: {event['iteration']} of {event['iterations']} claims drawn"
    if kind == "warning":
        return f"warning: {clean(event['text'])}"
    return clean(event["text"]) if kind in ("note", "end") and event.get("text") else None


def places(event: Event) -> str:
    """Return where the runs of a "campaign" event are trained and how far they are, "" if all are here."""
    rows = [row for row in event.get("running", ()) if row["where"]]
    return ", ".join(
        f"{clean(row['label'])} on {clean(row['where'])} {percent(row['iteration'] / row['iterations']):.0f} %"
        for row in rows
    )


def _start(event: Event) -> str:
    """Return the event's `text` if it has one, else a line made of its fields."""
    if event.get("text"):
        return clean(event["text"])
    begin = event.get("from") or 0
    how = f"resumed at iteration {begin:,} of" if event.get("resumed") else "from iteration 0 to"
    line = f"{event.get('name', event.get('model', 'run'))}: {how} {event.get('iterations', 0):,}"
    settings = event.get("settings")
    if isinstance(settings, dict):
        settings = ", ".join(f"{k} {v}" for k, v in settings.items())
    line += f", {settings}" if settings else ""
    return clean(line + (f", in {event['out']}" if event.get("out") else ""))


class PlainTeller:
    """Print events as lines; an instance is called with each event.

    stream   by default standard error, so that standard output is left to results
    every    least seconds between two "train" lines of a run; evaluations, warnings and notes are always printed
    clock    returns seconds, monotonic
    """

    def __init__(
        self, stream: TextIO | None = None, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.every, self.clock = stream, every, clock
        self.last_printed: dict[str, float] = {}  # run to the time of its last "train" line
        self.current = ""

    def __call__(self, event: Event) -> None:
        kind = event.get("kind")
        if kind == "checkpoint":  # frequent, and nothing to act on
            return
        name = str(event.get("name", self.current))
        if kind == "start":
            self.current = name
            self.last_printed[name] = -math.inf
        if kind in ("train", "campaign", "page"):
            now = self.clock()
            is_last = event.get("iteration") == event.get("iterations", -1)
            if now - self.last_printed.get(name, -math.inf) < self.every and not is_last:
                return
            self.last_printed[name] = now
        line = line_of(event)
        if line is not None:
            # the run's name is needed only if several runs print
            self.write(f"{clean(name)}: {line}" if len(self.last_printed) > 1 and kind != "start" else line)

    def write(self, line: str) -> None:
        """Print a line and flush it. `sys.stderr` is read at each call, so that a redirection takes effect."""
        stream = self.stream or sys.stderr
        if stream is not None:  # standard error is closed; print(file=None) would use standard output
            print(shortened(line, LONGEST_LINE), file=stream, flush=True)

    def close(self) -> None:
        """Do nothing: there is nothing to release. Every teller can be closed."""

    def __enter__(self) -> PlainTeller:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
