"""Commands of reslab in processes of their own, one of which is interrupted while it trains."""

import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "reslab"]


def reslab(folder: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end; it exits with `code`."""
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=folder, timeout=240)
    assert done.returncode == code, done.stderr
    return done


def interrupt(folder: Path, run: Path, *words: object) -> None:
    """Send Ctrl-C to a process that trains, once there is a checkpoint; it exits with 75."""
    process = subprocess.Popen([*COMMAND, *map(str, words)], cwd=folder, stdout=subprocess.DEVNULL)
    while process.poll() is None and not any(run.glob("checkpoints/step-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(240) == 75
