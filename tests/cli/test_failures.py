"""What no verb foresees ends in one line too: errors of libraries, memory that is not there, Ctrl-C, long names."""

import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from commands import environment

from reslab.errors import LONGEST

# A command line with one more verb, whose failures are real ones.
VERB = """
import sys
from pathlib import Path
from reslab.cli.main import main
from reslab.cli.verbs import app

@app.command
def fail(how: str) -> None:
    if how == "value":
        from reslab.nets.names import spec_of
        spec_of(3)
    elif how == "lines":
        raise RuntimeError("first\\x1b[31m line\\nsecond line")
    elif how == "long":
        raise KeyError("x" * 5000)
    elif how == "assert":
        assert False
    elif how == "deep":
        def deeper(): deeper()
        deeper()
    elif how == "unicode":
        "é".encode("ascii")
    elif how == "memory":
        bytearray(1 << 60)
    elif how == "text":
        class Silent(Exception):
            def __str__(self): raise ValueError("no text")
        raise Silent
    elif how == "leave":
        sys.exit(7)
    elif how == "pipe":
        import os
        read, write = os.pipe()
        os.close(read)
        os.write(write, b"x")

sys.exit(main(sys.argv[1:]))
"""

EXPECTED = {
    "value": ["TypeError: ", "(in reslab/nets/names.py:", "this is a fault of reslab", "--debug"],
    "lines": ["RuntimeError: first", "line", "--debug"],
    "long": ["KeyError: ", "…", "--debug"],
    "assert": ["AssertionError", "--debug"],
    "deep": ["RecursionError: maximum recursion depth", "--debug"],
    "unicode": ["UnicodeEncodeError: 'ascii' codec", "--debug"],
    "memory": ["not enough memory: MemoryError", "--set batch=", "--recompute on"],
    "text": ["Silent", "--debug"],
    "pipe": ["Broken pipe"],
}


def python(code: str, *words: str, **how) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=environment(), capture_output=True, text=True, timeout=120, **how
    )


@pytest.mark.parametrize("how", EXPECTED)
def test_an_unforeseen_error_is_one_line(how):
    done = python(VERB, "fail", how)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("reslab: ")
    assert len(line) <= LONGEST + len("reslab: ")
    assert line.isprintable()
    for fragment in EXPECTED[how]:
        assert fragment in line, line
    assert "second line" not in line


def test_debug_shows_where_it_came_from():
    done = python(VERB, "fail", "value", "--debug")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "TypeError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("reslab: TypeError: ")


def test_a_library_s_own_exit_keeps_its_code():
    assert python(VERB, "fail", "leave").returncode == 7


@pytest.mark.slow
def test_memory_that_is_not_there(tmp_path):
    """A net of 360 GB where 8 GB may be taken."""
    done = subprocess.run(
        [sys.executable, "-m", "reslab", "probe", "cifar_resnet8", "--widths", "100000,100000,100000"],
        env=environment(), capture_output=True, text=True, timeout=120, cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )  # fmt: skip
    assert done.returncode in (1, 2)  # 2: refused before it is tried
    (line,) = done.stderr.splitlines()
    assert line.startswith("reslab: ")
    assert "are free" in line


def raised(call) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "error",
    [
        raised(lambda: np.empty(1 << 50)),
        raised(lambda: torch.empty(1 << 50)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("could not create a memory object"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:20]}",
)
def test_every_library_s_word_for_no_memory(error):
    from reslab.errors import RunError, unexpected

    told = unexpected(error)
    assert isinstance(told, RunError)
    assert str(told).startswith("not enough memory: ")
    assert "--set batch=" in str(told)


def test_other_errors_of_torch_are_no_lack_of_memory():
    from reslab.errors import unexpected

    told = str(unexpected(raised(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3))))
    assert told.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert "fault of reslab" in told


INTERRUPTED = """
import os, runpy, signal, sys

class Ctrl_C:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests' own shell did with it
sys.meta_path.insert(0, Ctrl_C())
sys.argv = ["reslab", "list"]
runpy.run_module("reslab", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["cyclopts", "reslab.cli.output", "reslab.cli.nets", "reslab.show.terminal.walk"])
def test_ctrl_c_while_modules_are_imported(module):
    done = python(INTERRUPTED.format(module=module))
    assert (done.returncode, done.stderr) == (130, "reslab: stopped at once\n")


# -- long names


def test_long_names_are_cut_and_what_to_do_stays():
    from reslab.errors import shortened

    for text in (
        f"unknown model {'x' * 5000!r}; `reslab list` shows them all",
        f"--out {'/very/long' * 500}: not writable (File name too long); choose another folder",
        f"{'a' * 3000} is {'b' * 3000} here and {'c' * 3000} there",
        "word " * 2000 + "end",
        "x" * 100_000,
    ):
        cut = shortened(text)
        assert len(cut) <= LONGEST
        assert "…" in cut
        assert cut[:10] == text[:10]
        assert cut[-5:] == text[-5:]
    assert shortened("short: 'x'; do this") == "short: 'x'; do this"
    assert "`reslab list` shows them all" in shortened(f"unknown model {'x' * 5000!r}; `reslab list` shows them all")


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("describe", LONG), ["unknown model", "`reslab list` shows them all"]),
        (("describe", "resnet18", "--block", LONG), ["block", "basic"]),
        (("train", "cifar_resnet8", "--set", f"{LONG}=1"), ["--set: unknown key", "`reslab recipe show` lists them"]),
        (("train", "cifar_resnet8", "--set", f"lr={LONG}"), ["lr=", "must be a number"]),
        (("train", "cifar_resnet8", "--out", LONG), ["--out", "too long", "choose another folder"]),
        (("train", "cifar_resnet8", "--config", LONG), ["--config", "too long"]),
        (("train", "cifar_resnet8", "--seed", LONG), ["--seed", "is not a whole number"]),
        (("train", "cifar_resnet8", f"--{LONG}", "1"), ["nknown option"]),
        (("report", LONG), ["too long", "give another path"]),
        (("draw", "resnet18", "--out", f"{LONG}.svg"), ["too long", "give another path"]),
        (("figure", "fig6", LONG), ["reslab: "]),
        (("claims", "--records", LONG), ["reslab: "]),
        (("evaluate", LONG), ["too long"]),
    ],
)
def test_long_names_in_messages(warm, words, fragments):
    told = warm(*words).refused(*fragments)
    assert len(told.err) <= LONGEST + len("reslab: \n")


def test_long_names_in_a_file(warm, tmp_path):
    file = tmp_path / "run.toml"
    for text in (
        f"{LONG} = 1",
        f'model = "{LONG}"',
        f'seed = "{LONG}"',
        f"[set]\n{LONG} = 1",
        f'[net]\nblock = "{LONG}"',
    ):
        file.write_text(text)
        assert len(warm("train", "--config", file).refused().err) <= LONGEST + len("reslab: \n")
