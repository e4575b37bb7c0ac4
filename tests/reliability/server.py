"""Start `python -m reslab` over and over, each time in a process group of its own, with torch imported once.

As `tests/cli/warm.py`, whose `be` it uses, but a command may be signalled while it runs, has a time limit, and can be
given limits on memory and files, none of root's rights, and more of an environment. Reads one JSON line for each
request, and answers each with one.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress

import warm

PR_SET_PDEATHSIG = 1
CAPABILITIES_V3 = 0x20080522


def give_up_rights() -> None:
    """Make root a user whom permissions bind; another user might not be allowed to read the interpreter."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
    if os.geteuid() == 0 and ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError("rights cannot be given up")


def limited(request: dict) -> None:
    """Apply the request's limits to this process."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives the tests
    for file, number in ((request["out"], 1), (request["err"], 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.environ.update(request["environment"])
    if request["memory"]:  # bytes beyond what is mapped now
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + request["memory"],) * 2)
    if request["file_size"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its own start
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    if request["plain"]:
        give_up_rights()


def started(request: dict, answers) -> int:
    """The process of a new command."""
    child = os.fork()
    if child == 0:
        answers.close()
        limited(request)
        warm.be(request)
    with suppress(OSError):  # the child has done it itself, and may have ended
        os.setpgid(child, child)  # here too, so that the group is there once the answer is
    return child


def ended(child: int, seconds: float) -> dict:
    """How `child` ended; its group is killed if that takes longer than `seconds`."""
    until = time.monotonic() + seconds
    hung = False
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return {"code": os.waitstatus_to_exitcode(status), "hung": hung, "peak": used.ru_maxrss << 10}
        if time.monotonic() > until and not hung:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


def main() -> None:
    warm.warm_up()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        is_new = "words" in request
        answer = {"pid": started(request, answers)} if is_new else ended(request["wait"], request["seconds"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
