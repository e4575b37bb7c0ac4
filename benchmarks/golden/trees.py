"""Two trees on one machine: a revision in a worktree of its own, and a collection made in each tree."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.golden.collect import Request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Variables that could make the two collections, or their kernels, differ from each other or from a plain call.
LEFT_OUT = ("PYTHON", "OMP_", "MKL_", "KMP_", "TORCH", "RESLAB", "XDG_", "MALLOC_", "CUDA", "GIT_", "FORCE_COLOR")


class Failed(Exception):
    """The comparison cannot be made; the text is the one line for the user."""


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"git {words[0]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def commit_of(revision: str) -> str:
    """Return the hash of a revision. Raises Failed if it does not exist."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except Failed:
        raise Failed(f"--against {revision}: no such commit in {ROOT}; give a branch, a tag or a hash") from None


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Yield `folder` with the files of a commit; it is always removed at the end."""
    try:
        _git("worktree", "add", "--detach", str(folder), commit)
        yield folder
    finally:
        with suppress(Failed):  # forced twice: an interrupted `add` leaves the worktree locked
            _git("worktree", "remove", "--force", "--force", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


class Interrupts:
    """SIGINT and SIGTERM for a while: the collector ends at once, and `check` raises KeyboardInterrupt.

    An exception out of the handler itself could come between a process's start and the variable that holds it.
    """

    def __init__(self) -> None:
        self.asked = False
        self.process: subprocess.Popen[str] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: Any) -> None:
        self.asked = True
        if self.process is not None:
            _kill(self.process)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.asked:
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def environment(tree: Path, work: Path) -> dict[str, str]:
    """Return the environment of a collection, equal for both trees except for the path of `reslab`.

    Home and caches are new folders, so that each tree compiles its own kernels.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT)}
    home = work / "home"
    own = {
        "PYTHONPATH": os.pathsep.join([str(work / "collector"), str(tree)]),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written into a tree
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
        "TMPDIR": str(home / "tmp"),
        "TEMP": str(home / "tmp"),
        "COLUMNS": "100",
    }
    return {**kept, **own}


def collect(
    name: str, request: Request, work: Path, tell: Callable[[str], None], keep: bool, interrupts: Interrupts
) -> dict[str, Any]:
    """Return the collection of a tree, made in a process of its own. Raises Failed if it ends without one.

    Both trees use the same paths one after the other, because records name the paths they were written to.
    """
    interrupts.check()
    _lay_out(work)
    here = work / "here"
    question, log = work / "request.json", work / f"{name}.log"
    question.write_text(json.dumps(asdict(request)), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.golden.collect", str(question)]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, cwd=here, env=environment(Path(request.tree), work), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        interrupts.process = process
        try:
            interrupts.check()
            assert process.stdout is not None
            for line in process.stdout:
                tell(line)
            status = process.wait()
        finally:
            interrupts.process = None
            _end(process)
    interrupts.check()
    if keep:
        shutil.rmtree(work / f"{name}-files", ignore_errors=True)
        here.rename(work / f"{name}-files")
    target = Path(request.target)
    if status or not target.is_file():
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise Failed(f"the collection of {name} ended with status {status}: {last[0]}")
    return dict(json.loads(target.read_text(encoding="utf-8")))


def copy_collector(work: Path) -> None:
    """Copy the collector into `work`, once for both trees, so that an edit in between does not affect one of them."""
    package = work / "collector" / "benchmarks"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(HERE, package / "golden", ignore=shutil.ignore_patterns("__pycache__"))


def _lay_out(work: Path) -> None:
    """Make new folders for a collection: home (private to its owner) and current folder."""
    for folder in ("home", "here"):
        shutil.rmtree(work / folder, ignore_errors=True)
        (work / folder).mkdir(mode=0o700)
    (work / "home" / "tmp").mkdir(mode=0o700)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a collector and the processes that it started; nothing if it has ended, for its number may be another's."""
    if process.poll() is not None:
        return
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a collector and wait until it is gone, because its folders are removed next."""
    _kill(process)
    process.wait()
    deadline = time.monotonic() + 5
    with suppress(OSError):
        while hasattr(os, "killpg") and time.monotonic() < deadline:
            os.killpg(process.pid, 0)  # raises ProcessLookupError when all have ended
            time.sleep(0.01)
