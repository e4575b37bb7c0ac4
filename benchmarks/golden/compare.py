"""Two collections compared entry by entry, and held against the committed list of differences on purpose."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.golden.trees import Failed
from benchmarks.golden.values import FAULT, Entries

LIST = Path(__file__).with_name("differences.toml")
CHANGES = ("differs", "new", "gone")
SHOWN, WIDTH = 5, 90  # differences of a row, characters of a value


@dataclass(frozen=True)
class Difference:
    """An entry that the two trees do not agree in; "" for a value that is missing."""

    row: str
    entry: str
    change: str
    base: str
    present: str

    @property
    def name(self) -> str:
        return f"{self.row}/{self.entry}"


@dataclass(frozen=True)
class Permit:
    """A difference on purpose: which entries, which change of them, why.

    pending   the change is not in this tree yet, so that an entry without a match is not stale
    """

    entry: str
    change: str
    reason: str
    pending: bool = False

    def covers(self, difference: Difference) -> bool:
        faulty = difference.present.startswith(FAULT)
        return not faulty and self.change == difference.change and fnmatchcase(difference.name, self.entry)


@dataclass(frozen=True)
class Permits:
    """The committed list, and the commit since which its differences count."""

    against: str
    permits: tuple[Permit, ...]


@dataclass
class RowResult:
    """What the comparison of a row gives."""

    row: str
    entries: int
    equal: int
    seconds: tuple[float, float]
    differences: list[Difference] = field(default_factory=list)
    permitted: list[tuple[Difference, Permit]] = field(default_factory=list)

    def count(self, change: str) -> int:
        return sum(difference.change == change for difference in self.differences)


def read_permits(file: Path = LIST) -> Permits:
    """Return the committed list. Raises Failed if it is damaged or an entry lacks its reason."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failed(f"{file}: cannot be read ({error})") from None
    permits = []
    for number, item in enumerate(content.get("difference", []), 1):
        unknown = sorted(set(item) - {"entry", "change", "reason", "pending"})
        if unknown:
            raise Failed(f"{file}: difference {number} has an unknown key {unknown[0]!r}; remove it")
        if not all(str(item.get(key, "")).strip() for key in ("entry", "reason")):
            raise Failed(f"{file}: difference {number} needs an entry and a reason; add them")
        if item.get("change") not in CHANGES:
            raise Failed(
                f"{file}: difference {number}: change is one of {', '.join(CHANGES)}, not {item.get('change')}"
            )
        permits.append(Permit(item["entry"], item["change"], item["reason"], bool(item.get("pending", False))))
    return Permits(str(content.get("against", "")), tuple(permits))


def differences_of(row: str, base: Entries, present: Entries) -> list[Difference]:
    """Return the differences of two collections of a row; a fault differs from everything, even from itself."""
    differences = []
    for entry in [*base, *(name for name in present if name not in base)]:
        before, after = base.get(entry, ""), present.get(entry, "")
        if entry not in base:
            differences.append(Difference(row, entry, "new", before, after))
        elif entry not in present:
            differences.append(Difference(row, entry, "gone", before, after))
        elif before != after or after.startswith(FAULT):
            differences.append(Difference(row, entry, "differs", before, after))
    return differences


def compare(base: Mapping[str, Any], present: Mapping[str, Any], permits: Sequence[Permit]) -> list[RowResult]:
    """Return the result of each row that both collections have."""
    results = []
    for row, before in base["entries"].items():
        after = present["entries"][row]
        differences = differences_of(row, before, after)
        seconds = (float(base["seconds"][row]), float(present["seconds"][row]))
        result = RowResult(row, len(before.keys() | after.keys()), 0, seconds)
        result.equal = result.entries - len(differences)
        for difference in differences:
            permit = next((p for p in permits if p.covers(difference)), None)
            if permit is None:
                result.differences.append(difference)
            else:
                result.permitted.append((difference, permit))
        results.append(result)
    return results


def unmatched(permits: Sequence[Permit], results: Sequence[RowResult]) -> list[Permit]:
    """Return the permits that cover no difference, of the rows that were compared."""
    rows = {result.row for result in results}
    used = {permit for result in results for _, permit in result.permitted}
    return [permit for permit in permits if permit not in used and permit.entry.partition("/")[0] in rows]


def table(results: Sequence[RowResult]) -> list[str]:
    """Return the lines of the table of rows."""
    heads = ("row", "entries", "equal", "differs", "new", "gone", "listed", "s (base)", "s (here)")
    rows = [
        (r.row, r.entries, r.equal, *(r.count(change) for change in CHANGES), len(r.permitted),
         f"{r.seconds[0]:.1f}", f"{r.seconds[1]:.1f}")
        for r in results
    ]  # fmt: skip
    total = (
        "all", *(sum(int(row[k]) for row in rows) for k in range(1, 7)),
        *(f"{sum(r.seconds[k] for r in results):.1f}" for k in range(2)),
    )  # fmt: skip
    lines = [[str(cell) for cell in row] for row in (heads, *rows, total)]
    widths = [max(len(row[k]) for row in lines) for k in range(len(heads))]
    first = widths.pop(0)
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in lines
    ]


def details(results: Sequence[RowResult]) -> list[str]:
    """Return the lines of the first differences of each row, with both values."""
    lines = []
    for result in results:
        for difference in result.differences[:SHOWN]:
            lines.append(f"{difference.change}: {difference.name}")
            same = _length_of_same(difference.base, difference.present)
            lines += [f"    base  {_cut(difference.base, same)}"] if difference.change != "new" else []
            lines += [f"    here  {_cut(difference.present, same)}"] if difference.change != "gone" else []
        more = len(result.differences) - SHOWN
        lines += [f"{result.row}: {more} more differences; --json FILE has all of them"] if more > 0 else []
    return lines


def _length_of_same(a: str, b: str) -> int:
    """Return how many characters two values share from their start."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(a), len(b)))


def _cut(text: str, place: int) -> str:
    """Return at most WIDTH characters of a value, those around `place` among them."""
    start = max(0, min(place - WIDTH // 2, len(text) - WIDTH))
    part = text[start : start + WIDTH]
    return f"{'…' if start else ''}{part}{'…' if start + WIDTH < len(text) else ''}"
