"""Resolve `auto` into explicit settings before a run starts: device, precision, layout, engine, threads.

The settings are recorded and reused on resume: with another precision, for example, the run would end differently.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import torch

from reslab.engines import choose, host, memory
from reslab.errors import UserError, suggest
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.version import VERSION, installed_version

SMALL_STEP = 2e9  # multiply-adds of an update below which casts and compilation cost more than they save
THREADS = torch.get_num_threads()  # torch's default, read before any run of this process changes it
ROOM = 0.8  # share of the free memory that an update may take; evaluation and data workers need the rest
AUTO = "auto"


@dataclass(frozen=True)
class ComputeOptions:
    """The user's choices; `settle` resolves "auto", and 0 threads. `ranks`: processes that make an update together."""

    device: str = AUTO
    precision: str = AUTO
    engine: str = AUTO
    threads: int = 0
    recompute: str = AUTO
    sync_bn: bool = False
    ranks: int = 1


UNDECIDED = ComputeOptions()


@dataclass(frozen=True)
class Settings:
    """How a run computes.

    engine     one of `choose.ENGINES`
    why        the settings and the reasons for them in one line, for the user
    recompute  activations are recomputed in the backward pass instead of kept (activation checkpointing)
    ranks      processes that make an update together
    sync_bn    BN statistics are of the images of all ranks
    """

    device: str
    precision: str
    layout: str
    engine: str
    threads: int
    why: str = ""
    recompute: bool = False
    ranks: int = 1
    sync_bn: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a record; those about several ranks only where they say something."""
        usual = {"ranks": 1, "sync_bn": False}
        return {key: value for key, value in asdict(self).items() if key not in usual or value != usual[key]}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Settings:
        """Return the settings that `to_dict` gave; older records have `compile`. Raises TypeError for other keys."""
        if "compile" in values:
            values = {**values, "engine": "compiled" if values["compile"] else "eager"}
            del values["compile"]
        return Settings(**values)


def _gpu_has_bf16() -> bool:
    """Return whether the GPU has bf16 units; by default torch also accepts GPUs that emulate bf16 slowly."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def resolve_device(device: str) -> str:
    """Return the device for "auto", "cpu", "cuda" or "cuda:1". Raises UserError if it does not exist."""
    if device == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = device.partition(":")[0]
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device: {device!r} is none of auto, cpu, cuda{suggest(name, ('auto', 'cpu', 'cuda'))}")
    if name == "cpu" and device != "cpu":
        raise UserError(f"--device: {device!r}: there is one cpu; write --device cpu")
    if name == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.partition(":")[2] or "0"
        if not index.isdigit() or int(index) >= count:
            raise UserError(f"--device: {device} is not available, torch sees {count} GPUs here; use --device cpu")
    return device


def thread_count(threads: int) -> int:
    """Return `threads`, or for 0 torch's default, limited to the number of cores.

    The limit is needed because torch respects CPU affinity and OMP_NUM_THREADS, but not the CPU share of a control
    group (containers). Raises UserError for a negative or excessive number.
    """
    if threads < 0:
        raise UserError(f"--threads: {threads} must be at least 0 (0: all cores)")
    host.check_processes("--threads", threads)
    return threads or min(THREADS, host.cores())


def scoring(device: str, threads: int, precision: str = "fp32") -> Settings:
    """Return the settings for scoring a trained network, with torch's own operators. Raises UserError."""
    return Settings(resolve_device(device), precision, "channels_last", "eager", thread_count(threads))


