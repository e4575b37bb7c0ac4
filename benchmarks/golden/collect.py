"""The collector: a process whose `reslab` is one tree's writes the entries of the rows into a JSON file.

`python -m benchmarks.golden.collect REQUEST`, started by `trees.collect` in an empty folder. A line of JSON on standard
output for each finished row; tracebacks go to standard error.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.golden.adapters import layout
from benchmarks.golden.collection import Collection
from benchmarks.golden.rows import ROWS
from benchmarks.golden.values import Entries, fault

ROW_ITSELF = "(the row)"  # the entry of a row that ended with an exception


@dataclass(frozen=True)
class Request:
    """What is collected: the tree, rows, and paths as in `Collection`; `target` is the file to write."""

    tree: str
    rows: list[str]
    quick: bool
    planted: list[str]
    own: str
    base: str
    cifar: str | None
    target: str


def check_tree(tree: Path) -> None:
    """Raise SystemExit unless `reslab` is imported from `tree`."""
    import reslab

    imported = Path(str(reslab.__file__)).resolve().parent
    if imported != (tree / "reslab").resolve():
        raise SystemExit(f"golden: reslab is imported from {imported}, not from {tree}")


def collect(request: Request) -> dict[str, Any]:
    """Return entries and seconds of each row, and the notes."""
    adapter = layout()
    collection = Collection(
        adapter, request.quick, frozenset(request.planted), Path(request.own), Path(request.base), request.cifar
    )
    entries, seconds = dict[str, Entries](), dict[str, float]()
    for row in request.rows:
        began = time.perf_counter()
        try:
            with adapter.planted(row) if row in collection.planted else nullcontext():
                entries[row] = ROWS[row](collection)
        except Exception as error:  # one row's failure must not hide what the others give
            traceback.print_exc()
            entries[row] = {ROW_ITSELF: fault(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")}
        seconds[row] = round(time.perf_counter() - began, 2)
        print(json.dumps({"row": row, "entries": len(entries[row]), "seconds": seconds[row]}), flush=True)
    return {"entries": entries, "seconds": seconds, "notes": collection.notes}


def main() -> None:
    request = Request(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    check_tree(Path(request.tree))
    Path(request.target).write_text(json.dumps(collect(request)), encoding="utf-8")


if __name__ == "__main__":
    main()
