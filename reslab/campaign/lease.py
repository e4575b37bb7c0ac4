"""A run that exactly one process of many machines may train: leases in a folder that all of them share.

    STUDY/RUN                            the run, once it is finished or left
    STUDY/.leases/RUN/TOKEN/             the lease: its name is the token of its holder
    STUDY/.leases/RUN/TOKEN/lease.json   host, process and version of the holder
    STUDY/.leases/RUN/TOKEN/beat         a counter that the holder increases
    STUDY/.leases/RUN/TOKEN/TOKEN/       the holder's own copy of the run, in which it trains

Whoever wants a run takes it by one rename: of a prepared folder to RUN if there is none, else of TOKEN to its own
token. A rename succeeds for one process alone. From then on every path of the former holder is gone: a holder that was
frozen and comes back can neither save nor publish, and files that it had open belong to a copy that nobody reads any
more. The new holder copies the newest checkpoint first. A holder that has finished, or that was told to stop,
publishes: it renames STUDY/.leases/RUN/TOKEN/TOKEN to STUDY/RUN, which works only under the current token, and removes
the lease.

A lease expires when its token and counter have not changed for some seconds of the observer's own monotonic clock, so
clocks of different machines are never compared. Source: the fencing tokens of distributed locks, with the file system's
rename as the check of the token.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reslab.campaign.layout import (
    BEAT,
    COPY,
    END,
    HOLDER,
    NEW,
    Held,
    attempts,
    look,
    place_of,
    progress,
    remove,
    sweep,
)
from reslab.errors import RunError, UserError
from reslab.runs.runlog import RUN
from reslab.store.files import ASIDE
from reslab.store.lock import locked
from reslab.training.job import check_vacant
from reslab.version import VERSION

UNSEEN = 2.0  # seconds between two looks of an observer that is not frozen, at most, but for half a lease
BEATS = 12  # signs of life within the time of a lease: some may be late
TRIES = 5  # to copy a run whose former holder still removes old checkpoints
WIDTH = 20  # digits of the counter, which is replaced in place


def ask_to_stop(out: Path) -> bool:
    """Ask the holder of a run to save it and leave; return whether there is one."""
    if (held := look(out)) is None:
        return False
    try:
        (place_of(out) / held.token / END).touch()
    except FileNotFoundError:
        return False
    return True


class Lease:
    """The right to train one run; `claim` gives it. Use it with `with`: it shows signs of life until the end."""

    def __init__(self, out: Path, token: str, seconds: float) -> None:
        self.out, self.token, self.seconds = out, token, seconds
        self.folder = place_of(out) / token
        self.attempt = self.folder / token
        self._asked, self._lost, self._end = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"lease of {out.name}", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken the run over."""
        return self._lost.is_set() or not self._is_there()

    @property
    def should_stop(self) -> bool:
        """Whether the run was taken over or is asked to stop, as of the last sign of life: it reads no file."""
        return self._lost.is_set() or self._asked.is_set()

    def _is_there(self) -> bool:
        return (self.folder / HOLDER).is_file()

    def _live(self) -> None:
        count = 0
        while not self._end.wait(self.seconds / BEATS):
            count += 1
            try:
                with (self.folder / BEAT).open("r+", encoding="ascii") as file:  # "r+" makes no file
                    file.write(f"{count:0{WIDTH}}")
                if (self.folder / END).exists():
                    self._asked.set()
            except (FileNotFoundError, NotADirectoryError):
                self._lost.set()
                return
            except OSError:  # a server that does not answer: the lease may expire, and then the path is gone
                continue

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        if self.is_lost:
            sweep(self.out)  # what this process may have written since
            return
        if (self.attempt / RUN).is_file():  # saved, and free for others at once
            self.publish()
        remove(self.out, self.token)

    def adopt(self) -> Path:
        """Return this holder's own folder of the run, with what was trained before it; empty for a new run."""
        before = sorted(attempts(self.folder), key=progress)
        is_begun = (self.out / RUN).is_file()
        if before and is_begun:
            raise UserError(f"{self.out}: is in {before[-1]}, too; move one of them away")
        if before:
            copy = self.folder / f"{COPY}{self.token}"
            _copied(before[-1], copy)
            os.rename(copy, self.attempt)
            for folder in before:
                shutil.rmtree(folder, ignore_errors=True)
        elif is_begun:
            with locked(self.out):
                os.rename(self.out, self.attempt)
        else:
            check_vacant(self.out)
            self.attempt.mkdir()
        return self.attempt

    def publish(self) -> None:
        """Make the attempt the run, finished or not. Raises RunError if the lease was lost."""
        if not self._is_there():
            raise RunError(f"{self.out}: its lease was taken over")
        for name in (".lock", ".owner"):
            (self.attempt / name).unlink(missing_ok=True)
        try:
            os.rename(self.attempt, self.out)
        except OSError as error:
            if not self._is_there():
                raise RunError(f"{self.out}: its lease was taken over") from None
            raise RunError(f"{self.out}: cannot be published ({error.strerror}); it is in {self.attempt}") from None


