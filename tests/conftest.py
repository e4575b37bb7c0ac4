"""What holds for every test."""

import compileall
import os
import signal
import sys
from pathlib import Path

# Compiled once, or each of the hundreds of commands that tests start would do it; and never written by these: under a
# limit of a file's size Python writes half a file, which the next command would read.
compileall.compile_dir(Path(__file__).parents[1] / "reslab", quiet=1)
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = False  # pytest's own workers inherit it, and would rewrite every test's assertions each time
if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, which the commands that tests start would inherit
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Rooms whose files take a minute or more. They come first, so that the workers of a parallel run end together.
LONG = ("tests/end_to_end", "tests/training", "tests/show", "tests/engines", "tests/cli")


def pytest_collection_modifyitems(items):
    def place(item):
        return next((i for i, room in enumerate(LONG) if item.nodeid.startswith(room)), len(LONG))

    items.sort(key=place)