def settle(spec: Spec, recipe: Recipe, options: ComputeOptions, frozen: Collection[str] = ()) -> Settings:
    """Return the fastest settings on this machine for a net and recipe. Raises UserError for impossible options.

    frozen   parts of the net that do not learn
    """
    device = resolve_device(options.device)
    gpu = device.startswith("cuda")
    threads = thread_count(options.threads)
    small = choose.update_macs(spec, recipe) < SMALL_STEP
    reasons = []
    if options.precision not in (AUTO, "fp32", "bf16"):
        raise UserError(f"--precision: {options.precision!r} is none of auto, fp32, bf16")
    if options.precision != AUTO:
        precision = options.precision
    elif small and not gpu:
        precision = "fp32"
        reasons.append("fp32, as the net is small")
    elif _gpu_has_bf16() if gpu else host.bf16_units():
        precision = "bf16"
    else:
        precision = "fp32"
        reasons.append(f"fp32, as this {'GPU' if gpu else 'CPU'} has no bf16 units")
    recompute, memory_reasons = _recompute(spec, recipe, options, device, precision, frozen)
    if options.sync_bn:
        engine, engine_reasons = _synced_engine(recipe, options, recompute)
    elif options.engine != AUTO:
        engine, engine_reasons = options.engine, list[str]()
        choose.refuse(engine, spec, precision, gpu)
    else:
        engine, engine_reasons = choose.best(spec, recipe, precision, gpu, small, recompute)
    if recompute and engine in choose.KEEPS_ALL:
        raise UserError(f"--recompute on: not with --engine {engine}; leave one of them at auto")
    choice = f"{device}, {precision}, channels_last, {engine}, {'recompute, ' if recompute else ''}{threads} threads"
    why = "; ".join([choice, *reasons, *memory_reasons, *engine_reasons, *choose.uncached_reasons(engine)])
    return Settings(device, precision, "channels_last", engine, threads, why, recompute, options.ranks, options.sync_bn)


def _synced_engine(recipe: Recipe, options: ComputeOptions, recompute: bool) -> tuple[str, list[str]]:
    """Return the engine that synchronises BN. Raises UserError for options that cannot."""
    if options.engine not in (AUTO, "eager"):
        raise UserError(f"--sync-bn: not with --engine {options.engine}; leave that out")
    if recompute:
        raise UserError("--sync-bn: not with --recompute; give --recompute off, or more processes")
    if recipe.bn_batch:
        raise UserError(
            f"--sync-bn: statistics are of the whole batch, not of bn_batch = {recipe.bn_batch}; leave one out"
        )
    return "eager", ["eager, as BN is synchronised"]


def _recompute(
    spec: Spec, recipe: Recipe, options: ComputeOptions, device: str, precision: str, frozen: Collection[str]
) -> tuple[bool, list[str]]:
    """Return whether to recompute activations in the backward pass, and the reasons if it was chosen automatically."""
    if options.recompute not in (AUTO, "on", "off"):
        raise UserError(f"--recompute: {options.recompute!r} is none of auto, on, off")
    if options.recompute != AUTO or options.engine in choose.KEEPS_ALL:
        return options.recompute == "on", []
    if device.startswith("cuda"):
        free: int | None = torch.cuda.mem_get_info(device)[0]
    else:
        free = host.available_to_rank()
    needed = memory.need(spec, memory.share_of(recipe, options.ranks), precision, frozen=frozen).total
    if free is None or needed <= ROOM * free:
        return False, []
    return True, [f"recompute, as an update would take {memory.shown(needed)} and {memory.shown(free)} are free"]


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
        import_module("torch._dynamo")  # torch.utils.checkpoint imports it at first use, after free memory was read
    if settings.engine in choose.COMPILED:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:  # the same without the compiler's own setting, for which torch would import the compiler (a second)
        torch.set_deterministic_debug_mode("warn")
    # In deterministic mode torch also fills every new tensor with NaN, a debugging aid that costs a pass over each map.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def prepared(settings: Settings) -> Iterator[None]:
    """Call `prepare`, and restore the thread count afterwards."""
    before = torch.get_num_threads()
    prepare(settings)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment() -> dict[str, Any]:
    """Return versions and hardware, as recorded in `run.json`."""
    import numpy

    return {
        "reslab": VERSION,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": installed_version("torchvision"),  # without its import, which imports torch's compiler
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": host.cpu_name(),
        "cores": host.cores(),
        "bf16_units": bool(host.bf16_units()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
