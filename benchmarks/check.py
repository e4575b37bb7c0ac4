"""`reslab check` beside one pass that decodes every file.

`python -m benchmarks.check [--quick] [--pairs N] [--record]`. One process on both sides; both scale with processes.

Peer    Pillow: open, decode whole, convert to RGB; each file once.
Ours    `check.survey`: the same files, nothing remembered. A JPEG is decoded at 1/4 or 1/8 of its size, for which
        all of its bytes are read; a PNG's checksums are verified; bytes are hashed, look and range are measured.
Files   as in `benchmarks.jpeg`, 500x375; and 32x32 PNG, where the cost of a file is not its pixels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.jpeg import photograph
from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say, timed
from reslab.data.check.survey import survey

BAR = Bar(least=1.0)
KINDS = {"JPEG 500x375": (375, 500, "jpg", 64, BAR), "PNG 32x32": (32, 32, "png", 1_000, Bar())}


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    for name, (height, width, ending, files, bar) in KINDS.items():
        with TemporaryDirectory() as work:
            place, generator = Path(work) / "images", np.random.default_rng(0)
            place.mkdir()
            say(f"{name}: making {files:,} files")
            for number in range(files):
                photograph(generator, height, width).save(place / f"{number:04}.{ending}", quality=90)
            names, caches = sorted(os.listdir(place)), count()

            def ours(place: Path = place, names: list[str] = names, caches: count[int] = caches) -> float:
                os.environ["XDG_CACHE_HOME"] = str(place.parent / f"cache{next(caches)}")
                return len(names) / timed(lambda: survey(place, names))

            def peer(place: Path = place, names: list[str] = names) -> float:
                return len(names) / timed(lambda: [Image.open(place / name).convert("RGB") for name in names])

            ours(), peer()
            size = sum((place / name).stat().st_size for name in names) / files
            notes = (f"{files:,} files of {size / 1e3:,.1f} kB", "1 process")
            yield in_turn(f"check {name}", "files/s", ours, peer, options, bar, notes)


if __name__ == "__main__":
    sys.exit(main("check", "Examining the files of a folder", rows))
