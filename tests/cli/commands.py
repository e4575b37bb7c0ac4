"""The real command line: `python -m reslab …` in a process of its own, cold or with torch already imported."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Outcome:
    """What a command left behind."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    def refused(self, *fragments: str, code: int = 2) -> "Outcome":
        """Exactly one line on standard error, beginning "reslab: ", with every fragment; nothing on standard output."""
        assert self.code == code, (self.words, self.code, self.err)
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, (self.words, self.err)
        assert lines[0].startswith("reslab: "), self.err
        assert self.out == ""
        for fragment in fragments:
            assert fragment in lines[0], (fragment, lines[0])
        return self

    def good(self) -> "Outcome":
        assert self.code == 0, (self.words, self.code, self.err)
        return self


def environment(**more: str) -> dict[str, str]:
    """One thread, no GPU, no colours, no set of the user's own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("RESLAB_CIFAR10", "FORCE_COLOR", "PYTHONWARNINGS")}
    return kept | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"} | more


def run(*words: object, cwd: Path | None = None, before: tuple[str, ...] = ()) -> Outcome:
    """A fresh interpreter; `before` stands before it on the command line."""
    told = tuple(str(w) for w in words)
    done = subprocess.run(
        [*before, sys.executable, "-m", "reslab", *told], capture_output=True, cwd=cwd, env=environment(), timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Outcome(
        told, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


class Warm:
    """Called like `run`; the interpreter is forked from one in which torch is imported (see warm.py)."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, str(HERE / "warm.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip

    def __call__(self, *words: object, cwd: Path | None = None) -> Outcome:
        told = tuple(str(w) for w in words)
        asked = {"words": told, "cwd": str(cwd or Path.cwd())}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        line = self.server.stdout.readline()
        assert line, "the warm interpreter ended"
        return Outcome(told, **json.loads(line))

    def close(self) -> None:
        assert self.server.stdin is not None
        with self.server:  # closes its pipes
            self.server.stdin.close()
            self.server.wait(timeout=60)


def verbs(of, path=()):
    """Yield (words, command) of every verb: ("recipe", "show"), its object."""
    for name in of:
        if not name.startswith("-"):
            if of[name].default_command is None:
                yield from verbs(of[name], (*path, name))
            else:
                yield (*path, name), of[name]


def untrained(folder: Path) -> bool:
    """Whether nothing below `folder` is a run: no step was made, no folder was taken."""
    return not [p for name in ("run.json", "metrics.jsonl", "step-*") for p in folder.rglob(name)]


SMOKE = ("train", "cifar_resnet8", "--recipe", "digits-smoke", "--threads", "1", "--device", "cpu")


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)
