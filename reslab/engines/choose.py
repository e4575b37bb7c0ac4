"""The engines that compute an update, and which of them is the fastest on this machine.

"eager"     torch's operators one by one
"compiled"  torch.compile
"graph"     torch's operators, the whole update recorded once as a CUDA graph and replayed (GPU)
"compiled-graph"  torch.compile, and the update recorded as a CUDA graph (GPU)
"fused"     torch's convolutions, and batch norm, addition and ReLU in one pass each (CPU)
"winograd"  that, and our own 3x3 convolutions of stride 1 (bf16, CPU with AVX512-BF16; `auto` leaves it out beside AMX)
"""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from reslab.engines import fused, kernels, winograd
from reslab.errors import RunError, UserError, suggest
from reslab.nets.cost import cost
from reslab.nets.kinds import KINDS
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.store.native import compiler
from reslab.store.trust import distrust, temporary_folder

# Of a GPU, measured on an H100 with torch 2.11: what an update takes a layer and a multiply-add, what compiling takes a
# layer, and which share of an update it saves.
SECONDS_A_LAYER, SECONDS_A_MAC, COMPILE_SECONDS_A_LAYER, SAVED = 35e-6, 3e-14, 0.4, 0.2
ENGINES = ("winograd", "fused", "compiled-graph", "graph", "compiled", "eager")
COMPILED, RECORDED = ("compiled", "compiled-graph"), ("graph", "compiled-graph")
WHOLE = ("compiled", "graph", "compiled-graph")  # these take the update as it is: nothing is recomputed on the way back
WORTH_COMPILING = 1_000  # iterations; compiling takes about as long as 200 of them
DEEPEST_COMPILED = 400  # rows of the plan; compile time grows with depth, a 110-layer net has 385 and takes minutes


def update_macs(spec: Spec, recipe: Recipe) -> float:
    """Multiply-adds of one update: forward, and twice as many backward."""
    return 3.0 * recipe.batch * cost(spec).macs


def _unfused(spec: Spec) -> str:
    """Return why the engine fused cannot compute `spec` on this CPU, or ""."""
    return fused.why_not(spec) or kernels.unavailable_reason()


def _no_winograd(spec: Spec, precision: str) -> str:
    """Return why the engine winograd cannot compute `spec` on this CPU, or ""."""
    return _unfused(spec) or ("it is for bf16" if precision != "bf16" else winograd.unavailable_reason())


def best(spec: Spec, recipe: Recipe, precision: str, gpu: bool, small: bool, recompute: bool) -> tuple[str, list[str]]:
    """Return the fastest engine that works here, and the reasons why a faster one does not."""
    if gpu:
        return _best_on_gpu(spec, recipe, recompute)
    if small and not recompute:
        return "eager", ["eager, as the net is small"]
    unfused = _unfused(spec)
    if not unfused:
        slower = _no_winograd(spec, precision) or winograd.no_gain(spec)
        return ("fused", [f"not winograd, as {slower}"]) if slower else ("winograd", [])
    reasons = [f"not fused, as {unfused}"]
    if recompute:  # which torch.compile has not
        return "eager", reasons
    rows = len(plan(spec))
    uncompiled = (
        f"{recipe.iterations} iterations are too few"
        if recipe.iterations < WORTH_COMPILING
        else f"{rows} layers compile too long"
        if rows > DEEPEST_COMPILED
        else "there is no C++ compiler"
        if compiler() is None
        else unavailable_reason("compiled")
    )
    return ("eager", [*reasons, f"not compiled, as {uncompiled}"]) if uncompiled else ("compiled", reasons)


