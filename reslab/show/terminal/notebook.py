"""Progress of runs in a notebook: a bar for each run, and lines for evaluations and notes.

`default_teller` chooses for calls from Python. IPython is used only if the notebook has loaded it.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from typing import Any

from reslab.show.format import clean, number
from reslab.show.terminal.plain import Event, PlainTeller, line_of, measures

KERNEL = "ZMQInteractiveShell"  # IPython's shell in a kernel; in a terminal it is another


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == KERNEL


def default_teller() -> PlainTeller:
    """Return the teller for a call from Python: bars in a notebook, plain lines elsewhere."""
    return NotebookTeller() if in_notebook() else PlainTeller()


class NotebookTeller(PlainTeller):
    """Draw a bar for each active run; an instance is called with each event.

    every   least seconds between two updates of a bar
    """

    def __init__(self, every: float = 0.3, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(sys.stdout, every, clock)  # a notebook shows standard error as an error
        self.bars: dict[str, Any] = {}
        self.totals: dict[str, int] = {}
        self.last_drawn: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        kind = event.get("kind")
        name = str(event.get("name", self.current))
        if kind == "start":
            self.totals[name] = event.get("iterations") or 1
            super().__call__(event)
            self._draw(name, event.get("from") or 0, "starting")
        elif kind == "train":
            total = self.totals[name] = event.get("iterations") or self.totals.get(name, 1)
            if self._is_due(name) or event["iteration"] == total:
                text = f"{event['iteration']:,}/{total:,}, epoch {number(event.get('epoch'), '.1f')}: {measures(event)}"
                self._draw(name, event["iteration"], text)
        elif kind == "campaign":
            self.totals["all runs"] = 100
            self._draw("all runs", round(100 * event["done"]), line_of(event) or "")
        elif kind == "end":
            super().__call__(event)
            if name in self.bars:
                self._draw(name, self.totals[name], "done")
        else:
            super().__call__(event)

    def _is_due(self, name: str) -> bool:
        now = self.clock()
        if now - self.last_drawn.get(name, -self.every) < self.every:
            return False
        self.last_drawn[name] = now
        return True

    def _draw(self, name: str, done: int, text: str) -> None:
        """Draw a run's bar, or update it in place."""
        from IPython.display import HTML, display

        label = html.escape(f"{clean(name)}  {text}" if len(self.totals) > 1 else text)
        bar = HTML(
            f'<progress max="{self.totals[name]}" value="{done}" style="width:16em;vertical-align:middle"></progress> '
            f'<span style="font-family:monospace">{label}</span>'
        )
        if name in self.bars:
            self.bars[name].update(bar)
        else:
            self.bars[name] = display(bar, display_id=True)
