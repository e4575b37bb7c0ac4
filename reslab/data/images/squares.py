"""How a picture of any proportions becomes the square that a network sees."""

from __future__ import annotations

from typing import Literal, get_args

Resize = Literal["crop", "squash", "letterbox"]
"""crop: the centre of the resized picture. squash: all of it, its proportions lost. letterbox: all of it in its
proportions, in the middle of a square of one colour"""
RESIZES: tuple[Resize, ...] = get_args(Resize)


def contained(side: int, width: int, height: int) -> tuple[int, int]:
    """Return (width, height) of a picture resized to a longer side of `side` pixels.

    The other side is rounded, halves up, and is at least 1.
    """
    longer = max(width, height)
    new_width, new_height = (max(1, (2 * edge * side + longer) // (2 * longer)) for edge in (width, height))
    return new_width, new_height
