"""A note's own lines as readable text: pictures and layout left out, Markdown's marks and LaTeX as plain characters."""

from __future__ import annotations

import re
import textwrap

PICTURE = re.compile(r"^\s*(!\[[^\]]*\]\([^)]*\)(\{[^}]*\})?|<img [^>]*>)\s*$")
LAYOUT = re.compile(r"^\s*(<br/>|-{3,})\s*$")
LINK = re.compile(r"\[([^\]]+)\]\((https?:[^)]+)\)")
MARKS = re.compile(r"\*{2,3}|^\s*#{2,} ", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.*?)\$\$|\$([^$]+)\$", re.DOTALL)
# In this order: an exponent within an exponent is rewritten first.
LATEX = (
    (r"\\(begin|end)\{align\}", ""),
    (r"\\\\\s*$", ""),
    (r"&=", "="),
    (r"\\partial\s*", "∂"),
    (r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2"),
    (r"\^\{(\[[^\]]*\])\}", r"\1"),
    (r"\^\{([^{}]*)\}", r"^(\1)"),
    (r"_\{([^{}]*)\}", r"_\1"),
    (r"\\([{}])", r"\1"),
    (r"\\in\b", "∈"),
    (r"\\times\b", "×"),
    (r"\\[; ]", " "),
    (r"\](?=[a-z])", "] "),
    (r"(_s)(?=a)", r"\1 "),
    (r"\s*([=+])\s*", r" \1 "),
    (r"(?<=\[L) \+ (?=\d\])", "+"),
    (r"[ \t]+", " "),
    (r"(?<=\() | (?=\))", ""),
    (r" ?\\q?quad\b ?", "   "),
)


def is_picture(line: str) -> bool:
    """Return whether a line of a note is a picture and nothing else."""
    return PICTURE.match(line) is not None


def readable(text: str) -> str:
    """Return lines of a note as a reader sees them: words unchanged, formulas on lines of their own."""
    lines = [line for line in text.splitlines() if not PICTURE.match(line) and not LAYOUT.match(line)]
    plain = FORMULA.sub(_formula, textwrap.dedent("\n".join(lines)))
    plain = MARKS.sub("", LINK.sub(r"\1 (\2)", plain))
    return "\n".join(line.rstrip() for line in plain.splitlines() if line.strip())


def _formula(found: re.Match[str]) -> str:
    if found[1] is None:
        return _plain(found[2])
    return "\n".join(filter(None, (_plain(line) for line in found[1].splitlines())))


def _plain(latex: str) -> str:
    for pattern, replacement in LATEX:
        latex = re.sub(pattern, replacement, latex)
    return latex.strip()
