"""Resolve `auto` into explicit settings before a run starts: device, precision, layout, engine, threads.

The settings are recorded and reused on resume, because another precision would be another run.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch

from reslab.engines import choose, host, memory
from reslab.errors import UserError, suggest
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.version import VERSION

SMALL_STEP = 2e9  # multiply-adds of an update; below it, casts and compilation cost more than they save
THREADS = torch.get_num_threads()  # torch's own choice, before any run of this process sets another
ROOM = 0.8  # share of the free memory that an update may take; evaluation and data workers need some too
AUTO = "auto"


@dataclass(frozen=True)
class ComputeOptions:
    """The user's choices; "auto" leaves one to `settle`."""

    device: str = AUTO
    precision: str = AUTO
    engine: str = AUTO
    threads: int = 0
    recompute: str = AUTO


UNDECIDED = ComputeOptions()


@dataclass(frozen=True)
class Settings:
    """How a run computes.

    engine     one of `choose.ENGINES`
    why        the choice in one line, for the user
    recompute  activations are computed again in the backward pass instead of kept (activation checkpointing)
    """

    device: str
    precision: str
    layout: str
    engine: str
    threads: int
    why: str = ""
    recompute: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Settings:
        """Return the settings that `to_dict` gave; older records have `compile`. Raises TypeError for other keys."""
        if "compile" in values:
            values = {**values, "engine": "compiled" if values["compile"] else "eager"}
            del values["compile"]
        return Settings(**values)


def _gpu_has_bf16() -> bool:
    """Return whether the GPU has bf16 units; by default torch also counts GPUs that emulate bf16 slowly."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def resolve_device(wanted: str) -> str:
    """Return the device for "auto", "cpu", "cuda" or "cuda:1". Raises UserError if it does not exist."""
    if wanted == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = wanted.partition(":")[0]
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device: {wanted!r} is none of auto, cpu, cuda{suggest(name, ('auto', 'cpu', 'cuda'))}")
    if name == "cpu" and wanted != "cpu":
        raise UserError(f"--device: {wanted!r}: there is one cpu; write --device cpu")
    if name == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = wanted.partition(":")[2] or "0"
        if not index.isdigit() or int(index) >= count:
            raise UserError(f"--device: {wanted} asked for, but torch sees {count} GPUs here; use --device cpu")
    return wanted


def thread_count(wanted: int) -> int:
    """Return `wanted`, or for 0 torch's own choice, but at most the number of cores.

    torch respects CPU affinity and OMP_NUM_THREADS, but not the CPU share of a control group, as containers have it.
    Raises UserError for a negative number.
    """
    if wanted < 0:
        raise UserError(f"--threads: {wanted} must be at least 0 (0: all cores)")
    host.check_processes("--threads", wanted)
    return wanted or min(THREADS, host.cores())


def scoring(device: str, threads: int, precision: str = "fp32") -> Settings:
    """Return the settings for scoring a trained network, with torch's own operators. Raises UserError."""
    return Settings(resolve_device(device), precision, "channels_last", "eager", thread_count(threads))


def settle(spec: Spec, recipe: Recipe, wish: ComputeOptions) -> Settings:
    """Choose the fastest settings on this machine for a net and recipe. Raises UserError for impossible choices."""
    device = resolve_device(wish.device)
    gpu = device.startswith("cuda")
    threads = thread_count(wish.threads)
    small = choose.update_macs(spec, recipe) < SMALL_STEP
    reasons = []
    if wish.precision not in (AUTO, "fp32", "bf16"):
        raise UserError(f"--precision: {wish.precision!r} is none of auto, fp32, bf16")
    if wish.precision != AUTO:
        precision = wish.precision
    elif small and not gpu:
        precision = "fp32"
        reasons.append("fp32, as the net is small")
    elif _gpu_has_bf16() if gpu else host.bf16_units():
        precision = "bf16"
    else:
        precision = "fp32"
        reasons.append(f"fp32, as this {'GPU' if gpu else 'CPU'} has no bf16 units")
    recompute, short = _recompute(spec, recipe, wish, device, precision)
    if wish.engine != AUTO:
        engine, why_not = wish.engine, list[str]()
        choose.refuse(engine, spec, precision, gpu)
    else:
        engine, why_not = choose.best(spec, recipe, precision, gpu, small, recompute)
    if recompute and engine in choose.WHOLE:
        raise UserError(f"--recompute on: not with --engine {engine}; leave one of them at auto")
    why = f"{device}, {precision}, channels_last, {engine}, {'recompute, ' if recompute else ''}{threads} threads"
    told = "; ".join([why, *reasons, *short, *why_not, *choose.uncached(engine)])
    return Settings(device, precision, "channels_last", engine, threads, told, recompute)


def _recompute(spec: Spec, recipe: Recipe, wish: ComputeOptions, device: str, precision: str) -> tuple[bool, list[str]]:
    """Return whether to recompute activations in the backward pass, and the reasons if it was chosen automatically."""
    if wish.recompute not in (AUTO, "on", "off"):
        raise UserError(f"--recompute: {wish.recompute!r} is none of auto, on, off")
    if wish.recompute != AUTO or wish.engine in choose.WHOLE:
        return wish.recompute == "on", []
    room = torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else host.available()
    wanted = memory.need(spec, recipe, precision).total
    if room is None or wanted <= ROOM * room:
        return False, []
    return True, [f"recompute, as an update would take {memory.shown(wanted)} and {memory.shown(room)} are free"]


def prepare(settings: Settings) -> None:
    """Configure torch for `settings`: thread count, memory, deterministic algorithms."""
    torch.set_num_threads(settings.threads)
    if settings.device == "cpu":
        host.keep_memory()
    if settings.device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False  # by default torch rounds fp32 convolutions to 10 bits of mantissa
    if settings.recompute:
        import_module("torch._dynamo")  # torch.utils.checkpoint would at its first use, when memory has been read
    if settings.engine in choose.COMPILED:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:  # the same but for the compiler's own setting, for which torch would import the compiler: a second of a start
        torch.set_deterministic_debug_mode("warn")
    # By default deterministic mode also fills every new tensor with NaN: a debugging aid that costs a pass over each
    # activation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def prepared(settings: Settings) -> Iterator[None]:
    """Like `prepare`, and restore the thread count afterwards."""
    before = torch.get_num_threads()
    prepare(settings)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment() -> dict[str, Any]:
    """Return versions and hardware, as recorded in `run.json`."""
    import numpy

    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            cpu = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {
        "reslab": VERSION,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # imported, it would import torch's compiler
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu,
        "cores": host.cores(),
        "bf16_units": bool(host.bf16_units()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
