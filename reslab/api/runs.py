"""`train` and `rehearse`: everything that can be refused is refused before the first step; then the loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.data.source import source_of
from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.options.training import TrainOptions
from reslab.runs.naming import FROM_DATA, command_of, resolve_recipe, run_name
from reslab.runs.recipe import LONGEST, changed
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


@takes(TrainOptions, "data")
def train(
    model: str | Spec,
    *,
    options: TrainOptions,
    tell: Tell | None = None,
    command: str | None = None,
    **switches: Any,
) -> Record:
    """Train a network and return its record; the same call again resumes, or finds it finished.

    model     a name or a `Spec`; `switches` as in `build`; classes, channels and size follow from the data
    {options}
    tell      called with each event (a dict); default: a bar in a notebook, else plain lines on standard error
    command   recorded as what started the run
    `data` may also be images in Python: a pair (images, labels), a mapping from "train", "val" and "test" to such pairs
    (and from "classes" to their names), or a map-style torch dataset; see `reslab.data.given`.
    Raises UserError before the first step, RunError if training cannot go on, Interrupted after a signal.
    """
    from reslab.show.terminal.notebook import default_teller
    from reslab.training.loop import train as run

    job, loaded = _job(model, options, switches, command)
    return run(job, loaded, tell or default_teller())


@takes(TrainOptions, "data")
def rehearse(model: str | Spec, *, options: TrainOptions, command: str | None = None, **switches: Any) -> Rehearsal:
    """What `train` with the same arguments would take: settings, memory, time. Writes nothing, raises what it raises.

    Reads the first images, makes four updates of a fresh net and one evaluation.
    """
    from reslab.training.rehearsal import rehearse as run

    return run(*_job(model, options, switches, command, leave_no_trace=True))


def _job(
    model: str | Spec, options: TrainOptions, switches: dict[str, Any], command: str | None,
    leave_no_trace: bool = False,
) -> tuple[Job, Data]:  # fmt: skip
    """The run that the arguments of `train` say, and its data; all that can be refused is refused here."""
    source, out, seed = source_of(options.data), options.out, options.seed
    iterations, epochs = options.iterations, options.epochs
    resolved = resolve_recipe(source, options.recipe, iterations=None, scale=options.scale, set=options.set)
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
    check_machine(options.device, options.threads)
    if out is not None and not leave_no_trace:
        from reslab.store.files import writable_folder

        writable_folder(out)
    from reslab.engines.machine import ComputeOptions
    from reslab.models.inputs import expected, fit, load_data, workers_for
    from reslab.training.checks import check_batch_norm, check_optimizer, iterations_per_epoch, on_small_images
    from reslab.training.room import check_run

    wish = ComputeOptions(options.device, options.precision, options.engine, options.threads, options.recompute)
    early = expected(model_spec, source)
    # Before the data are decoded, if the batch and the folder are known already.
    if early is not None and epochs is None and resolved.last_batch != "keep":
        named = RUNS / run_name(early, source.name, resolved, seed)
        check_run(out or named, early, resolved, wish)
    loaded = load_data(
        source, model_spec, resolved.holdout,
        download=options.download, val_share=options.val_share, bad_images=options.bad_images,
    )  # fmt: skip
    fitted = fit(model_spec, loaded, switches if not isinstance(model, Spec) else dict.fromkeys(FROM_DATA, 1))
    on_small_images(fitted, resolved)
    check_optimizer(fitted, resolved)
    per_epoch = iterations_per_epoch(resolved, len(loaded.split("train")))
    if epochs is not None:
        resolved = changed(resolved, {"iterations": max(1, round(min(epochs * per_epoch, 2.0 * LONGEST)))})
    check_batch_norm(fitted, resolved, len(loaded.split("train")))
    from reslab.training.job import Job

    folder = out or RUNS / run_name(fitted, loaded.name, resolved, seed, loaded.kind)
    check_run(folder, fitted, resolved, wish, len(loaded.split("train")))
    job = Job(
        fitted, source.text, resolved, seed, folder, wish, workers_for(loaded, options.workers),
        command or command_of(
            fitted, source, resolved, seed,
            val_share=options.val_share, bad_images=options.bad_images, precision=options.precision,
            download=options.download,
        ),
        threads_explicit=True,
    )  # fmt: skip
    return job, loaded
