"""Compile C++ sources for this machine once, into a shared library in the user's cache, and load it through ctypes.

A plain C interface builds in seconds and needs no third-party headers. Without a compiler, the caller reports the
reason and uses its slower method.

A library is code, so it is loaded only from a folder that is private to the user (`store.trust`), and only if it has
the SHA-256 in its name: STEM-KEY-SHA256.so. One rename publishes file and hash together; a library that was truncated
or changed on the disk is removed and compiled again. Without a private cache, each process compiles in a temporary
folder of its own; without any private folder there is no library.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reslab.errors import RunError
from reslab.store.files import ASIDE, cache
from reslab.store.trust import Distrust, distrust, is_trusted, replacing_privately, temporary_folder

SHARED = ("-shared", "-fPIC", "-std=c++17")
TIME_LIMIT = 300  # seconds for one compilation
ABANDONED = 3600  # seconds after which an unpublished file must come from a killed process


@dataclass(frozen=True)
class Build:
    """A loaded library, or the `reason` it is unavailable.

    uncached   the reason it is not in the cache but compiled for this process alone, or ""
    """

    library: ctypes.CDLL | None = None
    reason: str = ""
    uncached: str = ""


def compiler() -> str | None:
    """Return the path of the C++ compiler that torch.compile calls, or None."""
    try:
        return _compiler_command()[0]
    except RunError:
        return None


def unavailable_reason(source: Path, *flags: str) -> str:
    """Return the reason `source` is not available as a library, or "" if it is. Compiles it on first use."""
    return _build(source, flags).reason


def uncached_reason(source: Path, *flags: str) -> str:
    """Return in one line the reason the library of `source` is not cached, or "" if it is."""
    return _build(source, flags).uncached


def library(source: Path, *flags: str) -> ctypes.CDLL:
    """Return the library of `source`, compiled with `flags`. Raises RunError with the `unavailable_reason`."""
    build = _build(source, flags)
    if build.library is None:
        raise RunError(build.reason)
    return build.library


def _compiler_command() -> list[str]:
    """Return the compiler's path and arguments: of $CXX, or else g++ or clang++. Raises RunError if there is none."""
    text = os.environ.get("CXX", "")
    try:
        words = shlex.split(text)  # CXX may carry arguments: "ccache g++"
    except ValueError as error:
        raise RunError(f"CXX={text!r} cannot be read ({error})") from None
    for name in words[:1] or ("g++", "clang++"):
        if path := shutil.which(name):
            return [path, *words[1:]]
    raise RunError(f"CXX names {words[0]!r}, which is not found" if words else "there is no C++ compiler")


def _build(source: Path, flags: tuple[str, ...]) -> Build:
    try:
        return _found_or_compiled(tuple(_compiler_command()), cache(), source, flags)
    except RunError as error:
        return Build(reason=str(error))


@lru_cache(maxsize=8)
def _found_or_compiled(command: tuple[str, ...], folder: Path | None, source: Path, flags: tuple[str, ...]) -> Build:
    """Load the library from `folder`, or compile it, publish it there and load it."""
    compile_command = [*command, *SHARED, *flags]
    try:
        key = _hash(source.read_bytes(), os.fsencode("\0".join(compile_command)), _version(command[0]), _cpu())
        name, problem = f"{source.stem}-{key[:16]}", distrust(folder, create=True)
        if folder and not problem and (cached := _cached(folder, name)):
            return Build(cached)
        with temporary_folder(None if problem else folder) as work:
            content = _compiled(compile_command, source, work / f"{name}.so")
            if folder and not problem:
                try:
                    return Build(_published(folder, name, content))
                except OSError as error:
                    problem = _unwritable(folder, error)
            assert problem
            uncached = f"{problem.problem}, so kernels are compiled for this process alone: {problem.remedy}"
            return Build(ctypes.CDLL(str(work / f"{name}.so")), uncached=uncached)
    except (OSError, subprocess.SubprocessError, RunError) as error:
        return Build(reason=f"{source.name} cannot be compiled: {_cause(error)}")


def _cached(folder: Path, name: str) -> ctypes.CDLL | None:
    """Load `name` from the private `folder`, or return None. Removes files that do not have the hash in their name."""
    for file in sorted(folder.glob(f"{name}-*.so")):
        with suppress(OSError):
            if is_trusted(file) and file.name == _named(name, file.read_bytes()):
                return ctypes.CDLL(str(file))
            file.unlink()
    return None


def _published(folder: Path, name: str, content: bytes) -> ctypes.CDLL:
    """Write a library into the private `folder` and load it from there. Raises OSError."""
    for unpublished in folder.glob(f"{ASIDE}*-{name}-*.so"):
        with suppress(OSError):
            if time.time() - unpublished.lstat().st_mtime > ABANDONED:
                unpublished.unlink()
    path = folder / _named(name, content)
    with replacing_privately(path) as aside:
        aside.write(content)
    return ctypes.CDLL(str(path))


def _named(name: str, content: bytes) -> str:
    return f"{name}-{_hash(content)}.so"


def _compiled(command: list[str], source: Path, target: Path) -> bytes:
    """Compile `source` to `target` and return its content. Raises OSError or SubprocessError."""
    private = {**os.environ, "TMPDIR": str(target.parent)}  # the compiler's temporary files are code as well
    subprocess.run(
        [*command, str(source), "-o", str(target)],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=TIME_LIMIT,
        env=private,
    )
    return target.read_bytes()


def _unwritable(folder: Path, error: OSError) -> Distrust:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    remedy = "free space there" if full else "set XDG_CACHE_HOME to a folder of your own"
    return Distrust(f"{folder} cannot be used ({error.strerror or error})", remedy)


def _cause(error: Exception) -> str:
    """Return an error of compiling or loading as one short line."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").splitlines()
        line = next((line for line in lines if "error" in line), "".join(lines[:1]))
        text = f"{error.cmd[0]} ends with status {error.returncode}{': ' if line else ''}{line}"
    elif isinstance(error, subprocess.TimeoutExpired):
        text = f"{error.cmd[0]} takes longer than {error.timeout:.0f} s"
    else:
        text = str(error)
    return "".join(letter if letter.isprintable() else " " for letter in text)[:240]


@lru_cache(maxsize=8)
def _version(program: str) -> bytes:
    command = [program, "--version"]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60).stdout


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _cpu() -> bytes:
    """Return what -march=native depends on, because machines may share a home folder."""
    with suppress(OSError), open("/proc/cpuinfo", "rb") as file:
        return next((line for line in file if line.startswith((b"flags", b"Features"))), b"")
    return platform.processor().encode()
