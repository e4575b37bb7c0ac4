"""Prove that a refactor changes no bit: `python -m benchmarks.golden --against REV`.

Runs one collector in REV (in a temporary worktree) and in this tree, on this machine, and compares weights, training
traces, orders, batches, scores, judgements, records and interfaces bit for bit. Exit 0 if nothing differs but what
benchmarks/golden/differences.toml lists with its reason, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.golden import compare, trees
from benchmarks.golden.collect import Request
from benchmarks.golden.rows import ROWS


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden", description=(__doc__ or "").strip())
    parser.add_argument("--against", metavar="REV", help="the revision that this tree is compared with")
    parser.add_argument("--only", metavar="ROW,ROW", default=",".join(ROWS), help="these rows alone")
    parser.add_argument("--quick", action="store_true", help="a part of each row, under two minutes in all")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every difference into a file")
    parser.add_argument("--keep", action="store_true", help="keep the folder with both collections")
    parser.add_argument("--list", action="store_true", help="list the rows and the differences on purpose")
    parser.add_argument("--plant", metavar="ROW,ROW", default="", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _rows(option: str, text: str) -> list[str]:
    names = [word for word in text.split(",") if word]
    for name in names:
        if name not in ROWS:
            raise trees.Failed(f"{option} {name}: no such row; there are {', '.join(ROWS)}")
    return [row for row in ROWS if row in names]


def _listing(permits: compare.Permits) -> str:
    lines = [f"{name:14} {(row.__doc__ or '').splitlines()[0]}" for name, row in ROWS.items()]
    lines += ["", f"differences on purpose since {permits.against}:"]
    for permit in permits.permits:
        pending = " (pending)" if permit.pending else ""
        lines.append(f"  {permit.change} {permit.entry}: {permit.reason}{pending}")
    return "\n".join(lines)


def _teller(name: str) -> Callable[[str], None]:
    def tell(line: str) -> None:
        try:
            content = json.loads(line)
            print(
                f"{name}  {content['row']:14} {content['entries']:6} entries  {content['seconds']:7.1f} s", flush=True
            )
        except (ValueError, KeyError, TypeError):
            print(f"{name}  {line.rstrip()}", flush=True)

    return tell


def _collections(
    asked: argparse.Namespace, rows: list[str], work: Path, commit: str, interrupts: trees.Interrupts
) -> list[dict[str, Any]]:
    """Return the collections of REV and of this tree."""
    planted = _rows("--plant", asked.plant)
    cifar = os.environ.get("RESLAB_CIFAR10")
    collections = []
    trees.copy_collector(work)
    with trees.worktree(commit, work / "tree") as other:
        base = str(other / "results")
        for name, tree, faults in (("base", other, list[str]()), ("here", trees.ROOT, planted)):
            request = Request(
                str(tree), rows, asked.quick, faults, str(tree / "results"), base,
                cifar and os.path.abspath(cifar), str(work / f"{name}.json"),
            )  # fmt: skip
            collections.append(trees.collect(name, request, work, _teller(name), asked.keep, interrupts))
    return collections


def run(asked: argparse.Namespace, interrupts: trees.Interrupts) -> int:
    """Return the exit status of a comparison. Raises Failed if it cannot be made."""
    permits = compare.read_permits()
    if asked.list:
        print(_listing(permits))
        return 0
    if asked.against is None:
        raise trees.Failed("--against: which revision? such as --against HEAD")
    if asked.json is not None and not asked.json.absolute().parent.is_dir():
        raise trees.Failed(f"--json {asked.json}: its folder does not exist; make it first")
    rows, began = _rows("--only", asked.only), time.monotonic()
    if not rows:
        raise trees.Failed(f"--only: no row given; there are {', '.join(ROWS)}")
    commit = trees.commit_of(asked.against)
    with ExitStack() as stack:
        if asked.keep:
            work = Path(tempfile.mkdtemp(prefix="reslab-golden-"))
        else:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reslab-golden-")))
        base, present = _collections(asked, rows, work.resolve(), commit, interrupts)
        results = compare.compare(base, present, permits.permits)
    unmatched = compare.unmatched(permits.permits, results)
    complete = not asked.quick and bool(permits.against) and commit.startswith(permits.against)
    stale = [permit for permit in unmatched if complete and not permit.pending]
    print("\n".join(["", *compare.table(results), "", *compare.details(results)]))
    empty = [f"{result.row}: no entries, so nothing is shown of it" for result in results if not result.entries]
    for note in dict.fromkeys([*base["notes"], *present["notes"], *empty]):
        print(f"note: {note}")
    for permit in unmatched if complete else ():
        print(f"{'pending' if permit.pending else 'stale'}: {permit.change} {permit.entry} matches no difference")
    if asked.keep:
        print(f"kept: {work}")
    differing = [result.row for result in results if result.differences]
    verdict = f"{len(results)} rows against {commit[:12]} in {time.monotonic() - began:.0f} s"
    print(f"{verdict}: {'differ: ' + ', '.join(differing) if differing else 'stale list' if stale else 'equal'}")
    if asked.json:
        _write(asked.json, commit, results, stale)
    return 1 if differing or stale else 0


def _write(file: Path, commit: str, results: Sequence[compare.RowResult], stale: Sequence[compare.Permit]) -> None:
    """Write every difference and the counts of each row."""
    content = {
        "against": commit,
        "rows": [{**asdict(result), "permitted": [[asdict(part) for part in pair] for pair in result.permitted]}
                 for result in results],
        "stale": [asdict(permit) for permit in stale],
    }  # fmt: skip
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status: 2 for bad input, 130 after an interrupt."""
    with trees.Interrupts() as interrupts:
        try:
            return run(_arguments(words), interrupts)
        except trees.Failed as error:
            if not interrupts.asked:  # git may have failed of the same Ctrl-C
                print(f"golden: {error}", file=sys.stderr)
                return 2
        except KeyboardInterrupt:
            pass
    print("golden: stopped; the temporary worktree is removed", file=sys.stderr)
    return 130


if __name__ == "__main__":
    sys.exit(main())
