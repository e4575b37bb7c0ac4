"""The pages of the site that come from the code: the help texts of the command line, the docstrings of the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HELP, MARK = "command-line", "<!-- help texts -->"
WIDE = "4000"  # columns: each option stays on one line


def fill(app: Any, name: str, source: list[str]) -> None:
    """Put the help texts into their page."""
    if name == HELP:
        source[0] = source[0].replace(MARK, "\n".join(help_pages()))


def help_pages() -> list[str]:
    """Return every verb's `--help-all` as Markdown, in the order of `reslab --help`."""
    verbs = commands(help_text())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts = dict(zip(verbs, pool.map(help_text, verbs), strict=True))
        below = [f"{verb} {name}" for verb in verbs for name in commands(texts[verb])]
        texts |= dict(zip(below, pool.map(help_text, below), strict=True))
    return [line for verb in sorted(texts) for line in (f"## reslab {verb}", "", *markdown(texts[verb]))]


def help_text(verb: str = "") -> str:
    """Return what `reslab VERB --help-all` prints on a very wide terminal."""
    words = [sys.executable, "-m", "reslab", *verb.split(), "--help-all" if verb else "--help"]
    surroundings = {**os.environ, "COLUMNS": WIDE, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(words, cwd=ROOT, env=surroundings, capture_output=True, encoding="utf-8", check=True).stdout


def commands(text: str) -> list[str]:
    """Return the verbs that a help text lists."""
    return [name for title, items in panels(text) if title == "Commands" for name, _ in items if name[0] != "-"]


def panels(text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each box of a help text: its title, and its lines as (name, meaning)."""
    for box in re.finditer(r"^╭─ (.+?) ─*╮\n(.*?)^╰", text, re.MULTILINE | re.DOTALL):
        lines = [line.strip("│ ") for line in box[2].splitlines()]
        yield box[1], [(name, meaning.strip()) for name, _, meaning in (line.partition("  ") for line in lines)]


def markdown(text: str) -> Iterator[str]:
    """Yield a help text as Markdown: its sentences as they are, its boxes as lists of definitions."""
    usage, _, rest = re.sub(r"^╭.*?^╰.*?$", "", text, flags=re.MULTILINE | re.DOTALL).strip().partition("\n")
    yield from ("```text", usage.removeprefix("Usage: "), "```", "", _escaped(re.sub(r"\n{3,}", "\n\n", rest).strip()))
    for title, items in panels(text):
        yield from ("", f"**{title}**", "")
        for name, meaning in items:
            yield from (f"`{name}`", f": {_escaped(meaning) or '–'}", "")


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text)


def docstring(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring's aligned lines `name    meaning` a list of parameters, and keep the rest."""
    if what == "function":
        lines[:] = fields(lines)


def fields(lines: list[str]) -> list[str]:
    """Return the lines of a docstring in reStructuredText, with a field for each parameter.

    A parameter is a line with a name, two spaces or more, and its meaning; lines that are indented as far as the
    meaning continue it.
    """
    result: list[str] = []
    column = 0  # where the meaning begins; 0 outside a list
    for line in lines:
        text = line.strip()
        match = re.match(r"(\w+) {2,}(?=\S)", line)
        indent = len(line) - len(line.lstrip())
        if match:
            result += ([] if column else [""]) + [f":param {match[1]}: {text[match.end() :]}"]
            column = match.end()
        elif column and text and indent >= column:
            result.append(f"    {text}")
        else:
            result += ([""] if column else []) + [line]
            column = 0
    return result


def signature(app: Any, what: str, name: str, item: Any, options: Any, arguments: str, result: str | None) -> Any:
    """Add what a verb returns: the signature made of its options has no place for it."""
    inner = getattr(item, "__wrapped__", None)
    if not result and inner is not None:
        result = inner.__annotations__.get("return")
    return arguments, result