def claim(out: Path, seconds: float, expired: str = "") -> Lease | None:
    """Return the lease of a run, or None if another process has it.

    seconds   after which a holder that shows no sign of life loses it
    expired   token of a holder that has shown none
    Raises UserError if a process of another version of reslab holds it, or the folder cannot be written.
    """
    place, token = place_of(out), f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    held = look(out)
    if held is None:
        aside = place.with_name(f"{NEW}{token}")
        (aside / token).mkdir(parents=True)
        _sign(aside / token)
        try:
            os.rename(aside, place)
        except OSError:  # another one was faster, or a former holder has made its folder again
            shutil.rmtree(aside, ignore_errors=True)
            sweep(out)
            return None
        return Lease(out, token, seconds)
    if held.token != expired:
        if held.version != VERSION:
            raise UserError(
                f"{out}: is trained by reslab {held.version} on {held.host}, and this is {VERSION}; use one version on "
                "all machines"
            )
        return None
    try:
        os.rename(place / held.token, place / token)
    except OSError:
        return None
    _sign(place / token)
    return Lease(out, token, seconds)


class Watch:
    """Tells which leases have expired, by this process's own clock.

    clock   returns seconds, monotonic
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = seconds, clock
        self._seen: dict[Path, tuple[str, str, float, float]] = {}  # token, counter, since when, last look
        self._due = clock()

    def is_due(self) -> bool:
        """Return whether it is time to look again, and if so count from now."""
        now = self.clock()
        if now < self._due:
            return False
        self._due = now + min(1.0, self.seconds / BEATS)
        return True

    def has_expired(self, out: Path, held: Held) -> bool:
        """Return whether `held` has not changed for the time of a lease, once in that time.

        Time during which nobody looked does not count: the observer may have been frozen together with the holder.
        """
        now = self.clock()
        token, beat, since, last = self._seen.get(out, ("", "", now, now))
        if (token, beat) != (held.token, held.beat) or now - last > max(UNSEEN, self.seconds / 2):
            since = now
        has_expired = now - since > self.seconds
        self._seen[out] = (held.token, held.beat, now if has_expired else since, now)
        return has_expired


def _sign(lease: Path) -> None:
    """Write the holder's name and a counter at its beginning into a lease."""
    facts: dict[str, Any] = {"host": socket.gethostname(), "process": os.getpid(), "version": VERSION}
    aside = lease / f"{ASIDE}{os.getpid()}-{HOLDER}"
    aside.write_text(json.dumps(facts), encoding="utf-8")
    (lease / BEAT).write_text("0" * WIDTH, encoding="ascii")
    (lease / END).unlink(missing_ok=True)  # was said to the holder before
    os.replace(aside, lease / HOLDER)


def _copied(source: Path, target: Path) -> None:
    """Copy a run. Its former holder may come back and change it: what it has published is whole, or there no more."""
    for tries_left in reversed(range(TRIES)):
        shutil.rmtree(target, ignore_errors=True)
        try:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
        except (shutil.Error, FileNotFoundError):
            if not tries_left:
                raise
            continue
        return
