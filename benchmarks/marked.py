"""A part of a page between two marks that a script writes."""

from __future__ import annotations

from typing import NamedTuple


class Marks(NamedTuple):
    """The two lines around a written part."""

    begin: str
    end: str

    def fill(self, page: str, text: str) -> str:
        """Return `page` with `text` between the marks; ValueError unless each is there once, in this order."""
        head, found, rest = page.partition(self.begin)
        _, closed, tail = rest.partition(self.end)
        if not found or not closed or page.count(self.begin) + page.count(self.end) != 2:
            raise ValueError(f"the page needs {self.begin} and {self.end}, once each and in this order")
        return f"{head}{self.begin}\n{text}\n{self.end}{tail}"
