"""Damage to files, and whether a command took it well."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from processes import Ended

REFUSED = (1, 2)


@dataclass
class Tally:
    """How many faults were tried, and what was wrong with those that were not survived."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, case: object, wrong: str) -> None:
        self.tried += 1
        if wrong:
            self.wrong.append(f"{case}: {wrong}")

    def told(self, count: Callable[..., None], row: int, what: str, note: str = "") -> None:
        """Hand the sums to `count`; with the kinds of failure in the note, and an example of each."""
        kinds: dict[str, list[str]] = {}
        for text in self.wrong:
            kinds.setdefault(kind_of(text), []).append(text)
        print("\n".join(self.wrong))
        failures = "; ".join(f"{len(of)} x {of[0][:200]}" for of in kinds.values())
        count(row, what, self.tried, self.tried - len(self.wrong), "; ".join(t for t in (note, failures) if t))


def kind_of(text: str) -> str:
    """The failure without what differs from case to case."""
    return re.sub(r"\d+", "N", text.partition(": ")[2])[:60]


def flips(content: bytes, number: int, draws: Random) -> Iterator[tuple[str, bytes]]:
    """`number` copies of `content`, one random bit flipped in each."""
    for _ in range(number):
        place, bit = draws.randrange(len(content)), draws.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        yield f"bit {bit} of byte {place}", bytes(flipped)


def cuts(content: bytes, number: int, draws: Random) -> Iterator[tuple[str, bytes]]:
    """`content` cut at every sixteenth and at `number` random lengths."""
    lengths = {len(content) * i // 16 for i in range(16)} | {draws.randrange(len(content)) for _ in range(number)}
    for length in sorted(lengths):
        yield f"cut to {length} of {len(content)} bytes", content[:length]


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a folder or file, in place of what was there."""
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        return Path(shutil.copytree(source, target, symlinks=True))
    return Path(shutil.copy2(source, target))


def crash(ended: Ended) -> str:
    """What no fault may ever lead to, or ""."""
    if ended.hung:
        return "hung"
    if ended.code < 0:
        return f"killed by signal {-ended.code}"
    if "Traceback (most recent call last)" in ended.text or "Fatal Python error" in ended.text:
        return f"traceback: {ended.last[:120]}"
    if ended.code in REFUSED and not ended.last.startswith("reslab: "):
        return f"exit {ended.code} without a line of its own: {ended.last[:120]}"
    if ended.code not in (0, *REFUSED):
        return f"exit {ended.code}: {ended.last[:120]}"
    return ""


def refusal(ended: Ended, *names: str) -> str:
    """What is wrong with a refusal that must be one line on standard error which has one of `names`, or ""."""
    if wrong := crash(ended):
        return wrong
    if ended.code not in REFUSED:
        return f"accepted: {ended.last[:120]}"
    return named(ended, names)


def named(ended: Ended, names: tuple[str, ...]) -> str:
    if names and not any(name in ended.last for name in names):
        return f"the message names none of {', '.join(names)}: {ended.last[:160]}"
    return ""


def outcome(ended: Ended, is_same: bool, names: tuple[str, ...], before: str = "") -> str:
    """What is wrong with how a command took a damaged file, or "": refused by name, named, or the same as without.

    before   what the command printed of the undamaged file: only a line that is not in it can name the damage
    """
    if wrong := crash(ended):
        return wrong
    if ended.code in REFUSED:
        return named(ended, names)
    if is_same:
        return ""
    known = set(before.splitlines())
    if any(name in line for line in ended.text.splitlines() if line not in known for name in names):
        return ""
    return "another outcome in silence"


def flips_near_ends(content: bytes, number: int, draws: Random) -> list[tuple[str, bytes]]:
    """Flips within the first 64 and the last 2,000 bytes: positions, counts and keys."""
    cases = []
    for i in range(number):
        place = draws.randrange(64) if i % 2 else len(content) - 1 - draws.randrange(min(2000, len(content)))
        flipped = bytearray(content)
        flipped[place] ^= 1 << draws.randrange(8)
        cases.append((f"bit of byte {place}", bytes(flipped)))
    return cases
