"""The table of `make reliability`: what was tried and what survived, by row of the fault table."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

PROPERTY = "reliability"
BEGIN, END = "<!-- written by `make reliability` -->", "<!-- end of what it writes -->"
FAULTS = {
    1: "kill -9",
    2: "resumed several times",
    3: "SIGTERM, SIGINT, SIGHUP",
    4: "a signal to one rank",
    5: "a rank dies or freezes",
    6: "full disk",
    7: "output that cannot be written",
    8: "file cut short",
    9: "flipped bit",
    10: "checkpoint that does not fit",
    11: "malicious pickle",
    12: "two runs in one folder",
    13: "corrupt image",
    14: "decompression bomb, odd size",
    15: "colour modes, orientation",
    16: "class folders",
    17: "same image in train and val",
    18: "label out of range",
    19: "too few images",
    20: "NaN, diverging loss",
    21: "several ranks against one",
    22: "configuration, command line",
    23: "data worker dies",
    24: "no GPU, GPU out of memory",
    25: "export",
    26: "torn last line of the metrics",
    27: "report of odd runs",
    28: "no network",
    29: "another machine or version",
    30: "long run",
    31: "a study on many machines",
}
NOT_RUN = {
    24: "not run: no GPU (that there is none is tested by `make test`)",
}
NUMBERS = re.compile(r"test_fault_(\d\d_)+")
HEAD = ("row", "fault", "what was done", "tried", "survived")


@dataclass(frozen=True)
class Count:
    row: int
    what: str
    tried: int
    survived: int
    note: str = ""

    @property
    def text(self) -> str:
        return f"{self.what} ({self.note})" if self.note else self.what


def of_report(report: pytest.TestReport) -> list[Count]:
    """The counts that a test has made; of a test that was skipped or failed before, a line that says so."""
    counts = [Count(**json.loads(value)) for key, value in report.user_properties if key == PROPERTY]
    row = rows_of(report.nodeid)[0]
    if report.skipped and report.when in ("setup", "call") and not counts:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return [Count(row, name_of(report.nodeid), 0, 0, f"not run: {reason.removeprefix('Skipped: ')}")]
    if report.failed and (report.when == "setup" or not any(c.survived < c.tried for c in counts)):
        reason = (str(report.longrepr).strip().splitlines() or [""])[-1][:160]
        return [*counts, Count(row, name_of(report.nodeid), 1, 0, f"the test itself failed: {reason}")]
    return counts if report.when == "call" else []


def rows_of(nodeid: str) -> list[int]:
    """The rows that a test `test_fault_08_09_…` belongs to."""
    return [int(row) for row in re.findall(r"\d\d", NUMBERS.search(nodeid)[0])]  # type: ignore[index]


def name_of(nodeid: str) -> str:
    return NUMBERS.split(nodeid)[-1].replace("_", " ")


def property_of(count: Count) -> tuple[str, str]:
    return PROPERTY, json.dumps(asdict(count))


def merged(counts: Iterable[Count]) -> list[Count]:
    """Counts of the same row and words added up, in the order of the rows; rows that are not run at their place."""
    sums: dict[tuple[int, str], Count] = {}
    for count in counts:
        before = sums.get((count.row, count.what))
        notes = dict.fromkeys([before.note, count.note] if before else [count.note])
        note = "; ".join(n for n in notes if n)
        tried, survived = (before.tried, before.survived) if before else (0, 0)
        sums[count.row, count.what] = Count(count.row, count.what, tried + count.tried, survived + count.survived, note)
    absent = [Count(row, reason, 0, 0) for row, reason in NOT_RUN.items()]
    return sorted([*sums.values(), *absent], key=lambda c: (c.row, c.what))


def line(count: Count) -> str:
    """One count in words."""
    sums = f"{count.survived} of {count.tried} survived" if count.tried else "not run"
    return f"row {count.row}, {FAULTS.get(count.row, '')}: {sums}: {count.text}"


def lines(counts: Iterable[Count], *, markdown: bool) -> list[str]:
    """The table, for a terminal or as Markdown."""
    rows = [
        (str(c.row), FAULTS.get(c.row, ""), c.text, str(c.tried or ""), str(c.survived) if c.tried else "")
        for c in merged(counts)
    ]
    if markdown:
        clean = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
        bold = [[*r[:4], r[4] if r[3] == r[4] else f"**{r[4]}**"] for r in clean]
        return ["| " + " | ".join(row) + " |" for row in (HEAD, ("---", "---", "---", "---:", "---:"), *bold)]
    widths = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(5)]
    widths[2] = min(widths[2], 110)
    return ["  ".join(cell[:110].ljust(w) for cell, w in zip(row, widths, strict=True)) for row in (HEAD, *rows)]


def summary(counts: Iterable[Count], seconds: float) -> str:
    """Where, when and how long it ran, and the sums."""
    every = list(counts)
    tried, survived = sum(c.tried for c in every), sum(c.survived for c in every)
    git = ["git", "describe", "--always", "--abbrev=10", "--match=NeverMatched"]
    commit = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    return (
        f"{tried:,} faults tried, {survived:,} survived, in {seconds / 60:.0f} minutes; {processor()}, "
        f"{os.cpu_count()} cores, 1 thread a run; commit {commit or 'unknown'}, "
        f"{datetime.datetime.now(datetime.UTC).date()}"
    )


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(path: Path, counts: Iterable[Count], seconds: float) -> None:
    """Put the table between the marks of the page at `path`."""
    every = list(counts)
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"{path}: the marks {BEGIN} and {END} are missing"
    text = "\n".join([summary(every, seconds) + ".", "", *lines(every, markdown=True)])
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
