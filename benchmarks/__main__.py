"""`python -m benchmarks [PART …] [--quick] [--record] …`: the benchmarks one after another, each in its own process."""

from __future__ import annotations

import argparse
import subprocess
import sys

PARTS = ("train_cpu", "start", "index", "inference", "jpeg", "depth")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    asked, options = parser.parse_known_args()  # what is not a part is the parts' own affair
    for unknown in sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"{unknown}: no such benchmark; there are {', '.join(PARTS)}")
    codes = [
        subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *options]).returncode
        for part in asked.parts or PARTS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