def _best_on_gpu(spec: Spec, recipe: Recipe, recompute: bool) -> tuple[str, list[str]]:
    if recompute:  # which neither torch.compile nor a recording has
        return "eager", []
    rows = len(plan(spec))
    update = rows * SECONDS_A_LAYER + update_macs(spec, recipe) * SECONDS_A_MAC
    uncompiled = (
        "compiling would take longer than it saves"
        if SAVED * update * recipe.iterations < COMPILE_SECONDS_A_LAYER * rows
        else f"{rows} layers compile too long"
        if rows > DEEPEST_COMPILED
        else unavailable_reason("compiled")
    )
    reasons = [f"not compiled, as {uncompiled}"] if uncompiled else []
    if random := _draws(spec):
        return "eager" if uncompiled else "compiled", [*reasons, f"no CUDA graph, as {random}"]
    return "graph" if uncompiled else "compiled-graph", reasons


def _draws(spec: Spec) -> str:
    """Why an update cannot be recorded and replayed, or ""."""
    return "dropout draws anew in each update" if any(KINDS[row.kind].is_random for row in plan(spec)) else ""


def refuse(engine: str, spec: Spec, precision: str, gpu: bool) -> None:
    """Raise UserError if `engine`, requested by the user, is unknown or cannot work here."""
    if engine not in ENGINES:
        raise UserError(f"--engine: {engine!r} is none of auto, {', '.join(ENGINES)}{suggest(engine, ENGINES)}")
    if engine in RECORDED and (why_not := "it is for a GPU" if not gpu else _draws(spec)):
        raise UserError(f"--engine {engine}: {why_not}; use --engine auto")
    if engine == "compiled" and not gpu and compiler() is None:
        raise UserError(
            "--engine compiled: no C++ compiler found (g++, clang++ or $CXX); install one or use --engine auto"
        )
    if engine in COMPILED and (reason := unavailable_reason(engine)):
        raise UserError(f"--engine {engine}: {reason}; use --engine auto")
    if engine in fused.ENGINES:
        why_not = _no_winograd(spec, precision) if engine == "winograd" else _unfused(spec)
        why_not = "it is for the CPU" if gpu else why_not
        if why_not:
            raise UserError(f"--engine {engine}: {why_not}; use --engine auto")


def uncached(engine: str) -> list[str]:
    """Return why the code of `engine` is compiled for this process alone; empty if it is kept, or nothing compiled."""
    reason = ""
    if engine in fused.ENGINES:
        reason = kernels.uncached_reason()
    elif engine in COMPILED:
        reason = _torch_code()[1]
    return [reason] if reason else []


def unavailable_reason(engine: str) -> str:
    """Return why this machine cannot run `engine`, or "" if it can. To be called before torch.compile is.

    torch.compile then keeps its code in private folders only. Its default in /tmp has a name that anyone can guess and
    take first, and what lies there is loaded as code. It is made with mode 0700; if it, or the folder that
    $TORCHINDUCTOR_CACHE_DIR names, is not private, a temporary folder serves this process.
    """
    if engine in COMPILED:
        return _torch_code()[0]
    if engine in fused.ENGINES:
        return kernels.unavailable_reason() or (winograd.unavailable_reason() if engine == "winograd" else "")
    return ""


@lru_cache(maxsize=1)
def _torch_code() -> tuple[str, str]:
    """Return why there is no private folder for torch.compile, and why there is one for this process alone, or ""."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # takes half a second

    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    try:
        folders = {"TMPDIR": default_cache_dir(), **({"TORCHINDUCTOR_CACHE_DIR": named} if named else {})}
    except OSError as error:  # no folder for temporary files takes any
        return str(error), ""
    for variable, folder in folders.items():
        if problem := distrust(Path(os.path.abspath(folder)), create=True, variable=variable):
            private = ExitStack()
            try:
                tempfile.tempdir = os.environ["TMPDIR"] = str(private.enter_context(temporary_folder()))
            except RunError as error:
                return str(error), ""
            atexit.register(private.close)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = default_cache_dir()  # now inside of the private folder
            return "", f"{problem.problem}, so torch compiles for this process alone: {problem.remedy}"
    return "", ""
