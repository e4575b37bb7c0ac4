"""What holds for every test."""

import os
import signal

# Where it is set, each of the hundreds of commands that tests start would compile all of reslab anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, which the commands that tests start would inherit
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Rooms whose files take a minute or more. They come first, so that the workers of a parallel run end together.
LONG = ("tests/end_to_end", "tests/training", "tests/show", "tests/engines", "tests/cli")


def pytest_collection_modifyitems(items):
    def place(item):
        return next((i for i, room in enumerate(LONG) if item.nodeid.startswith(room)), len(LONG))

    items.sort(key=place)
