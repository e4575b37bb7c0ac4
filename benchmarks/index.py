"""Class folders with as many files as ImageNet: list them, open them, open them again, and order an epoch.

`python -m benchmarks.index [--quick] [--pairs N] [--threads N] [--record]`. Makes 1,281,167 names in 1,000 class
folders in the temporary folder (half a minute and 60 MB; each a hard link to one of 64 small images, so that their
headers can be read) and removes them at the end. `--quick`: 20,000 in 100.

Peer   one recursive pass of `os.scandir` over the same folders, which counts the files.
Ours   `contents_of`: names, classes and labels, sorted; `folder`: the same, with all headers and sizes read (the first
       time) or taken from the index (again), and val held out; `positions`: the first batch of a new epoch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say, timed
from reslab.data.order import positions
from reslab.data.paths import Paths
from reslab.data.sets.classes import contents_of
from reslab.data.sets.folder import folder

FILES, CLASSES = 1_281_167, 1_000
FIRST, AGAIN, ORDER, MEMORY = Bar(most=1.5), Bar(most=0.1), Bar(most=0.01), Bar(most=1)
MEGABYTES = 300.0
SHARE, SIZE, BATCH = 0.04, 224, 256
SOURCES = 64  # images behind the links, because a file system limits the links to one file
OPEN = f"""
import sys, time
from reslab.data.sets.folder import folder
def status(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
before, begin = status("VmRSS"), time.perf_counter()
data = folder(sys.argv[1], {SIZE}, {SHARE})
print(time.perf_counter() - begin, status("VmHWM") - before)
"""


def tree(root: Path, files: int, classes: int) -> Path:
    """Make root/data/train/CLASS/NAME.JPEG, `files` of them, in unsorted order; return root/data."""
    for number in range(SOURCES):
        Image.new("RGB", (4 + number, 4)).save(root / f"{number}.png")
    for label in range(classes):
        name = f"n{10_000_000 + 7_919 * label}"
        place = root / "data" / "train" / name
        place.mkdir(parents=True)
        count_of_class = files // classes + (label < files % classes)
        for i in range(count_of_class):
            os.link(root / f"{i % SOURCES}.png", place / f"{name}_{i * 37 % 100_003}.JPEG")
    return root / "data"


def scan(top: str) -> int:
    """Count the files of a tree in one pass."""
    return sum(scan(entry.path) if entry.is_dir() else 1 for entry in os.scandir(top))


def shorter_scan(top: str) -> int:
    """Count the files of a tree of known depth 2, without checking the type of each entry."""
    splits = [entry.path for entry in os.scandir(top)]
    return sum(sum(1 for _ in os.scandir(classes.path)) for split in splits for classes in os.scandir(split))


def index(top: Path) -> np.ndarray:
    """Join the names into one block and return the labels, without opening a file."""
    contents = contents_of(top)
    listing = contents.listings["train"]
    Paths.joined(contents.lead, listing.values())
    return np.repeat(np.arange(len(listing)), [len(files) for files in listing.values()])


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    files, classes = (20_000, 100) if options.quick else (FILES, CLASSES)
    with tempfile.TemporaryDirectory(prefix="reslab-index-") as work:
        os.environ["XDG_CACHE_HOME"] = f"{work}/cache"
        say(f"making {files:,} names in {classes:,} folders in {work}")
        top = tree(Path(work), files, classes)
        time.sleep(2.5)  # an index is not kept for a folder that has just changed
        assert scan(str(top)) == shorter_scan(str(top)) == len(index(top)) == files
        peer = f"peer: one os.scandir pass over {files:,} names in {classes:,} folders"

        def passed() -> float:
            return timed(lambda: scan(str(top)))

        ours = "ours: names, classes, labels; no file is looked at"
        for name, pass_, bar in (("", scan, FIRST), (", against a pass that knows the depth", shorter_scan, Bar())):
            yield in_turn(
                f"index, first time{name}", "s", lambda: timed(lambda: index(top)),
                lambda pass_=pass_: timed(lambda: pass_(str(top))), options, bar, (peer, ours),
            )  # fmt: skip
        (seconds, first), (_, again) = _opened(top), _opened(top)
        yield Row("opened the first time, all headers read", "s", (seconds,), (passed(),), Bar(), (peer, "once"))
        yield in_turn(
            "opened again", "s", lambda: timed(lambda: folder(top, SIZE, SHARE), 5), passed, options, AGAIN,
            (peer, f"ours: `folder` whole, {SHARE:.0%} of the files cut from it as val, kept index mapped and checked"),
        )  # fmt: skip
        for when, peak in (("first", first), ("again", again)):
            notes = (f"peer: {MEGABYTES:.0f} MB", "ours: peak resident memory minus that before, in a new process")
            yield Row(f"memory, opened {when}", "MB", (peak,), (MEGABYTES,), MEMORY, notes)
        epochs = count()
        yield in_turn(
            "order of another epoch", "s", lambda: timed(lambda: positions(0, next(epochs) * files, BATCH, files), 20),
            passed, options, ORDER, (peer, f"ours: which {BATCH} files are first; places are permuted one by one"),
        )  # fmt: skip


def _opened(top: Path) -> tuple[float, float]:
    """Return the seconds that opening `top` takes in a new process, and the MB that it adds to the peak."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(top)], check=True, capture_output=True, text=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


if __name__ == "__main__":
    sys.exit(main("index", "An index of as many files as ImageNet", rows))
