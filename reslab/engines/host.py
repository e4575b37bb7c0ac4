"""The cores, bf16 units and memory that this process may use, and the memory that it uses."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reslab.engines.shares import on_this_machine
from reslab.errors import UserError

BF16_UNITS = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
INT8_UNITS = ("amx_int8", "avx512_vnni", "avx_vnni")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of glibc's mallopt
# Blocks of at most LARGEST_BLOCK bytes come from the heap, whose free end is returned beyond KEPT_END bytes: both are
# the largest values that glibc accepts.
LARGEST_BLOCK, KEPT_END = 32 << 20, 2**31 - 1
# Address space that is taken without being used: stacks and heaps of threads (230 to 520 MB beyond the memory of an
# update, measured in runs with 0 and 2 data workers). Where it ends, libraries abort the process and raise nothing.
ADDRESSES, ADDRESS_RESERVE = "ulimit -v", 512 << 20
MOST_PROCESSES = 4_096  # a larger number is a typing error, which the system would refuse without a reason


def cores() -> int:
    """Return the cores that this process may use: its affinity (taskset, Slurm) within the control group's share."""
    return max(1, min(core_limits().values()))


def core_limits() -> dict[str, int]:
    """Return the cores of the machine, and those that the affinity and the control group leave, if they limit them."""
    limits = {"machine": os.cpu_count() or 1}
    if affinity := getattr(os, "sched_getaffinity", None):
        limits["affinity"] = len(affinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limits["control group"] = math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        pass
    return limits


def cpu_name() -> str:
    """Return the name of the CPU, or that of its architecture."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def default_workers() -> int:
    """Return the worker processes that are started if the user names none: one per core, 0 where none may be."""
    return 0 if multiprocessing.current_process().daemon else cores()


def check_workers(count: int) -> None:
    """Raise UserError if `--workers count` cannot be."""
    if count < 0:
        raise UserError(f"--workers: {count} must be at least 0")
    check_processes("--workers", count)
    if count and multiprocessing.current_process().daemon:
        raise UserError(
            f"--workers: a process of multiprocessing.Pool may start no others, so {count} cannot be; give 0, or use "
            "concurrent.futures.ProcessPoolExecutor"
        )


def check_processes(option: str, count: int) -> None:
    """Raise UserError if `count` threads or processes are more than any machine starts; `option` is the flag."""
    if count > MOST_PROCESSES:
        raise UserError(
            f"{option} is too large; the largest value is {MOST_PROCESSES:,}, and this machine has {cores()} cores"
        )


def bf16_units() -> frozenset[str]:
    """Return the CPU's units that multiply bf16, by torch's names; empty if it has none."""
    return units(BF16_UNITS)


def int8_units() -> frozenset[str]:
    """Return the CPU's units that multiply bytes (VNNI, AMX), by torch's names; empty if it has none."""
    return units(INT8_UNITS)


def units(names: Sequence[str]) -> frozenset[str]:
    """Return those of the CPU's units that have one of `names`."""
    import torch  # not at the top: the rest of this file is used before torch is imported

    get_capabilities = getattr(torch.cpu, "get_capabilities", None)
    capabilities = get_capabilities() if get_capabilities else {}
    found = frozenset(unit for unit in names if capabilities.get(unit))
    if not found:  # an older torch
        with suppress(OSError):
            flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
            found = frozenset(names).intersection(flags)
    return found


def keep_memory() -> bool:
    """Make malloc keep freed memory for the next update instead of returning it to the system.

    Returns whether malloc accepted this. Every update frees its maps and allocates as many again. By default glibc
    returns the end of its heap each time, and the system hands it out again page by page, cleared: thousands of page
    faults per update, and up to a fifth of its time (docs/performance.md). The peak stays the same. Does nothing if the
    user has set MALLOC_*.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, KEPT_END))
    return False


def resident() -> tuple[int, int]:
    """Return the bytes of memory of this process now and at its peak; (0, 0) if the system does not report them."""
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
    """Return the bytes that this process can still allocate, or None if unknown; `swap` counts free swap space too.

    The limits of the control group and of the process (`ulimit -v`, `ulimit -d`) are respected.
    """
    limits = [free for _, free in memory_limits(swap).values()]
    return max(0, min(limits)) if limits else None


def available_to_rank(swap: bool = False) -> int | None:
    """Return `available`, divided by the ranks on this machine if this process is one of several."""
    free = available(swap)
    return None if free is None else free // on_this_machine()


def memory_limits(swap: bool = False) -> dict[str, tuple[int | None, int]]:
    """Return what limits the memory of this process, each with its size (None: unknown) and unused part in bytes.

    "machine", "control group", "ulimit -v" and "ulimit -d", as far as they exist and the system reports them; `swap`
    counts free swap space too. Of "ulimit -v" a reserve of addresses is left out.
    """
    memory = _fields(Path("/proc/meminfo"))
    free_swap = memory.get("SwapFree", 0) if swap else 0
    limits: dict[str, tuple[int | None, int]] = {}
    if "MemAvailable" in memory:
        limits["machine"] = memory.get("MemTotal"), memory["MemAvailable"] + free_swap
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            in_use = int(Path(used).read_text()) - _file_cache(Path(used).with_name("memory.stat"))
            size = int(Path(limit).read_text())
        except (OSError, ValueError):  # "max": no limit
            continue
        limits["control group"] = size, size - in_use + free_swap
    if not limits and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        page = os.sysconf("SC_PAGE_SIZE")
        limits["machine"] = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    return limits | _process_limits()


def _process_limits() -> dict[str, tuple[int | None, int]]:
    """Return the size and the unused bytes of each of the process's own limits; {} without limits, or without /proc."""
    try:
        import resource
    except ImportError:
        return {}
    used = _fields(Path("/proc/self/status"))
    limits: dict[str, tuple[int | None, int]] = {}
    for name, limit, field in (
        (ADDRESSES, resource.RLIMIT_AS, "VmSize"),
        ("ulimit -d", resource.RLIMIT_DATA, "VmData"),
    ):
        size = resource.getrlimit(limit)[0]
        if size != resource.RLIM_INFINITY and field in used:
            limits[name] = size, size - used[field] - (ADDRESS_RESERVE if name == ADDRESSES else 0)
    return limits


def _fields(file: Path) -> dict[str, int]:
    """Return the sizes in a file of /proc, in bytes by name; {} if it cannot be read."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {w[0]: int(w[1]) * 1024 for w in words if len(w) == 3 and w[1].isdigit() and w[2] == "kB"}


def _file_cache(stat: Path) -> int:
    """Return the bytes of a control group that cache files: counted as used, but released on demand."""
    try:
        values = dict(line.split() for line in stat.read_text().splitlines())
        return int(values.get("total_inactive_file", values.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0
