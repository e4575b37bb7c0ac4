"""`train` and `rehearse`: everything that can be refused is refused before the first step; then the loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.runs.naming import FROM_DATA, command_of, resolve_recipe, run_name
from reslab.runs.recipe import LONGEST, Recipe, changed
from reslab.runs.runlog import Tell

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.runs.runlog import Record
    from reslab.training.job import Job
    from reslab.training.rehearsal import Rehearsal

RUNS = Path("runs")  # where run folders stand that are given no --out


def check_machine(device: str, threads: int = 0) -> None:
    """Refuse a device that is not there and a negative number of threads, before anything is written."""
    if device != "auto" or threads:
        from reslab.engines.machine import resolve_device, thread_count

        resolve_device(device)
        thread_count(threads)


def train(
    model: str | Spec,
    data: str = "digits",
    *,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    iterations: int | None = None,
    epochs: float | None = None,
    scale: float | None = None,
    set: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    recompute: str = "auto",
    threads: int = 0,
    workers: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
    tell: Tell | None = None,
    command: str | None = None,
    **switches: Any,
) -> Record:
    """Train a network and return its record; the same call again resumes, or finds it finished.

    model       a name or a `Spec`; `switches` as in `build`; classes, channels and size follow from the data
    data        "digits", "cifar10:PATH", "cifar10" (with download) or a folder of class folders
    recipe      a name or a `Recipe` (default: "digits" for digits, else "paper-cifar"); `set` changes fields of it
    out         the run folder (default: runs/ and a name made of model, data, recipe and seed)
    iterations, epochs    the length alone; scale shortens length and drops together
    device, precision, engine, threads    "auto" (0 threads) takes what the machine does best, and says so
    recompute   "on": keep fewer activations and compute them again on the way back; "auto": where memory is short
    workers     processes that decode image files (default: one a core for folders, none for sets in memory)
    tell        called with each event (a dict); default: plain lines on standard error
    Raises UserError before the first step, RunError where training cannot go on, Interrupted after a signal.
    """
    from reslab.show.terminal.plain import PlainTeller
    from reslab.training.loop import train as run

    job, loaded = _job(
        model, data, recipe=recipe, out=out, seed=seed, iterations=iterations, epochs=epochs, scale=scale, set=set,
        device=device, precision=precision, engine=engine, threads=threads, recompute=recompute, workers=workers,
        download=download, val_share=val_share, bad_images=bad_images, command=command, **switches,
    )  # fmt: skip
    return run(job, loaded, tell or PlainTeller())


def rehearse(model: str | Spec, data: str = "digits", **choices: Any) -> Rehearsal:
    """What `train` with the same arguments would take: settings, memory, time. Writes nothing, raises what it raises.

    Reads the first images, makes four updates of a fresh net and one evaluation.
    """
    from reslab.training.rehearsal import rehearse as run

    defaults = {key: value for key, value in (train.__kwdefaults__ or {}).items() if key != "tell"}
    return run(*_job(model, data, **{**defaults, **choices}, leave_no_trace=True))


def _job(
    model: str | Spec, data: str, *, recipe: str | Recipe | None, out: str | Path | None, seed: int,
    iterations: int | None, epochs: float | None, scale: float | None, set: Mapping[str, Any] | None, device: str,
    precision: str, engine: str, recompute: str, threads: int, workers: int | None, download: bool,
    val_share: float | None, bad_images: str, command: str | None, leave_no_trace: bool = False, **switches: Any,
) -> tuple[Job, Data]:  # fmt: skip
    """The run that the arguments of `train` say, and its data; all that can be refused is refused here."""
    resolved = resolve_recipe(data, recipe, iterations=None, scale=scale, set=set)
    if iterations is not None:
        resolved = changed(resolved, {"iterations": iterations})
    model_spec = model if isinstance(model, Spec) else spec_of(model, **switches)
    plan(model_spec)
    if isinstance(model, Spec) and switches:
        raise UserError(f"train: {', '.join(switches)} given beside a ready Spec; use dataclasses.replace on it")
    if epochs is not None and iterations is not None:
        raise UserError("--epochs and --iterations: both say how long; give one of them")
    if epochs is not None and not 0 < epochs < math.inf:
        raise UserError(f"--epochs: {epochs} must be a positive number")
    check_machine(device, threads)
    if out is not None and not leave_no_trace:
        from reslab.store.files import writable_folder

        writable_folder(Path(out))
    from reslab.engines.machine import Wish
    from reslab.training.inputs import (
        check_batch_norm,
        check_optimizer,
        expected,
        fit,
        iterations_per_epoch,
        load_data,
        on_small_images,
        workers_for,
    )
    from reslab.training.room import check_run

    wish = Wish(device, precision, engine, threads, recompute)
    early = expected(model_spec, data)
    # Before the data are decoded, if the batch and the folder are known already.
    if early is not None and epochs is None and resolved.last_batch != "keep":
        named = RUNS / run_name(early, data.partition(":")[0], resolved, seed)
        check_run(Path(out) if out is not None else named, early, resolved, wish)
    loaded = load_data(
        data, model_spec, resolved.holdout, download=download, val_share=val_share, bad_images=bad_images
    )
    fitted = fit(model_spec, loaded, switches if not isinstance(model, Spec) else dict.fromkeys(FROM_DATA, 1))
    on_small_images(fitted, resolved)
    check_optimizer(fitted, resolved)
    per_epoch = iterations_per_epoch(resolved, len(loaded.split("train")))
    if epochs is not None:
        resolved = changed(resolved, {"iterations": max(1, round(min(epochs * per_epoch, 2.0 * LONGEST)))})
    check_batch_norm(fitted, resolved, len(loaded.split("train")))
    from reslab.training.job import Job

    folder = Path(out) if out is not None else RUNS / run_name(fitted, loaded.name, resolved, seed)
    check_run(folder, fitted, resolved, wish, len(loaded.split("train")))
    job = Job(
        fitted, data, resolved, seed, folder, wish, workers_for(loaded, workers),
        command or command_of(
            fitted, data, resolved, seed,
            val_share=val_share, bad_images=bad_images, precision=precision, download=download,
        ),
        asked=True,
    )  # fmt: skip
    return job, loaded
