"""`python -m benchmarks [PART …] [--quick] [--record] …`: the benchmarks one after another; one table of all rows."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.side import SUMMARY, table

PARTS = ("train_cpu", "loop", "fast", "start", "index", "inference", "jpeg", "depth", "gpu")
UNMEASURED = ["", "", "", "", "", "not measured: see above"]  # a part that found nothing here to be measured on


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    for name in ("--pairs", "--threads"):  # known here too, or their numbers would count as parts
        parser.add_argument(name, help="of every part")
    asked, options = parser.parse_known_args()  # what is not a part is the parts' own affair
    for name in ("pairs", "threads"):
        options += [f"--{name}", getattr(asked, name)] if getattr(asked, name) is not None else []
    for unknown in sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"{unknown}: no such benchmark; there are {', '.join(PARTS)}")
    codes, rows = [], list[list[str]]()
    with tempfile.TemporaryDirectory() as work:
        for part in asked.parts or PARTS:
            kept = Path(work) / f"{part}.json"
            command = [sys.executable, "-m", f"benchmarks.{part}", *options, "--rows", str(kept)]
            codes.append(subprocess.run(command).returncode)
            missing = [part, "", "", "", "", "", "failed: see above"]
            found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else [missing]
            rows += found or [[part, *UNMEASURED]]
    print("\n".join(["", "# All rows: medians", "", *table(SUMMARY, rows)]))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
