"""`python -m benchmarks [PART …] [--quick] [--record] …`: the benchmarks one after another; one table of all rows."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.side import SUMMARY, table

PARTS = (
    "train_cpu", "loop", "fast", "start", "index", "check", "inference", "int8", "browser", "jpeg", "depth", "scale",
    "executors",
    "gpu",
)  # fmt: skip
UNMEASURED = ["", "", "", "", "", "not measured: see above"]  # a part that this machine cannot measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    for name in ("--pairs", "--threads"):  # parsed here too; otherwise their numbers would count as parts
        parser.add_argument(name, help="of every part")
    known, options = parser.parse_known_args()  # every other option is passed to the parts
    for name in ("pairs", "threads"):
        options += [f"--{name}", getattr(known, name)] if getattr(known, name) is not None else []
    for unknown in sorted(set(known.parts) - set(PARTS)):
        parser.error(f"{unknown}: no such benchmark; there are {', '.join(PARTS)}")
    codes, rows = [], list[list[str]]()
    with tempfile.TemporaryDirectory() as work:
        for part in known.parts or PARTS:
            file = Path(work) / f"{part}.json"
            command = [sys.executable, "-m", f"benchmarks.{part}", *options, "--rows", str(file)]
            codes.append(subprocess.run(command).returncode)
            missing = [part, "", "", "", "", "", "failed: see above"]
            part_rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else [missing]
            rows += part_rows or [[part, *UNMEASURED]]
    print("\n".join(["", "# All rows: medians", "", *table(SUMMARY, rows)]))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
