"""One writer for a folder, with real processes."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from reslab.errors import UserError
from reslab.store.lock import locked

HOLDER = """
import sys, time
from pathlib import Path
from reslab.store.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A second process that holds the folder until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_fault_12_the_second_is_refused_with_the_first_s_name(tmp_path, holder):
    with pytest.raises(UserError) as error, locked(tmp_path):
        raise AssertionError("the folder was held twice")
    told = str(error.value)
    assert f"process {holder.pid} on {socket.gethostname()}" in told
    assert str(tmp_path) in told
    assert "\n" not in told
    holder.communicate("", timeout=60)
    with locked(tmp_path):  # the refusal took nothing away
        assert (tmp_path / ".owner").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    assert not (tmp_path / ".owner").exists()


def test_fault_12_a_killed_holder_leaves_the_folder_free(tmp_path, holder):
    assert (tmp_path / ".owner").read_text().startswith(f"process {holder.pid} ")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(timeout=60)
    with locked(tmp_path):
        assert (tmp_path / ".owner").read_text().startswith(f"process {os.getpid()} ")


def test_two_of_many_never_hold_at_once(tmp_path):
    """Eight processes in turn: each finds no other's mark inside, and every turn is counted."""
    source = """
import sys, time
from pathlib import Path
from reslab.errors import UserError
from reslab.store.lock import locked
folder, turns = Path(sys.argv[1]), 0
while turns < 5:
    try:
        with locked(folder):
            (folder / "mark").touch(exist_ok=False)
            count = int((folder / "count").read_text())
            time.sleep(0.001)
            (folder / "count").write_text(str(count + 1))
            (folder / "mark").unlink()
            turns += 1
    except UserError:
        time.sleep(0.002)
"""
    (tmp_path / "count").write_text("0")
    many = [subprocess.Popen([sys.executable, "-c", source, str(tmp_path)]) for _ in range(8)]
    assert [p.wait(timeout=120) for p in many] == [0] * 8
    assert (tmp_path / "count").read_text() == "40"


def test_an_error_inside_frees_the_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass
    assert not (tmp_path / ".owner").exists()
