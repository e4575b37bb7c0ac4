"""The text of a flag as a value: numbers, pairs, times. Torch-free."""

from __future__ import annotations

import re
from contextlib import suppress

from reslab.errors import UserError

LARGEST_NUMBER = 2**63 - 1  # the largest that a file, a tensor or torch can hold
MOST_NUMBERS = 1000  # in a list: far beyond any net's stages and any study's depths
UNITS = {"s": 1, "m": 60, "h": 3600}


def bounded(lead: str, value: int) -> int:
    """Return `value`. Raises UserError, with `lead` before the number, if no file, tensor or library can hold it.

    The range that an option or field can mean is bounded with the field itself (`Recipe`, `Spec`, `host`).
    """
    if abs(value) > LARGEST_NUMBER:
        raise UserError(f"{lead}{_digits(value)} has more than 63 bits; give a number nearer to 0")
    return value


def _digits(value: int) -> str:
    """Return `value` in decimal, or its size: Python writes no number of thousands of digits out."""
    return str(value) if value.bit_length() < 1000 else f"a number of {value.bit_length():,} bits"


def numbers(flag: str, text: str) -> tuple[int, ...]:
    """Return "16,32,64" as (16, 32, 64). Raises UserError if it is no such list."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{flag}: {text!r}: whole numbers separated by commas are wanted, such as 16,32,64") from None
    if len(values) > MOST_NUMBERS:
        raise UserError(f"{flag}: {len(values):,} numbers are more than {MOST_NUMBERS:,}; give fewer")
    return tuple(bounded(f"{flag}: ", value) for value in values)


def words(flag: str, text: str) -> tuple[str, ...]:
    """Return "a,b" as ("a", "b")."""
    return tuple(part.strip() for part in text.split(","))


def pairs(flag: str, texts: list[str]) -> dict[str, str]:
    """Return key=value … as a dict. Raises UserError if one is no pair, or has a number that nothing can hold."""
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{flag}: {text!r}: key=value is wanted")
        for part in value.strip("[]() ").split(","):
            with suppress(ValueError):  # the field's own type refuses what is no whole number
                bounded(f"{flag}: {key.strip()}=", int(part.replace("_", "")))
        values[key.strip()] = value.strip()
    return values


def seconds(flag: str, text: str) -> float:
    """Return "90s", "30m" or "1.5h" in seconds. Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not found or float(found[1]) <= 0:
        raise UserError(f"{flag}: {text!r}: a time such as 90s, 30m or 1.5h is wanted")
    return float(found[1]) * UNITS[found[2]]
