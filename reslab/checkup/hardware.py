"""Check the machine: system, CPU, cores, threads, memory, GPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from reslab.checkup.guard import quiet
from reslab.checkup.result import FAULT, NOTE, OK, Finding
from reslab.engines import host

# The units that the checkup names, by torch's names.
VECTOR_UNITS = {"avx2": "AVX2", "avx512_f": "AVX512", "avx512f": "AVX512"}
BF16_NAMES = {
    "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "arm_bf16": "bf16", "bf16": "bf16",
}  # fmt: skip
INT8_NAMES = {"avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX-INT8"}
UNIT_NAMES = {**VECTOR_UNITS, **BF16_NAMES, **INT8_NAMES}
LEAST_MEMORY = 1 << 30  # bytes below which little can be trained beside torch itself


def system() -> Iterator[Finding]:
    """Yield the operating system."""
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    pretty = _distribution()
    yield Finding("system", OK, f"{pretty}, {name}" if pretty else name, values={"system": name, "name": pretty})


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def cpu(has_torch: bool) -> Iterator[Finding]:
    """Yield the CPU, and its units if torch works, which knows them."""
    if not has_torch:
        yield Finding("cpu", OK, host.cpu_name(), values={"name": host.cpu_name()})
        return
    units = host.units(tuple(VECTOR_UNITS)) | host.bf16_units() | host.int8_units()
    names = list(dict.fromkeys(name for unit, name in UNIT_NAMES.items() if unit in units))
    has_bf16 = bool(host.bf16_units())
    text = f"{host.cpu_name()}; {', '.join(names) or 'no vector units known'}"
    if not has_bf16:
        text += "; no bf16 units, so `auto` takes fp32"
    yield Finding("cpu", OK, text, values={"name": host.cpu_name(), "units": names, "bf16": has_bf16})


def cores() -> Iterator[Finding]:
    """Yield the cores that this process may use, and what limits them."""
    limits, usable = host.core_limits(), host.cores()
    reasons = [f"{name} allows {count}" for name, count in limits.items() if name != "machine"]
    by = f" ({', '.join(reasons)})" if usable < limits["machine"] else ""
    yield Finding("cores", OK, f"{usable} of {limits['machine']}{by}", values={"usable": usable, **limits})


def threads() -> Iterator[Finding]:
    """Yield the threads that `auto` takes."""
    from reslab.engines.machine import thread_count

    count, usable = thread_count(0), host.cores()
    if count < usable:
        given = os.environ.get("OMP_NUM_THREADS")
        text = f"{count}, though {usable} cores may be used"
        text += f": OMP_NUM_THREADS={given}" if given else ", as torch chose"
        yield Finding("threads", NOTE, text, f"--threads {usable} uses all", values={"threads": count})
    else:
        yield Finding("threads", OK, str(count), values={"threads": count})


def memory() -> Iterator[Finding]:
    """Yield the memory that is free for this process, and each limit of it."""
    from reslab.engines.memory import shown

    limits, free = host.memory_limits(), host.available()
    values = {"free": free, "limits": {name: {"size": s, "free": f} for name, (s, f) in limits.items()}}
    if free is None:
        yield Finding("memory", NOTE, "unknown, so no run is refused for lack of it", values=values)
        return
    parts = []
    for name, (size, unused) in limits.items():
        total = limits.get("machine", (None, 0))[0]
        if name == "machine" or size is None or total is None or size < total:
            of = f" of {shown(size)}" if size is not None else ""
            parts.append(f"{name} {shown(max(0, unused))} free{of}")
    text = f"{shown(free)} free ({', '.join(parts)})"
    if free < LEAST_MEMORY:
        yield Finding("memory", NOTE, text, "end other programs, or raise the limit, before larger nets", values=values)
    else:
        yield Finding("memory", OK, text, values=values)


def gpu() -> Iterator[Finding]:
    """Yield each GPU that torch sees, or the reason it sees none."""
    import torch

    from reslab.engines.memory import shown

    with quiet() as caught:
        is_available = torch.cuda.is_available()
    if not is_available:
        yield _no_gpu(str(torch.version.cuda or torch.version.hip or ""), [str(w.message) for w in caught])
        return
    driver = _driver_version()
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        free = torch.cuda.mem_get_info(index)[0]
        text = f"{about.name}, {shown(free)} free of {shown(about.total_memory)}"
        text += f", compute capability {about.major}.{about.minor}, driver {driver or 'of unknown version'}"
        values = {
            "name": about.name, "memory": about.total_memory, "free": free, "driver": driver,
            "capability": f"{about.major}.{about.minor}", "cuda": torch.version.cuda,
        }  # fmt: skip
        yield Finding(f"gpu {index}", OK, text, values=values)


def _no_gpu(built_for: str, warned: list[str]) -> Finding:
    """Return the finding for a torch that sees no GPU; a fault if the machine has a driver that torch cannot use."""
    hidden, driver = os.environ.get("CUDA_VISIBLE_DEVICES"), _driver_version()
    values = {"built_for": built_for or None, "driver": driver, "warnings": warned}
    if driver is None:
        return Finding("gpu", OK, "none: there is no NVIDIA driver", values=values)
    if hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        return Finding("gpu", OK, f"none: CUDA_VISIBLE_DEVICES={hidden!r} hides it", values=values)
    if not built_for:
        remedy = "install a torch that is built for CUDA"
        return Finding("gpu", NOTE, f"none: this torch is built for the CPU, driver {driver}", remedy, values=values)
    why = " ".join(warned[0].split())[:200] if warned else "torch gives no reason"
    text = f"none, though there is a driver, {driver}, and torch is built for {built_for}: {why}"
    return Finding("gpu", FAULT, text, "`nvidia-smi` shows whether the driver works", values=values)


def _driver_version() -> str | None:
    """Return the version of the NVIDIA driver that is loaded, or None."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            words = file.readline().split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit()), "unknown")
