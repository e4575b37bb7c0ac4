"""C++ sources compiled for this machine, once: a shared library in the user's cache, loaded through ctypes.

A plain C interface builds in seconds and needs the headers of nobody. Where there is no compiler the caller says so
and takes its slower way.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from reslab.store.files import aside_of, cache

SHARED = ("-shared", "-fPIC", "-std=c++17")


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call, or None."""
    wanted = shlex.split(os.environ.get("CXX", "")) or ["g++"]  # CXX may carry arguments: "ccache g++"
    return shutil.which(wanted[0]) or shutil.which("clang++")


def why_not(source: Path, *flags: str) -> str:
    """Why `source` cannot be had as a library on this machine, or "" where it can; compiles it the first time."""
    if compiler() is None:
        return "there is no C++ compiler"
    try:
        library(source, *flags)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{source.name} cannot be compiled ({type(error).__name__})"
    return ""


def library(source: Path, *flags: str) -> ctypes.CDLL:
    """`source` compiled with `flags`. Raises OSError or SubprocessError where that is impossible."""
    return _library(compiler() or "", cache(), source, flags)


@lru_cache(maxsize=8)
def _library(program: str, folder: Path, source: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    """The library, compiled unless `folder` has it."""
    command = [program, *shlex.split(os.environ.get("CXX", ""))[1:], *SHARED, *flags]
    digest = _digest(source.read_bytes(), " ".join(command).encode(), _version(program), _processor())
    name = f"{source.stem}-{digest}.so"
    kept = folder / name
    if kept.exists():
        with suppress(OSError):  # torn: it is made again
            return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(prefix="reslab-") as work:
        made = Path(work) / name
        subprocess.run([*command, str(source), "-o", str(made)], check=True, capture_output=True, timeout=300)
        with suppress(OSError):  # a folder that cannot be written: compiled again by the next process
            folder.mkdir(parents=True, exist_ok=True)
            aside = aside_of(kept)
            shutil.copyfile(made, aside)
            os.replace(aside, kept)
        return ctypes.CDLL(str(kept if kept.exists() else made))


@lru_cache(maxsize=8)
def _version(program: str) -> bytes:
    return subprocess.run([program, "--version"], check=True, capture_output=True, timeout=60).stdout


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """What -march=native depends on: a home folder may be shared by machines."""
    with suppress(OSError), open("/proc/cpuinfo", "rb") as file:
        return next((line for line in file if line.startswith((b"flags", b"Features"))), b"")
    return platform.processor().encode()
