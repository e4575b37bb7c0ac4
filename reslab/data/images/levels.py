"""`Levels`: which levels of 16-bit pixels become black and white. Files of 8 bits have no use for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reslab.errors import UserError

if TYPE_CHECKING:
    import numpy as np

DEEPEST = 65535
NARROW = 8  # levels that use less than this part of the range are stretched; 13 bits of 16 are just below it


@dataclass(frozen=True)
class Levels:
    """The 16-bit levels that become 0 and 255. Raises ValueError unless 0 <= low < high <= 65535."""

    low: int = 0
    high: int = DEEPEST

    def __post_init__(self) -> None:
        if type(self.low) is not int or type(self.high) is not int or not 0 <= self.low < self.high <= DEEPEST:
            raise ValueError(f"levels {self.low!r} to {self.high!r} are no range of 16 bits")

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return levels 0..65535 as uint8: clipped to low..high, then (v - low) * 255 / (high - low), halves up."""
        import numpy as np  # here: a page that reads records alone needs none

        span = self.high - self.low
        above = np.clip(values, self.low, self.high).astype(np.uint32) - np.uint32(self.low)
        mapped: np.ndarray = ((above * 255 + span // 2) // span).astype(np.uint8)
        return mapped

    @property
    def is_full(self) -> bool:
        """Return whether all levels are kept apart: a division by 257."""
        return self == FULL

    @property
    def words(self) -> str:
        return "divided by 257" if self.is_full else f"levels {self.low:,} to {self.high:,} become 0 to 255"

    @property
    def text(self) -> str:
        """The value of `--range` that means these levels."""
        return "full" if self.is_full else f"{self.low},{self.high}"

    def recorded(self) -> dict[str, list[int]]:
        """Return the entry of a record; {} of the full range, which older records did not name."""
        return {} if self.is_full else {"range": [self.low, self.high]}

    @staticmethod
    def of(record: dict[str, object]) -> Levels:
        """Return the levels of a record. Raises ValueError or TypeError if they are no range."""
        low, high = record.get("range", (0, DEEPEST))  # type: ignore[misc]
        return Levels(low, high)  # type: ignore[has-type]


FULL = Levels()


def stretched(low: int, high: int) -> Levels:
    """Return `low` to `high` if that is less than an eighth of the range, else the full range.

    An equal level of all pixels gives the full range, too.
    """
    return Levels(low, high) if 0 < NARROW * (high - low) < DEEPEST else FULL


def levels_of(text: str) -> Levels | None:
    """Return the levels that `--range` names; None for "auto". Raises UserError for any other text."""
    if text in ("auto", "full"):
        return FULL if text == "full" else None
    low, comma, high = (part.strip() for part in text.partition(","))
    try:
        if comma and low.isdecimal() and high.isdecimal():
            return Levels(int(low), int(high))
    except ValueError:
        pass
    raise UserError(f"--range: {text[:40]!r} is none of auto, full and LOW,HIGH with 0 <= LOW < HIGH <= {DEEPEST}")
