"""Imported weights against the nets they come from: `python -m benchmarks.parity` renews the table of docs/weights.md.

Every origin of `benchmarks.origins` with random BN statistics, evaluation and training mode, float32 and float64:
largest difference of logits, of the images' gradient and of the first weights' gradient, relative to the largest value.
`tests/convert/test_origins.py` holds the bounds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import reslab
from benchmarks.origins import ORIGINS, differences, randomised

PAGE = Path(__file__).resolve().parent.parent / "docs" / "weights.md"
BEGIN, END = "<!-- parity: python -m benchmarks.parity -->", "<!-- parity end -->"
HEAD = "| weights of | float32 | float32, training | float64 | float64, training |\n|---|---|---|---|---|"


def rows() -> Iterator[str]:
    for name, (layout, make, side) in ORIGINS.items():
        torch.manual_seed(0)
        theirs = randomised(make())
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "weights.pt")
            torch.save(theirs.state_dict(), file)
            ours = reslab.import_weights(file, layout=layout).network
        gaps = [
            max(differences(theirs, ours, side, mode, dtype))
            for dtype in (torch.float32, torch.float64)
            for mode in ("evaluation", "training")
        ]
        yield f"| {name} | {' | '.join('0' if gap == 0 else f'{gap:.1e}' for gap in gaps)} |"
        print(name, *gaps, file=sys.stderr, flush=True)


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    table = "\n".join([HEAD, *rows()])
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
