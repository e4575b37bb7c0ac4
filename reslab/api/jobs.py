"""From the arguments of `train` to a checked `Job` and its data."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.models import opened
from reslab.data.images.levels import FULL, Levels, levels_of
from reslab.data.source import DataSource, source_of
from reslab.errors import ReslabError, UserError
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.options.option import shown
from reslab.options.training import TrainOptions
from reslab.runs import runlog
from reslab.runs.limits import LONGEST
from reslab.runs.naming import FROM_DATA, command_of, resolve_recipe, run_name
from reslab.runs.recipe import Recipe, changed
from reslab.runs.runlog import RUN, Tell

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.engines.machine import ComputeOptions
    from reslab.engines.ranks import Ranks
    from reslab.training.init import Pretrained
    from reslab.training.job import Job

AUTO = "auto"
RUNS = Path("runs")  # folder of the runs without --out
EARLIER = "paper-cifar"  # what own images were trained with before `photos` and `finetune`; such runs keep it


def check_machine(device: str, threads: int = 0) -> None:
    """Raise UserError for a missing device or a negative number of threads, before anything is written."""
    if device != "auto" or threads:
        from reslab.engines.machine import resolve_device, thread_count

        resolve_device(device)
        thread_count(threads)


def check_readable(data: Any, on: str) -> None:
    """Raise UserError if the processes of --on cannot read `data`, as the images were given in Python."""
    if source_of(data).kind == "given":
        raise UserError(f"--on {on}: other processes cannot read images given in Python; give a path")


def job_of(
    model: str | Spec | None, options: TrainOptions, switches: dict[str, Any], command: str | None,
    tell: Tell | None = None, leave_no_trace: bool = False, data: Data | None = None, ranks: Ranks | None = None,
) -> tuple[Job, Data]:  # fmt: skip
    """Return the job of `train`'s arguments, and its data. Raises every UserError that can be known before training.

    data    those of the same options with another seed; None: they are read
    ranks   that train the run together, None: this process alone
    """
    source, out, seed, levels = source_of(options.data), options.out, options.seed, levels_of(options.range)
    if levels not in (None, FULL) and source.kind != "folder":
        raise UserError(f"--range {options.range}: {source.name} has no files of 16 bits; leave it out")
    epochs = options.epochs
    recipe = _recipe(options, source)
    if isinstance(model, Spec) and switches:
        raise UserError(f"train: {', '.join(switches)} given with a Spec; use dataclasses.replace on the Spec")
    if epochs is not None and options.iterations is not None:
        raise UserError("--epochs and --iterations: both set the length; give one of them")
    if epochs is not None and not 0 < epochs < math.inf:
        raise UserError(f"--epochs: {epochs} must be a positive number")
    check_machine(options.device, options.threads)
    # The last check without a folder: `init_from` may name weights that have to be downloaded.
    pretrained = _pretrained(model, options, switches)
    model_spec = pretrained.spec if pretrained else _spec(model, switches)
    plan(model_spec)
    if out is not None and not leave_no_trace:
        from reslab.store.files import writable_folder

        writable_folder(out)
    from reslab.engines.machine import ComputeOptions
    from reslab.engines.ranks import ALONE
    from reslab.models.inputs import expected, fit, load_data, workers_for
    from reslab.training.checks import check_batch_norm, check_optimizer, check_patience, on_small_images
    from reslab.training.room import check_run

    ranks = ranks or ALONE
    compute = ComputeOptions(
        options.device, options.precision, options.engine, options.threads, options.recompute, options.sync_bn,
        ranks.count,
    )  # fmt: skip
    frozen = pretrained.frozen if pretrained else ()
    init_names = (pretrained.digest, *frozen) if pretrained else ()
    expected_spec = expected(model_spec, source)
    # Checked before the data are decoded, if batch and folder are known.
    if expected_spec is not None and pretrained:
        pretrained.check(expected_spec, source.name)
    is_known = epochs is None and recipe.last_batch != "keep" and not recipe.images and options.batch != AUTO
    if expected_spec is not None and is_known:
        default_folder = RUNS / run_name(expected_spec, source.name, recipe, seed, init=init_names)
        check_run(out or default_folder, expected_spec, recipe, compute, frozen=frozen, extend=options.extend)

    def read(levels: Levels | None) -> Data:
        return load_data(
            source, model_spec, recipe.holdout,
            download=options.download, val_share=options.val_share, bad_images=options.bad_images,
            workers=options.workers, watch=None if tell is None else lambda pace: tell(pace.event()),
            group=options.group, levels=levels, resize=recipe.resize,
        )  # fmt: skip

    loaded = data or read(levels)
    fitted = fit(model_spec, loaded, switches if not isinstance(model, Spec) else dict.fromkeys(FROM_DATA, 1))
    images = len(loaded.split("train"))

    def folder_of(recipe: Recipe) -> Path:
        return out or RUNS / run_name(fitted, loaded.name, recipe, seed, loaded.kind, init_names)

    recipe = _sized(options, source, images, folder_of)
    on_small_images(fitted, recipe)
    check_optimizer(fitted, recipe)
    check_patience(recipe, loaded)
    check_batch_norm(fitted, changed(recipe, {"iterations": options.extend or recipe.iterations}), images)
    from reslab.training.job import Job

    folder, named = folder_of(recipe), recipe
    if options.batch == AUTO:
        recipe = _in_parts(folder, fitted, recipe, compute, frozen, tell)
    check_run(folder, fitted, recipe, compute, images, frozen, options.extend)
    begun = begun_with(folder) if levels is None and loaded.kind == "folder" else None
    if begun not in (None, loaded.levels):  # auto has decided once; records from before it are of the full range
        loaded = read(begun)
    init = pretrained.fitted(fitted, loaded) if pretrained else None
    job = Job(
        fitted, source.text, recipe, seed, folder, compute, workers_for(loaded, options.workers),
        command or command_of(
            fitted, source, named, seed, batch=AUTO if options.batch == AUTO else None,
            val_share=options.val_share, bad_images=options.bad_images, precision=options.precision,
            download=options.download, init_from=options.init_from, freeze=options.freeze, group=options.group,
            range=options.range,
        ),
        threads_explicit=True, init=init, extend=options.extend, ranks=ranks,
    )  # fmt: skip
    return job, loaded


def _recipe(
    options: TrainOptions, source: DataSource, images: int | None = None, named: str | Recipe | None = None
) -> Recipe:
    """Return the recipe of the options, for a number of training images if that is known; `named` replaces its name."""
    fields = dict(options.set or {})
    if options.batch not in (None, AUTO):
        if not str(options.batch).isdecimal():
            raise UserError(f"--batch {options.batch}: is neither a number of images nor {AUTO}")
        fields["batch"] = str(options.batch)
    return resolve_recipe(
        source, named or options.recipe, images=images, init=options.init_from is not None,
        iterations=options.iterations, scale=options.scale, set=fields,
    )  # fmt: skip


def _in_parts(
    folder: Path, spec: Spec, recipe: Recipe, compute: ComputeOptions, frozen: Collection[str], tell: Tell | None
) -> Recipe:
    """Return `recipe` with its batch in parts that fit into memory: those of the run in `folder`, if there is one."""
    from reslab.training.room import in_parts

    begun = _begun(folder).get("recipe", {}).get("bn_batch")
    parts = changed(recipe, {"bn_batch": begun}) if isinstance(begun, int) else in_parts(spec, recipe, compute, frozen)
    if parts.bn_batch and tell is not None:
        text = f"batches of {parts.batch} images in parts of {parts.bn_batch}; BN statistics are those of a part"
        tell({"kind": "note", "text": text})
    return parts


def _sized(options: TrainOptions, source: DataSource, images: int, folder_of: Callable[[Recipe], Path]) -> Recipe:
    """Return the recipe for the number of training images, as long as the options say.

    Own images were trained with EARLIER by default; a run of that kind that has begun keeps it.
    """
    from reslab.training.checks import iterations_per_epoch

    def sized(named: str | Recipe | None) -> Recipe:
        recipe = _recipe(options, source, images, named)
        if options.epochs is None:
            return recipe
        length = round(min(options.epochs * iterations_per_epoch(recipe, images), 2.0 * LONGEST))
        return _recipe(replace(options, epochs=None, iterations=max(1, length)), source, images, named)

    recipe = sized(options.recipe)
    if options.recipe is None and source.known_set is None:
        earlier = sized(EARLIER)
        is_new = options.out is None and _is_begun(folder_of(recipe), recipe)
        if _is_begun(folder_of(earlier), earlier) and not is_new:
            return earlier
    return recipe


def _begun(folder: Path) -> dict[str, Any]:
    """Return what the run in `folder` was begun with (its `run.json`), {} without a readable record."""
    try:
        return runlog.read(folder).run if (folder / RUN).exists() else {}
    except (OSError, ReslabError):
        return {}  # a damaged record is refused by the check of the folder


def _is_begun(folder: Path, recipe: Recipe) -> bool:
    """Return whether `folder` holds a run of the recipe of this name."""
    return bool(_begun(folder).get("recipe", {}).get("name") == recipe.name)


def begun_with(folder: Path) -> Levels | None:
    """Return the levels of 16-bit pixels that the run in `folder` was begun with, None without a readable record."""
    try:
        return Levels.of(run["data"]) if (run := _begun(folder)) else None
    except (KeyError, TypeError, ValueError):
        return None  # a damaged record is refused by the check of the folder


def _spec(model: str | Spec | None, switches: dict[str, Any]) -> Spec:
    """Return the net of `train`'s arguments. Raises UserError if there is none."""
    if model is None:
        raise UserError("train: missing a required argument: 'model'; give a name from `reslab list`, or init_from")
    return model if isinstance(model, Spec) else spec_of(model, **switches)


def _pretrained(model: str | Spec | None, options: TrainOptions, switches: dict[str, Any]) -> Pretrained | None:
    """Return the trained model of `init_from`, or None without it. Raises UserError if it is not of the net `model`."""
    if options.init_from is None:
        if options.freeze is not None:
            raise UserError(
                f"--freeze {options.freeze}: random weights would never learn; give the trained ones with --init-from"
            )
        return None
    from reslab.models.trained import TrainedModel
    from reslab.training.init import pretrained

    source = options.init_from
    if isinstance(source, TrainedModel):
        return pretrained(source, str(source.origin.path), options.freeze, model, switches)
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"--init-from: {shown(source)} is neither a path nor a trained model; give one of them")
    try:
        trained = opened(source if isinstance(source, str) else Path(source))
    except ReslabError as error:
        is_begun = options.out is not None and (options.out / RUN).exists()
        raise UserError(f"--init-from {error}{'; the run in --out needs it at every start' * is_begun}") from None
    return pretrained(trained, os.fspath(source), options.freeze, model, switches)
