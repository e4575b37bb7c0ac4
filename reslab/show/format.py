"""Format single values: safe names, numbers, durations, percentages."""

from __future__ import annotations

import json
import math
import re
from typing import Any

NB = "\u00a0"  # a space at which no line breaks: figures stay whole in narrow columns


def clean(text: Any) -> str:
    """Return `text` on one line without control characters, so that a file's name cannot control a terminal."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(text))


def quoted(name: str) -> str:
    """Return a name for a line of fields: unchanged, or as a JSON string if it contains a separator.

    The separators are ": " and two spaces; only a quoted name begins with a quotation mark.
    """
    is_plain = name.isprintable() and name == name.strip() and not name.startswith('"')
    return name if is_plain and ": " not in name and "  " not in name else json.dumps(name)


def number(value: Any, form: str, unit: str = "") -> str:
    """Return a formatted number, or "–" if it is missing or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:{form}}{unit}"


def duration(seconds: Any) -> str:
    """Return seconds as "7 s", "3:05" or "2:03:05"."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"


def percent(share: Any) -> float | None:
    """Return a share from 0 to 1 in percent."""
    return 100.0 * share if isinstance(share, int | float) else None


def plain_math(text: str) -> str:
    """Return the text with its LaTeX formulas ($…$) as plain characters: fractions as a/b, \\partial as ∂."""
    return re.sub(r"\$([^$]*)\$", lambda match: _formula(match[1]), text)


def _formula(latex: str) -> str:
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", latex)
    text = re.sub(r"\\partial\s*", "∂", text)
    return re.sub(r"\s*([=+])\s*", r" \1 ", text)
