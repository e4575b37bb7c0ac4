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
CODE_OR_FLAG = re.compile(r"(`[^`]+`)|(?<![\w-])(--[a-z][\w-]*)")  # a flag becomes code, so that its hyphens stay
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
    return _with_code(text, r"([\\*_<>\[\]|#])")


def _with_code(text: str, special: str) -> str:
    """Return `text` with flags as code, and a backslash before what `special` matches outside of code."""
    parts = CODE_OR_FLAG.split(text)  # text, code or None, flag or None, text …
    for i, part in enumerate(parts):
        parts[i] = re.sub(special, r"\\\1", part) if i % 3 == 0 else part and (part if i % 3 == 1 else f"`{part}`")
    return "".join(filter(None, parts))


def docstring(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring's aligned lines `name    meaning` a list of parameters or attributes, and keep the rest."""
    kind = "ivar" if what == "class" else "param"
    lines[:] = [_with_code(line, r"([*|\\]|(?<=\w)_(?!\w))") for line in fields(lines, kind)]


def fields(lines: list[str], kind: str = "param") -> list[str]:
    """Return the lines of a docstring in reStructuredText, with a field of `kind` for each parameter.

    A parameter is a line with a name, two spaces or more, and its meaning; lines that are indented as far as the
    meaning continue it. In a list that has begun, one space after its longest name is enough.
    """
    result: list[str] = []
    column = 0  # where the meaning begins; 0 outside a list
    for line in lines:
        indent = len(line) - len(line.lstrip())
        name, meaning = line[:column].rstrip(), line[column:]
        if not (indent == 0 and name.isidentifier() and line[column - 1] == " " and meaning):
            first = re.match(r"(\w+) {2,}(?=\S)", line)
            name, meaning = (first[1], line[first.end() :]) if first else ("", line.strip())
            column = first.end() if first else column
        if name:
            result += ([] if result and result[-1].startswith((":", "    ")) else [""]) + [f":{kind} {name}: {meaning}"]
        elif column and meaning and indent >= column:
            result.append(f"    {meaning}")
        else:
            result += ([""] if column else []) + [line]
            column = 0
    return result


def signature(app: Any, what: str, name: str, item: Any, options: Any, arguments: str, result: str | None) -> Any:
    """Add what a verb returns, which the signature made of its options lacks; leave out how a class is made."""
    if what == "class":
        return "", None
    inner = getattr(item, "__wrapped__", None)
    if not result and inner is not None:
        result = inner.__annotations__.get("return")
    return arguments, result
