"""What training tells, as plain lines: for pipes and CI. Needs neither rich nor a terminal.

Events are dicts told by the training loop; `kind` is start, train, eval, checkpoint, warning, note, end, campaign
(many runs at once), or page (claims of a page drawn). Rates are in images per second, errors in percent, `data_wait` is
a share from 0 to 1, `left` is in seconds. An event may carry `name`, the run that it is of; without it, it is of the
run that started last.
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
LONGEST_LINE = 2000  # characters; a verdict's sentence is whole, a name of thousands of characters is not


def measures(event: Event) -> str:
    """The figures of a "train" event but for the iteration: loss, error, rate, data wait, time left."""
    waiting = percent(event.get("data_wait"))
    told = [f"loss {number(event.get('loss'), '.4f')}", f"train error {number(event.get('error'), '.2f', ' %')}"]
    if "lr" in event:
        told.append(f"lr {number(event['lr'], 'g')}")
    told += [f"{number(event.get('rate'), ',.0f')} img/s", f"data wait {number(waiting, '.0f', ' %')}"]
    return ", ".join([*told, f"{duration(event.get('left'))} left"])


def line_of(event: Event) -> str | None:
    """One event as one line of plain text, or None for a kind that is not known."""
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
        work = f"{number(percent(event['done']), '.0f', ' %')} of the work"
        return f"{event['runs_done']} of {event['runs']} runs done, {work}, {duration(event.get('left'))} left"
    if kind == "page":
        return f"page: {event['iteration']} of {event['iterations']} claims drawn"
    if kind == "warning":
        return f"warning: {clean(event['text'])}"
    return clean(event["text"]) if kind in ("note", "end") and event.get("text") else None


def _start(event: Event) -> str:
    """`text` where the event brings one, or else a line made of its fields."""
    if event.get("text"):
        return clean(event["text"])
    begin = event.get("from") or 0
    how = f"resumed at iteration {begin:,} of" if event.get("resumed") else "from iteration 0 to"
    told = f"{event.get('name', event.get('model', 'run'))}: {how} {event.get('iterations', 0):,}"
    settings = event.get("settings")
    if isinstance(settings, dict):
        settings = ", ".join(f"{k} {v}" for k, v in settings.items())
    told += f", {settings}" if settings else ""
    return clean(told + (f", in {event['out']}" if event.get("out") else ""))


class PlainTeller:
    """Called with events; prints lines.

    stream   where to (standard error, so that standard output stays for results)
    every    seconds that must lie between two "train" lines of a run; evaluations, warnings, notes are always told
    clock    seconds, rising
    """

    def __init__(
        self, stream: TextIO | None = None, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.every, self.clock = stream, every, clock
        self.told: dict[str, float] = {}  # run to the moment of its last "train" line
        self.current = ""

    def __call__(self, event: Event) -> None:
        kind = event.get("kind")
        if kind == "checkpoint":  # one more every few lines, and nobody acts on it
            return
        name = str(event.get("name", self.current))
        if kind == "start":
            self.current = name
            self.told[name] = -math.inf
        if kind in ("train", "campaign", "page"):
            now = self.clock()
            done = event.get("iteration") == event.get("iterations", -1)
            if now - self.told.get(name, -math.inf) < self.every and not done:
                return
            self.told[name] = now
        line = line_of(event)
        if line is not None:
            # a name stands before the line only where several runs speak
            self.write(f"{clean(name)}: {line}" if len(self.told) > 1 and kind != "start" else line)

    def write(self, line: str) -> None:
        """One line to the stream, at once; standard error is looked up late, so that a redirection counts."""
        stream = self.stream or sys.stderr
        if stream is not None:  # closed by the caller; print would take standard output instead
            print(shortened(line, LONGEST_LINE), file=stream, flush=True)

    def close(self) -> None:
        """Nothing is held open; here so that every teller can be closed."""

    def __enter__(self) -> PlainTeller:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
