"""What computes an update: which engines there are, which is the fastest that works here, which cannot be had.

"eager"     torch's operators one by one
"compiled"  torch.compile
"fused"     torch's convolutions, and batch norm, addition and ReLU in one pass each (CPU)
"winograd"  that, and our own 3x3 convolutions of stride 1 (bf16, CPU with AVX512-BF16; `auto` leaves it out beside AMX)
"""

from __future__ import annotations

from reslab.errors import UserError, suggest
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.store.native import compiler
from reslab.training import fused, kernels, winograd
from reslab.training.recipe import Recipe

ENGINES = ("winograd", "fused", "compiled", "eager")
WORTH_COMPILING = 1_000  # iterations; compiling takes about as long as 200 of them
DEEPEST_COMPILED = 400  # rows of the plan; compile time grows with depth, a 110-layer net has 385 and takes minutes


def _unfused(spec: Spec) -> str:
    """Why the fused engine cannot compute `spec` on this machine's CPU, or ""."""
    return fused.why_not(spec) or kernels.unavailable_reason()


def _no_winograd(spec: Spec, precision: str) -> str:
    """Why the engine winograd cannot compute `spec` on this machine's CPU, or ""."""
    return _unfused(spec) or ("it is for bf16" if precision != "bf16" else winograd.unavailable_reason())


def best(spec: Spec, recipe: Recipe, precision: str, gpu: bool, small: bool, recompute: bool) -> tuple[str, list[str]]:
    """The fastest engine that works here, and in words why not a faster one."""
    if small and not recompute:
        return "eager", ["eager, as the net is small"]
    unfused = "" if gpu else _unfused(spec)
    if not gpu and not unfused:
        slower = _no_winograd(spec, precision) or winograd.no_gain(spec)
        return ("fused", [f"not winograd, as {slower}"]) if slower else ("winograd", [])
    reasons = [f"not fused, as {unfused}"] if unfused else []
    if recompute:  # which torch.compile has not
        return "eager", reasons
    rows = len(plan(spec))
    uncompiled = (
        f"{recipe.iterations} iterations are too few"
        if recipe.iterations < WORTH_COMPILING
        else f"{rows} layers compile too long"
        if rows > DEEPEST_COMPILED
        else "there is no C++ compiler"
        if not gpu and compiler() is None
        else ""
    )
    return ("eager", [*reasons, f"not compiled, as {uncompiled}"]) if uncompiled else ("compiled", reasons)


def refuse(engine: str, spec: Spec, precision: str, gpu: bool) -> None:
    """Raises UserError where `engine`, asked for outright, is unknown or cannot work here."""
    if engine not in ENGINES:
        raise UserError(f"--engine: {engine!r} is none of auto, {', '.join(ENGINES)}{suggest(engine, ENGINES)}")
    if engine == "compiled" and not gpu and compiler() is None:
        raise UserError(
            "--engine compiled: no C++ compiler found (g++, clang++ or $CXX); install one or use --engine auto"
        )
    if engine in fused.ENGINES:
        why_not = _no_winograd(spec, precision) if engine == "winograd" else _unfused(spec)
        why_not = "it is for the CPU" if gpu else why_not
        if why_not:
            raise UserError(f"--engine {engine}: {why_not}; use --engine auto")


def uncached(engine: str) -> list[str]:
    """Return why the kernels of `engine` are compiled for this process alone; empty if they are kept, or not used."""
    reason = kernels.uncached_reason() if engine in fused.ENGINES else ""
    return [reason] if reason else []
