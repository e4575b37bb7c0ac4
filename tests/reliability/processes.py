"""Commands in processes of their own that may be killed, timed out and limited (see server.py)."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from commands import HERE as CLI
from commands import Outcome, environment

LIMIT = 120.0  # seconds after which a command counts as hung


@dataclass
class Ended(Outcome):
    """What a command left behind, whether it had to be killed as hung, and the most memory it held, in bytes."""

    hung: bool = False
    peak: int = 0

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def last(self) -> str:
        """The last line on standard error, which says why a command failed."""
        return (self.err.strip().splitlines() or [""])[-1].lstrip("\0")  # which torch writes after a worker's crash


class Running:
    """A command that runs; `pid` is its process and its process group."""

    def __init__(self, server: Server, words: tuple[str, ...], folder: Path, pid: int) -> None:
        self.server, self.words, self.folder, self.pid = server, words, folder, pid

    def signal(self, number: int, *, group: bool = True) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, seconds: float = LIMIT) -> Ended:
        answer = self.server.ask({"wait": self.pid, "seconds": seconds})
        out, err = (self._written(name) for name in ("out", "err"))
        return Ended(self.words, answer["code"], out, err, answer["hung"], answer["peak"])

    def _written(self, name: str) -> str:
        try:
            return (self.folder / name).read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:  # killed before it opened the file
            return ""

    @property
    def alive(self) -> bool:
        """Whether it still runs; a process that has ended stays a zombie until `wait`."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def until(self, reached: Callable[[], bool], seconds: float = LIMIT) -> bool:
        """Wait for `reached()`; whether it came before the command ended."""
        limit = time.monotonic() + seconds
        while not reached():
            if not self.alive or time.monotonic() > limit:
                return False
            time.sleep(0.001)
        return True


class Server:
    """Called like `commands.run`. `start` returns a command that runs, to be signalled."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="reslab-reliability-")
        os.chmod(self.folder.name, 0o755)
        self.number = 0
        path = os.pathsep.join([str(CLI), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=environment(PYTHONPATH=path),
        )  # fmt: skip

    def ask(self, request: dict) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the warm interpreter ended"
        return json.loads(line)

    def start(
        self, *words: object, cwd: Path, memory: int = 0, file_size: int = 0, plain: bool = False, **more: str
    ) -> Running:
        """A command in `cwd`, `more` added to its environment; `memory` and `file_size` are limits in bytes.

        plain   root's rights are given up
        """
        self.number += 1
        folder = Path(self.folder.name) / str(self.number % 50)
        folder.mkdir(exist_ok=True)
        texts = tuple(str(w) for w in words)
        request = {
            "words": texts, "cwd": str(cwd), "out": str(folder / "out"), "err": str(folder / "err"), "memory": memory,
            "file_size": file_size, "plain": plain, "environment": more,
        }  # fmt: skip
        return Running(self, texts, folder, self.ask(request)["pid"])

    def __call__(self, *words: object, cwd: Path, seconds: float = LIMIT, **limits) -> Ended:
        return self.start(*words, cwd=cwd, **limits).wait(seconds)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.folder.cleanup()


class Trainings:
    """The same command of `train` again and again, in processes of their own; `out` is the run's folder.

    Commands are forked from an interpreter with torch imported, which starts with the first and ends with the tests.
    """

    _server: ClassVar[Server | None] = None

    def __init__(self, *words: str) -> None:
        self.words = words

    @property
    def server(self) -> Server:
        if Trainings._server is None:
            Trainings._server = Server()
            atexit.register(Trainings._server.close)
        return Trainings._server

    def start(self, out: Path, *more: str) -> Running:
        return self.server.start(*self.words, *more, "--out", out, cwd=out.parent)

    def finish(self, out: Path, *more: str) -> Ended:
        ended = self.start(out, *more).wait(300)
        assert ended.code == 0, ended.text
        return ended
