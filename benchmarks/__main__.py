"""`python -m benchmarks [PART …] [--quick] [--record]`: every benchmark, one after another, each in its own process."""

from __future__ import annotations

import subprocess
import sys

PARTS = ("train_cpu", "start", "index", "inference")


def main() -> int:
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    parts = [word for word in sys.argv[1:] if not word.startswith("-")] or list(PARTS)
    for unknown in sorted(set(parts) - set(PARTS)):
        sys.exit(f"{unknown}: no such benchmark; there are {', '.join(PARTS)}")
    return max(subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *options]).returncode for part in parts)


if __name__ == "__main__":
    sys.exit(main())
