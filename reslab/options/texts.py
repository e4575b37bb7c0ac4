"""Parse the text of a flag: numbers, pairs, times. Torch-free."""

from __future__ import annotations

import re
from contextlib import suppress

from reslab.errors import UserError

LARGEST_NUMBER = 2**63 - 1  # the largest that a file, a tensor or torch can hold
MOST_NUMBERS = 1000  # in a list: far beyond any net's stages and any study's depths
UNITS = {"s": 1, "m": 60, "h": 3600}


def bounded(lead: str, value: int) -> int:
    """Return `value`. Raises UserError, with `lead` before the number, if it has more than 63 bits.

    The meaningful range of an option or field is checked with the field itself (`Recipe`, `Spec`, `host`).
    """
    if abs(value) > LARGEST_NUMBER:
        raise UserError(f"{lead}{_digits(value)} has more than 63 bits; give a number nearer to 0")
    return value


def _digits(value: int) -> str:
    """Return `value` in decimal, or only its size: Python refuses to print thousands of digits."""
    return str(value) if value.bit_length() < 1000 else f"a number of {value.bit_length():,} bits"


def numbers(flag: str, text: str) -> tuple[int, ...]:
    """Return "16,32,64" as (16, 32, 64). Raises UserError if `text` is not such a list."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{flag}: {text!r}: expected whole numbers separated by commas, such as 16,32,64") from None
    if len(values) > MOST_NUMBERS:
        raise UserError(f"{flag}: {len(values):,} numbers are more than {MOST_NUMBERS:,}; give fewer")
    return tuple(bounded(f"{flag}: ", value) for value in values)


def words(flag: str, text: str) -> tuple[str, ...]:
    """Return "a,b" as ("a", "b")."""
    return tuple(part.strip() for part in text.split(","))


def pairs(flag: str, texts: list[str]) -> dict[str, str]:
    """Return key=value … as a dict.

    Raises UserError if a text is not key=value, or has a number beyond 63 bits.
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{flag}: {text!r}: expected key=value")
        for part in value.strip("[]() ").split(","):
            with suppress(ValueError):  # a text that is not a whole number is left to the field's own type
                bounded(f"{flag}: {key.strip()}=", int(part.replace("_", "")))
        values[key.strip()] = value.strip()
    return values


def seconds(flag: str, text: str) -> float:
    """Return "90s", "30m" or "1.5h" in seconds. Raises UserError if `text` is not such a time."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise UserError(f"{flag}: {text!r}: expected a time such as 90s, 30m or 1.5h")
    return float(match[1]) * UNITS[match[2]]
