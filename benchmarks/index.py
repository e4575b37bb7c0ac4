"""Class folders of as many files as ImageNet: listed, opened, opened again, and the order of an epoch.

`python -m benchmarks.index [--quick] [--pairs N] [--threads N] [--record]`. Makes 1,281,167 names in 1,000 class
folders in the temporary folder (half a minute and 60 MB; each a hard link to one of 64 small images, so that their
headers can be read) and removes them at the end. `--quick`: 20,000 in 100.

Peer   one pass of `os.scandir` over the same folders, as deep as they go, which counts the files.
Ours   `listed`: names, classes and labels, sorted; `folder`: the same with every header and size read (the first time)
       or as it was kept (again), val cut from it; `positions`: the first batch of an epoch not asked for before.
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

from benchmarks.side import Asked, Bar, Row, in_turn, main, say, timed
from reslab.data.order import positions
from reslab.data.paths import Paths
from reslab.data.sets.folder import folder, listed

FILES, CLASSES = 1_281_167, 1_000
FIRST, AGAIN, ORDER, MEMORY = Bar(most=1.5), Bar(most=0.1), Bar(most=0.01), Bar(most=1)
MEGABYTES = 300.0
SHARE, SIZE, BATCH = 0.04, 224, 256
SOURCES = 64  # images behind the links: a file system allows so many links to one
OPEN = f"""
import sys, time
from reslab.data.sets.folder import folder
def told(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
before, begin = told("VmRSS"), time.perf_counter()
data = folder(sys.argv[1], {SIZE}, {SHARE})
print(time.perf_counter() - begin, told("VmHWM") - before)
"""


def tree(root: Path, files: int, classes: int) -> Path:
    """root/data/train/CLASS/NAME.JPEG, as many as wanted; the names do not come in their order."""
    for number in range(SOURCES):
        Image.new("RGB", (4 + number, 4)).save(root / f"{number}.png")
    for label in range(classes):
        name = f"n{10_000_000 + 7_919 * label}"
        place = root / "data" / "train" / name
        place.mkdir(parents=True)
        here = files // classes + (label < files % classes)
        for i in range(here):
            os.link(root / f"{i % SOURCES}.png", place / f"{name}_{i * 37 % 100_003}.JPEG")
    return root / "data"


def scan(top: str) -> int:
    """One pass over the files of a tree."""
    return sum(scan(entry.path) if entry.is_dir() else 1 for entry in os.scandir(top))


def shorter_scan(top: str) -> int:
    """The same where it is known that files lie two folders deep: no entry is asked what it is."""
    rooms = [entry.path for entry in os.scandir(top)]
    return sum(sum(1 for _ in os.scandir(found.path)) for room in rooms for found in os.scandir(room))


def index(top: Path) -> np.ndarray:
    """Names in one block, and the labels, without a look at any file."""
    lead = str(top / "x")[:-1]
    listing = listed(top, lead, {}, [])[0]["train"]
    Paths.joined(lead, listing.values())
    return np.repeat(np.arange(len(listing)), [len(files) for files in listing.values()])


def rows(asked: Asked) -> Iterator[Row]:
    files, classes = (20_000, 100) if asked.quick else (FILES, CLASSES)
    with tempfile.TemporaryDirectory(prefix="reslab-index-") as work:
        os.environ["XDG_CACHE_HOME"] = f"{work}/cache"
        say(f"making {files:,} names in {classes:,} folders in {work}")
        top = tree(Path(work), files, classes)
        time.sleep(2.5)  # a folder that has just changed is not kept
        assert scan(str(top)) == shorter_scan(str(top)) == len(index(top)) == files
        peer = f"peer: one os.scandir pass over {files:,} names in {classes:,} folders"

        def passed() -> float:
            return timed(lambda: scan(str(top)))

        ours = "ours: names, classes, labels; no file is looked at"
        for name, pass_, bar in (("", scan, FIRST), (", against a pass that knows the depth", shorter_scan, Bar())):
            yield in_turn(
                f"index, first time{name}", "s", lambda: timed(lambda: index(top)),
                lambda pass_=pass_: timed(lambda: pass_(str(top))), asked, bar, (peer, ours),
            )  # fmt: skip
        (seconds, first), (_, again) = _opened(top), _opened(top)
        yield Row("opened the first time, all headers read", "s", (seconds,), (passed(),), Bar(), (peer, "once"))
        yield in_turn(
            "opened again", "s", lambda: timed(lambda: folder(top, SIZE, SHARE), 5), passed, asked, AGAIN,
            (peer, f"ours: `folder` whole, {SHARE:.0%} of the files cut from it as val, kept index mapped and checked"),
        )  # fmt: skip
        for when, peak in (("first", first), ("again", again)):
            told = (f"peer: {MEGABYTES:.0f} MB", "ours: highest resident memory above that before, a fresh process")
            yield Row(f"memory, opened {when}", "MB", (peak,), (MEGABYTES,), MEMORY, told)
        epochs = count()
        yield in_turn(
            "order of another epoch", "s", lambda: timed(lambda: positions(0, next(epochs) * files, BATCH, files), 20),
            passed, asked, ORDER, (peer, f"ours: which {BATCH} files are first; places are permuted one by one"),
        )  # fmt: skip


def _opened(top: Path) -> tuple[float, float]:
    """Seconds for opening `top` in a process of its own, and the MB that it adds at its highest."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(top)], check=True, capture_output=True, text=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


if __name__ == "__main__":
    sys.exit(main("index", "An index of as many files as ImageNet", rows))
