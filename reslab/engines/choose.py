"""The engines that compute an update, and which of them is the fastest on this machine.

"eager"           torch's operators one by one
"compiled"        torch.compile
"graph"           torch's operators; the whole update is recorded once as a CUDA graph and replayed (GPU)
"compiled-graph"  torch.compile, and the update recorded as a CUDA graph (GPU)
"fused"           torch's convolutions; batch norm, addition and ReLU in one pass (CPU)
"winograd"        like "fused", with our own 3x3 convolutions of stride 1 (bf16, CPU with AVX512-BF16). `auto` does not
                  choose it on a CPU with AMX
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
from reslab.nets.plan import is_random, plan
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.store.native import compiler
from reslab.store.trust import distrust, temporary_folder

# Measured on an H100 with torch 2.11: seconds of an update per layer and per multiply-add, seconds of compiling per
# layer, and the share of an update that compiling saves.
SECONDS_A_LAYER, SECONDS_A_MAC, COMPILE_SECONDS_A_LAYER, COMPILE_SAVES = 35e-6, 3e-14, 0.4, 0.2
ENGINES = ("winograd", "fused", "compiled-graph", "graph", "compiled", "eager")
COMPILED, RECORDED = ("compiled", "compiled-graph"), ("graph", "compiled-graph")
KEEPS_ALL = ("compiled", "graph", "compiled-graph")  # engines that cannot recompute activations in the backward pass
WORTH_COMPILING = 1_000  # iterations; compiling takes about as long as 200 of them
DEEPEST_COMPILED = 400  # rows of the plan; compile time grows with depth, a 110-layer net has 385 and takes minutes


def update_macs(spec: Spec, recipe: Recipe) -> float:
    """Return the multiply-adds of one update: those of the forward pass, and twice as many backward."""
    return 3.0 * recipe.batch * cost(spec).macs


def _fused_obstacle(spec: Spec) -> str:
    """Return the reason the engine fused cannot compute `spec` on this CPU, or ""."""
    return fused.unsuitable_reason(spec) or kernels.unavailable_reason()


def _winograd_obstacle(spec: Spec, precision: str) -> str:
    """Return the reason the engine winograd cannot compute `spec` on this CPU, or ""."""
    return _fused_obstacle(spec) or ("it is for bf16" if precision != "bf16" else winograd.unavailable_reason())


def best(spec: Spec, recipe: Recipe, precision: str, gpu: bool, small: bool, recompute: bool) -> tuple[str, list[str]]:
    """Return the fastest engine that works here, and the reasons against each faster one."""
    if gpu:
        return _best_on_gpu(spec, recipe, recompute)
    if small and not recompute:
        return "eager", ["eager, as the net is small"]
    fused_obstacle = _fused_obstacle(spec)
    if not fused_obstacle:
        obstacle = _winograd_obstacle(spec, precision) or winograd.no_gain(spec)
        return ("fused", [f"not winograd, as {obstacle}"]) if obstacle else ("winograd", [])
    reasons = [f"not fused, as {fused_obstacle}"]
    if recompute:  # torch.compile cannot recompute
        return "eager", reasons
    rows = len(plan(spec))
    compile_obstacle = (
        f"{recipe.iterations} iterations are too few"
        if recipe.iterations < WORTH_COMPILING
        else f"{rows} layers compile too long"
        if rows > DEEPEST_COMPILED
        else "there is no C++ compiler"
        if compiler() is None
        else unavailable_reason("compiled")
    )
    return ("eager", [*reasons, f"not compiled, as {compile_obstacle}"]) if compile_obstacle else ("compiled", reasons)


def _best_on_gpu(spec: Spec, recipe: Recipe, recompute: bool) -> tuple[str, list[str]]:
    if recompute:  # neither torch.compile nor a CUDA graph can recompute
        return "eager", []
    rows = len(plan(spec))
    update = rows * SECONDS_A_LAYER + update_macs(spec, recipe) * SECONDS_A_MAC
    compile_obstacle = (
        "compiling would take longer than it saves"
        if COMPILE_SAVES * update * recipe.iterations < COMPILE_SECONDS_A_LAYER * rows
        else f"{rows} layers compile too long"
        if rows > DEEPEST_COMPILED
        else unavailable_reason("compiled")
    )
    reasons = [f"not compiled, as {compile_obstacle}"] if compile_obstacle else []
    if graph_obstacle := _graph_obstacle(spec):
        return "eager" if compile_obstacle else "compiled", [*reasons, f"no CUDA graph, as {graph_obstacle}"]
    return "graph" if compile_obstacle else "compiled-graph", reasons


def _graph_obstacle(spec: Spec) -> str:
    """Return the reason an update cannot be recorded as a CUDA graph and replayed, or ""."""
    return "dropout draws new random numbers in each update" if is_random(spec) else ""


def refuse(engine: str, spec: Spec, precision: str, gpu: bool) -> None:
    """Raise UserError if `engine`, requested by the user, is unknown or cannot work here."""
    if engine not in ENGINES:
        raise UserError(f"--engine: {engine!r} is none of auto, {', '.join(ENGINES)}{suggest(engine, ENGINES)}")
    if engine in RECORDED and (obstacle := "it is for a GPU" if not gpu else _graph_obstacle(spec)):
        raise UserError(f"--engine {engine}: {obstacle}; use --engine auto")
    if engine == "compiled" and not gpu and compiler() is None:
        raise UserError(
            "--engine compiled: no C++ compiler found (g++, clang++ or $CXX); install one or use --engine auto"
        )
    if engine in COMPILED and (reason := unavailable_reason(engine)):
        raise UserError(f"--engine {engine}: {reason}; use --engine auto")
    if engine in fused.ENGINES:
        obstacle = _winograd_obstacle(spec, precision) if engine == "winograd" else _fused_obstacle(spec)
        obstacle = "it is for the CPU" if gpu else obstacle
        if obstacle:
            raise UserError(f"--engine {engine}: {obstacle}; use --engine auto")


def uncached_reasons(engine: str) -> list[str]:
    """Return the reasons the compiled code of `engine` is not cached; empty if it is, or if nothing is compiled."""
    reason = ""
    if engine in fused.ENGINES:
        reason = kernels.uncached_reason()
    elif engine in COMPILED:
        reason = _torch_code()[1]
    return [reason] if reason else []


def unavailable_reason(engine: str) -> str:
    """Return the reason this machine cannot run `engine`, or "" if it can. Call it before torch.compile.

    It also makes torch.compile keep its code in private folders only: the default folder in /tmp has a name that
    another user can guess and create first, and its files are loaded as code. The folder is created with mode 0700. If
    it, or the folder in $TORCHINDUCTOR_CACHE_DIR, is not private, this process uses a temporary folder.
    """
    if engine in COMPILED:
        return _torch_code()[0]
    if engine in fused.ENGINES:
        return kernels.unavailable_reason() or (winograd.unavailable_reason() if engine == "winograd" else "")
    return ""


@lru_cache(maxsize=1)
def _torch_code() -> tuple[str, str]:
    """Return the reason torch.compile has no private folder, and the reason its code is not cached; "" for none."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # the import takes half a second

    user_folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    try:
        folders = {"TMPDIR": default_cache_dir(), **({"TORCHINDUCTOR_CACHE_DIR": user_folder} if user_folder else {})}
    except OSError as error:  # no folder for temporary files is writable
        return str(error), ""
    for variable, folder in folders.items():
        if problem := distrust(Path(os.path.abspath(folder)), create=True, variable=variable):
            private = ExitStack()
            try:
                tempfile.tempdir = os.environ["TMPDIR"] = str(private.enter_context(temporary_folder()))
            except RunError as error:
                return str(error), ""
            atexit.register(private.close)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = default_cache_dir()  # now inside the private folder
            return "", f"{problem.problem}, so torch compiles for this process alone: {problem.remedy}"
    return "", ""
