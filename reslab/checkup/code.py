"""Check the compiler, and whether reslab's kernels compile and load."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from reslab.checkup.result import FAULT, NOTE, OK, Finding
from reslab.store import native

SLOWER = "training uses torch's operators, which are slower on a CPU"


def compiler() -> Iterator[Finding]:
    """Yield the C++ compiler, or what is lost without one."""
    path, given = native.compiler(), os.environ.get("CXX")
    values = {"path": path, "CXX": given}
    if path:
        yield Finding("compiler", OK, path, values=values)
    elif given:
        text = f"CXX={given!r} cannot be used, so {SLOWER}"
        yield Finding("compiler", FAULT, text, "unset CXX or name an installed compiler", values=values)
    else:
        yield Finding("compiler", NOTE, f"none, so {SLOWER}", "install g++ or clang++", values=values)


def kernels() -> Iterator[Finding]:
    """Yield for each of reslab's libraries whether it compiles and loads; compiles what is not in the cache."""
    from reslab.data.batches import crops
    from reslab.data.images import jpeg
    from reslab.engines import host, int8, winograd
    from reslab.engines import kernels as fused

    if native.compiler() is None:  # `compiler` has the reason
        return
    yield _built("kernels", "batch norm, addition and ReLU in one pass", fused.unavailable_reason)
    if "avx512_bf16" in host.bf16_units():
        yield _built("winograd", "3x3 convolutions", winograd.unavailable_reason)
    if host.int8_units():
        yield _built("int8", "rounding to 8 bits", lambda: native.unavailable_reason(int8.SOURCE, *int8.FLAGS))
    yield _built("crops", "crops of images in memory", lambda: native.unavailable_reason(crops.SOURCE, *crops.FLAGS))
    yield _built("jpeg", "parts of JPEG files", jpeg.unavailable_reason)


def _built(subject: str, what: str, unavailable_reason: Callable[[], str]) -> Finding:
    begin = time.perf_counter()
    problem = unavailable_reason()
    seconds = time.perf_counter() - begin
    values = {"problem": problem or None, "seconds": round(seconds, 3)}
    if not problem:
        took = f", compiled in {seconds:.0f} s" if seconds >= 1 else ""
        return Finding(subject, OK, f"{what}: works{took}", values=values)
    status = NOTE if subject == "jpeg" else FAULT
    return Finding(subject, status, f"{what}: {problem}", "a slower method takes its place", values=values)
