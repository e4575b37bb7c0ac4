"""Imported weights against the nets they come from: `python -m benchmarks.parity` renews the table of docs/weights.md
and its twin.

Every origin of `benchmarks.origins` with random BN statistics, evaluation and training mode, float32 and float64:
largest difference of logits, of the images' gradient and of the first weights' gradient, relative to the largest value.
`tests/convert/test_origins.py` holds the bounds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch

import reslab
from benchmarks.marked import Marks
from benchmarks.origins import ORIGINS, differences, randomised

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARKS = Marks("<!-- parity: python -m benchmarks.parity -->", "<!-- parity end -->")
HEADS = {
    "weights.md": "| weights of | float32 | float32, training | float64 | float64, training |",
    "weights.ko.md": "| 가중치 | float32 | float32, 학습 모드 | float64 | float64, 학습 모드 |",
}


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield layout, net and the cells of its differences."""
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
        yield layout, name.partition("-")[2], " | ".join("0" if gap == 0 else f"{gap:.1e}" for gap in gaps)
        print(name, *gaps, file=sys.stderr, flush=True)


def main() -> None:
    lines = [
        f"| {layout} {', '.join(net for _, net, _ in equal)} | {cells} |"
        for (layout, cells), equal in groupby(rows(), key=lambda row: (row[0], row[2]))
    ]
    for name, head in HEADS.items():
        page, table = DOCS / name, "\n".join([head, "|---|---|---|---|---|", *lines])
        page.write_text(MARKS.fill(page.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
