"""What this process may use of its machine: cores, their units and memory, and what it uses itself."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from reslab.errors import UserError

BF16_UNITS = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
# glibc's mallopt: blocks below this many bytes come from the heap, and the heap's free end is given back beyond that.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST_PROCESSES = 4_096  # a larger number is a slip, and the system would refuse it with no word of why
LARGEST_BLOCK, KEPT_END = 32 << 20, 2**31 - 1  # the most that glibc takes


def cores() -> int:
    """Cores that this process may compute on: its affinity (taskset, Slurm) and its control group's share of time."""
    asked = getattr(os, "sched_getaffinity", None)
    found = [len(asked(0)) if asked else os.cpu_count() or 1]
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        found.append(math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        pass
    return max(1, min(found))


def check_processes(option: str, wanted: int) -> None:
    """Raise UserError if `wanted` threads or processes are more than any machine starts."""
    if wanted > MOST_PROCESSES:
        raise UserError(
            f"{option} is too large; the largest value is {MOST_PROCESSES:,}, and this machine has {cores()} cores"
        )


def bf16_units() -> frozenset[str]:
    """The units of this CPU that multiply bf16, by the names torch gives them; empty where it has none."""
    import torch  # here, as the rest of this file plans runs without it

    asked = getattr(torch.cpu, "get_capabilities", None)
    told = asked() if asked else {}
    found = frozenset(unit for unit in BF16_UNITS if told.get(unit))
    if not found:
        with suppress(OSError):
            flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
            found = frozenset({"amx_bf16", "avx512_bf16"}.intersection(flags))
    return found


def keep_memory() -> bool:
    """Keep freed memory for the next update instead of giving it back to the system; whether that could be asked for.

    Every update frees its maps and asks for as many again. glibc gives the end of its heap back each time, and the
    system hands it out anew page by page, cleared: thousands of page faults an update, and up to a fifth of its time
    (docs/performance.md). The peak stays the same. Who sets MALLOC_… knows better.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, KEPT_END))
    return False


def resident() -> tuple[int, int]:
    """Bytes of this process now and at its peak; (0, 0) where the system does not say."""
    sizes = _fields(Path("/proc/self/status"))
    if "VmRSS" in sizes and "VmHWM" in sizes:
        return sizes["VmRSS"], sizes["VmHWM"]
    try:
        import resource
    except ImportError:
        return 0, 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0, peak * (1 if sys.platform == "darwin" else 1024)


def available(swap: bool = False) -> int | None:
    """Return the bytes that this process can still have, or None if unknown; `swap` counts free swap space too.

    The limits of a control group and of the process (`ulimit -v`, `ulimit -d`) are included.
    """
    memory = _fields(Path("/proc/meminfo"))
    swapped = memory.get("SwapFree", 0) if swap else 0
    found = [memory["MemAvailable"] + swapped] if "MemAvailable" in memory else []
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            held = int(Path(used).read_text()) - _cache_of_files(Path(used).with_name("memory.stat"))
            found.append(int(Path(limit).read_text()) - held + swapped)
        except (OSError, ValueError):  # "max": no limit
            continue
    if not found and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    found += _unused_limits()
    return max(0, min(found)) if found else None


def _unused_limits() -> list[int]:
    """What is left of the process's own limits, in bytes; none without a limit, or where /proc is not."""
    try:
        import resource
    except ImportError:
        return []
    used = _fields(Path("/proc/self/status"))
    left = []
    for limit, field in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY and field in used:
            left.append(most - used[field])
    return left


def _fields(file: Path) -> dict[str, int]:
    """The sizes in a file of /proc, in bytes by name; {} if it cannot be read."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {w[0]: int(w[1]) * 1024 for w in words if len(w) == 3 and w[1].isdigit() and w[2] == "kB"}


def _cache_of_files(stat: Path) -> int:
    """Bytes of a control group that hold files read earlier: counted as used, and given back when they are wanted."""
    try:
        told = dict(line.split() for line in stat.read_text().splitlines())
        return int(told.get("total_inactive_file", told.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0
