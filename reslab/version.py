"""The version, read by the package, `run.json` and the build; and the commit of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

VERSION = "0.1.0"


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
