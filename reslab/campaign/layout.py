"""What the leases of a study look like on disk: read by every machine, written by the holders alone (`lease`)."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reslab.errors import UserError
from reslab.runs.runlog import CHECKPOINTS, RUN
from reslab.version import VERSION

LEASES = ".leases"
HOLDER, BEAT, END = "lease.json", "beat", "end"
MARK = ".mark-"
NEW, COPY, GONE = ".new-", ".copy-", ".gone-"  # prefixes of what is not yet, or no longer, a lease or an attempt


@dataclass(frozen=True)
class Held:
    """A lease as another process sees it; `beat` is the holder's counter."""

    token: str
    beat: str
    host: str = ""
    process: int = 0
    version: str = VERSION


def place_of(out: Path) -> Path:
    """Return the folder of the leases of the run that is published as `out`."""
    return out.parent / LEASES / out.name


def look(out: Path) -> Held | None:
    """Return the lease of a run, or None if nobody has one."""
    for folder in _folders(place_of(out)):
        try:
            facts = json.loads((folder / HOLDER).read_bytes())
            beat = (folder / BEAT).read_text(encoding="ascii")
        except (OSError, ValueError):  # a folder that a former holder made once more, or that was renamed just now
            continue
        return Held(folder.name, beat, str(facts.get("host")), int(facts.get("process", 0)), str(facts.get("version")))
    return None


def attempt_of(out: Path) -> Path | None:
    """Return the folder in which a run is trained under a lease, None if there is none."""
    if (held := look(out)) is None:
        return None
    return max(attempts(place_of(out) / held.token), key=progress, default=None)


@contextmanager
def marked(bases: Collection[Path]) -> Iterator[str]:
    """Yield the name of a file that each of these study folders has until the end; who sees it shares the folder."""
    name = f"{MARK}{secrets.token_hex(8)}"
    try:
        for base in bases:
            (base / LEASES).mkdir(parents=True, exist_ok=True)
            (base / LEASES / name).touch()
        yield name
    finally:
        for base in bases:
            (base / LEASES / name).unlink(missing_ok=True)


def check_shared(out: Path, mark: str) -> None:
    """Raise UserError if this machine does not see the study folder of the command."""
    if not (out.parent / LEASES / mark).exists():
        raise UserError(
            f"{out.parent}: {socket.gethostname()} does not see this folder of the study; give an --out that is shared "
            "by all machines, as an absolute path"
        )


def tidy(base: Path) -> None:
    """Remove the folder of leases of the study folder `base` if no run is unfinished under one."""
    leases = base / LEASES
    if not leases.is_dir() or any(_folders(leases)):
        return
    for path in leases.iterdir():
        if path.name.startswith((NEW, GONE)):
            shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        leases.rmdir()


def _folders(place: Path) -> Iterator[Path]:
    """Yield the folders in `place` that are published: neither prepared nor on their way out."""
    try:
        names = sorted(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if not name.startswith(".") and (place / name).is_dir():
            yield place / name


def attempts(lease: Path) -> list[Path]:
    """Return the copies of the run in a lease: its holder's, and those of former holders until they are copied."""
    return [folder for folder in _folders(lease) if (folder / RUN).is_file()]


def progress(attempt: Path) -> str:
    """Return the name of the newest checkpoint: names sort by their iteration."""
    return max((f.name for f in (attempt / CHECKPOINTS).glob("step-*")), default="")


def remove(out: Path, token: str) -> None:
    """Remove the lease `token` of a run, unless another process has taken it over."""
    place = place_of(out)
    gone = place.with_name(f"{GONE}{secrets.token_hex(4)}")
    with suppress(OSError):
        os.rename(place / token, gone)  # first, so that no part of it is seen
        shutil.rmtree(gone, ignore_errors=True)
    sweep(out)


def sweep(out: Path) -> None:
    """Remove what former holders have made again beside or in place of a lease: it has no HOLDER."""
    for folder in _folders(place_of(out)):
        if not (folder / HOLDER).exists():
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        place_of(out).rmdir()
