"""The version, said once: the package, `run.json` and the build read it here; and the commit of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

VERSION = "0.1.0"


def source_commit() -> str | None:
    """Return the commit of the checkout that this package lies in, "+changes" behind it if its files differ, or None.

    None also without git, and for an installed package.
    """
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
