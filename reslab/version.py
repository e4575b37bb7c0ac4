"""The versions of reslab and of installed packages, and the commit of a checkout."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

VERSION = "0.1.0"


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed package without importing it, or None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def source_commit() -> str | None:
    """Return the checkout's commit, with "+changes" if files differ; None without git or for an installed package."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True, timeout=20).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "reslab"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+changes" if changes.strip() else "")
