"""`python -m reslab` over and over, each time in a process of its own, with torch imported once for all of them.

Reads one JSON line for each command ({"words", "cwd"}), forks, and lets the child be that command: its
own file descriptors, its own exit status, an import of reslab of its own. Answers with {"code", "out", "err"}. Only
other people's modules are imported beforehand, so what reslab imports and when stays as it is.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback

import torch

LIBRARIES = (
    "torch.utils.data", "torchvision", "sklearn.datasets", "numpy", "cyclopts.bind", "rich.console", "rich.table",
    "PIL.Image", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.GifImagePlugin", "PIL.TiffImagePlugin",
    "PIL.WebPImagePlugin", "PIL.BmpImagePlugin", "PIL.PpmImagePlugin", "filelock", "safetensors.torch", "cyclopts",
    "rich.progress", "jinja2", "altair", "scipy.stats", "pyarrow.parquet", "tomllib", "http.server", "urllib.request",
)  # fmt: skip


def be(asked: dict) -> None:
    """In the child: become the command line."""
    os.chdir(asked["cwd"])
    sys.argv = ["reslab", *asked["words"]]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code: object = None
    try:
        runpy.run_module("reslab", run_name="__main__", alter_sys=True)
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)  # not by taking torch apart: that is slow


def warm_up() -> None:
    """Import what commands import, but for reslab itself."""
    torch.set_num_threads(1)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # what was imported is shared with the children, not copied by their collector


def main() -> None:
    warm_up()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                answers.close()
                be(asked)
            _, status = os.waitpid(child, 0)
            told = {"code": os.waitstatus_to_exitcode(status)}
            for key, file in (("out", out), ("err", err)):
                file.seek(0)
                told[key] = file.read().decode("utf-8", "replace")
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
