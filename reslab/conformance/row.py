"""One line of an audit: an item, what the paper says, what was found, and whether that departs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """An item of an audit.

    item      stable name: "stride", "shortcut", "parameters", …
    paper     what the paper says, with its section or table
    found     what the network or the recipe has
    departs   whether `found` departs from `paper`; never for what follows from other departures
    because   the departing items that a difference follows from (only for "parameters" and "macs")
    """

    item: str
    paper: str
    found: str
    departs: bool
    because: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in plain types; `because` only if it has items."""
        fields = {"item": self.item, "paper": self.paper, "found": self.found, "departs": self.departs}
        return fields | ({"because": list(self.because)} if self.because else {})
