"""The package's face: what notebooks call and the command line is a thin skin over.

`build`, `spec`, `train`, `evaluate`, `probe`, `reproduce`. Importing this file imports no torch.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.errors import UserError, suggest
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.training.naming import FROM_DATA, command_of, recipe_words, resolve_recipe, run_name
from reslab.training.recipe import Recipe, changed

if TYPE_CHECKING:
    from reslab.data.splits import Data
    from reslab.measure.evaluate import Scores
    from reslab.measure.findings import Probe
    from reslab.measure.result import Evaluation
    from reslab.nets.model import Network
    from reslab.training.runlog import Record

Tell = Callable[[dict[str, Any]], None]

RUNS = Path("runs")


def spec(model: str, **switches: Any) -> Spec:
    """The frozen, torch-free description of a network: `spec("resnet50", shortcut="C", classes=10)`.

    Raises UserError for unknown names, switches and impossible depths.
    """
    found = spec_of(model, **switches)
    plan(found)
    return found


def build(model: str | Spec, *, seed: int = 0, device: str = "cpu", **switches: Any) -> Network:
    """A torch module with He-initialised weights that depend on (seed, layer name) alone; images [B,C,S,S] to logits.

    `build("resnet50", classes=10, shortcut="C")`; `net(images, names=("conv2_1.add",))` returns named intermediates.
    Raises UserError for unknown names, switches and impossible depths.
    """
    from reslab.nets.model import build as make

    return make(model, seed=seed, device=device, **switches)


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
    compile: str = "auto",
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
    device, precision, compile, threads    "auto" (0 threads) takes what the machine does best, and says so
    workers     processes that decode image files (default: one a core for folders, none for sets in memory)
    tell        called with each event (a dict); default: plain lines on standard error
    Raises UserError before the first step, RunError where training cannot go on, Interrupted after a signal.
    """
    from reslab.show.plain import PlainTeller

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
    if out is not None:
        from reslab.store.files import writable_folder

        writable_folder(Path(out))
    check_machine(device, threads)
    from reslab.training.inputs import fit, iterations_per_epoch, load_data, workers_for

    loaded = load_data(data, model_spec, resolved, download=download, val_share=val_share, bad_images=bad_images)
    fitted = fit(model_spec, loaded, switches if not isinstance(model, Spec) else dict.fromkeys(FROM_DATA, 1))
    per_epoch = iterations_per_epoch(resolved, len(loaded.split("train")))
    if epochs is not None:
        resolved = changed(resolved, {"iterations": max(1, round(epochs * per_epoch))})
    from reslab.training.job import Job
    from reslab.training.loop import train as run
    from reslab.training.machine import Wish

    folder = Path(out) if out is not None else RUNS / run_name(fitted, loaded.name, resolved, seed)
    job = Job(
        fitted, data, resolved, seed, folder, Wish(device, precision, compile, threads), workers_for(loaded, workers),
        command or command_of(fitted, data, resolved, seed),
    )  # fmt: skip
    return run(job, loaded, tell or PlainTeller())


def check_machine(device: str, threads: int = 0) -> None:
    """Refuse a device that is not there and a negative number of threads, before anything is written."""
    if device != "auto" or threads:
        from reslab.training.machine import resolve_device, thread_count

        resolve_device(device)
        thread_count(threads)


def evaluate(
    paths: str | Path | Iterable[str | Path],
    data: str | None = None,
    *,
    split: str | None = None,
    ensemble: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch: int = 250,
    threads: int = 0,
    workers: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
) -> list[Evaluation]:
    """Score checkpoints (or runs: their newest one) on exactly the n samples of a split, each sample once.

    data       as in `train`; default: what the checkpoint was trained on
    split      "test", "val" or "train" (a clean pass); default: test, or val where there is no test split
    ensemble   "softmax" or "logits": what is averaged over the members; the ensemble is the last of the list
    precision  "fp32" (the default: a number to trust) or "bf16"
    Raises UserError for a path that is no checkpoint, a damaged one, data of other classes, a split that is not there.
    """
    from reslab.measure.ensemble import AVERAGES, evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.result import Evaluation
    from reslab.training import checkpoint as checkpoints
    from reslab.training import member
    from reslab.training.inputs import load_data, workers_for
    from reslab.training.machine import Settings, prepare, resolve_device, thread_count

    for option, value, known in (
        ("--split", split, ("train", "val", "test")),
        ("--ensemble", ensemble, AVERAGES),
        ("--precision", precision, ("fp32", "bf16")),
    ):
        if value is not None and value not in known:
            raise UserError(f"{option}: {value!r} is none of {', '.join(known)}{suggest(str(value), known)}")
    settings = Settings(resolve_device(device), precision, "channels_last", False, thread_count(threads))
    found = [checkpoints.find(Path(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if ensemble and len(found) < 2:
        raise UserError(f"--ensemble: {len(found)} checkpoint given; an ensemble is of two or more")
    loaded: dict[tuple[str, int, int], Data] = {}
    jobs = []
    for checkpoint in found:
        source, recipe = data or checkpoint.facts["data"]["source"], member.recipe_of(checkpoint)
        key = (source, recipe.holdout, checkpoint.spec.image_size)
        if key not in loaded:
            wanted = ("train", "val", "test") if recipe.holdout or split in ("train", "val") else ("test", "val")
            loaded[key] = load_data(
                source, checkpoint.spec, recipe,
                splits=wanted, download=download, val_share=val_share, bad_images=bad_images,
            )  # fmt: skip
        there = loaded[key]
        member.check_fits(checkpoint, there)
        name = split or ("val" if there.test is None and there.val is not None else "test")
        jobs.append((checkpoint, there, name))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    prepare(settings)

    def result(where: Path, model: str, iteration: int, there: Data, name: str, scores: Scores) -> Evaluation:
        return Evaluation(where, model, iteration, there.name, name, precision, tuple(there.classes), scores)

    if not ensemble:
        results = []
        for checkpoint, there, name in jobs:
            one, part = member.ready(checkpoint, settings), there.split(name)
            batches = one.batches(part, batch, workers_for(there, workers))
            scores = score(one.step.logits, batches, len(part), len(there.classes))
            results.append(result(checkpoint.folder, one.step.net.name, checkpoint.iteration, there, name, scores))
        return results
    members = [member.ready(checkpoint, settings) for checkpoint, _, _ in jobs]
    _, there, name = jobs[0]
    part = there.split(name)
    pairs = [(m.step.logits, m.batches(part, batch, workers_for(there, workers))) for m in members]
    alone, whole = evaluate_together(pairs, len(part), len(there.classes), ensemble)
    told = [
        result(m.checkpoint.folder, m.step.net.name, m.checkpoint.iteration, there, name, scores)
        for m, scores in zip(members, alone, strict=True)
    ]
    parent = members[0].checkpoint.folder.parent
    title = f"ensemble of {len(members)} ({ensemble} averaged)"
    return [*told, result(parent, title, max(m.checkpoint.iteration for m in members), there, name, whole)]


def probe(
    source: str | Path | Spec | Network,
    data: str | None = None,
    *,
    split: str = "train",
    samples: int = 500,
    seed: int = 0,
    what: str | Iterable[str] = ("responses", "gradients", "residuals", "jacobians"),
    block: str | None = None,
    device: str = "auto",
    threads: int = 0,
    workers: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
    switches: Mapping[str, Any] | None = None,
) -> Probe:
    """Layer responses (Fig. 7), activations, gradients, ‖F(x)‖/‖x‖ and block Jacobians of a network.

    source     a run or checkpoint folder; a model's name or `Spec` (the net at initialisation, with `switches` as in
               `build`); or a `Network`. A path that exists goes before a name
    data       as in `train`; default: what the run was trained on, else digits
    samples    the first so many of the split in index order, at least 2, not augmented
    seed       of the initial weights, where a name or a `Spec` is given
    what       "responses", "gradients" (with activations), "residuals", "jacobians"
    block      whose Jacobian ("conv3_2"); default: the first and the last identity block that are small enough
    Statistics of the inputs are the run's own, else those of the training split by the data's default recipe.
    Raises UserError for unknown names, paths, parts and blocks, and for data that does not fit.
    """
    known = ("train", "val", "test")
    if split not in known:
        raise UserError(f"--split: {split!r} is none of {', '.join(known)}{suggest(str(split), known)}")
    if samples < 2:
        raise UserError(f"--samples: {samples} must be at least 2, or BN has nothing to average over")
    found = _spec_or_path(source, switches or {})
    import numpy as np

    from reslab.data.loader import Statistics, evaluation_batches, statistics
    from reslab.measure.findings import Subject
    from reslab.measure.probe import batch_size, parts_of
    from reslab.measure.probe import probe as look
    from reslab.nets.model import build as make
    from reslab.training import checkpoint as checkpoints
    from reslab.training import member
    from reslab.training.inputs import fit, load_data, workers_for
    from reslab.training.machine import Settings, prepare, resolve_device, thread_count

    asked = parts_of(what)
    settings = Settings(resolve_device(device), "fp32", "channels_last", False, thread_count(threads))
    checkpoint = checkpoints.find(found) if isinstance(found, Path) else None
    if checkpoint is not None:
        model, recipe = checkpoint.spec, member.recipe_of(checkpoint)
    else:
        assert not isinstance(found, Path)
        model = found if isinstance(found, Spec) else found.spec
        recipe = resolve_recipe(data or "digits")
    there = load_data(
        data or (checkpoint.facts["data"]["source"] if checkpoint else "digits"), model, recipe,
        download=download, val_share=val_share, bad_images=bad_images,
    )  # fmt: skip
    part = there.split(split)
    n = min(samples, len(part))
    if n < 2:
        raise UserError(f"{there.name}: the {split} split has {n} samples; a probe needs at least 2")
    prepare(settings)
    if checkpoint is not None:
        member.check_fits(checkpoint, there)
        net = checkpoints.network(checkpoint)
        stats = Statistics(checkpoint.state["mean"].numpy(), checkpoint.state["scale"].numpy())
    else:
        said = (switches or {}) if isinstance(source, str) else dict.fromkeys(FROM_DATA, 1)
        fitted = fit(model, there, said)
        net = make(fitted, seed=seed) if isinstance(found, Spec) else found  # type: ignore[assignment]
        stats = statistics(there.split("train"), recipe.centre, recipe.scale)
    own_seed = checkpoint.facts["seed"] if checkpoint else seed if isinstance(found, Spec) else None
    subject = Subject(
        net.name, str(checkpoint.folder) if checkpoint else None, checkpoint.iteration if checkpoint else None,
        there.name, split, own_seed,
    )  # fmt: skip
    chosen, size, processes = part.subset(np.arange(n)), batch_size(net.spec, n), workers_for(there, workers)
    return look(
        net, lambda: evaluation_batches(chosen, stats, size, processes), subject, asked, block, settings.device
    )  # fmt: skip


def _spec_or_path(source: str | Path | Spec | Network, switches: Mapping[str, Any]) -> Path | Spec | Network:
    """What the source of a probe means: a path that exists, or the network that a name and switches say."""
    if not isinstance(source, str | Path):
        if switches:
            raise UserError(f"probe: {', '.join(switches)} given beside a ready network; they belong to a model's name")
        return source
    path = Path(source)
    if isinstance(source, Path) or _exists(path) or source.startswith((".", "~", "/")) or path.name != source:
        if switches:
            raise UserError(f"{source}: {', '.join(switches)} given beside a run, which has its own network")
        if not _exists(path):
            beside = [p.name for p in path.parent.iterdir()] if _exists(path.parent) and path.parent.is_dir() else []
            raise UserError(f"{source}: no such checkpoint or run{suggest(path.name, beside)}")
        return path
    try:
        return spec(source, **switches)
    except UserError as error:
        if str(error).startswith("unknown model"):
            raise UserError(f"no run of that name here, and {error}") from None
        raise


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


def reproduce(
    what: str = "degradation",
    data: str = "digits",
    *,
    depths: Sequence[int] | None = None,
    seeds: int | None = None,
    scale: float | None = None,
    recipe: str | None = None,
    set: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    processes: int | None = None,
    device: str = "auto",
    download: bool = False,
    tell: Tell | None = None,
    command: str | None = None,
) -> Path:
    """Train plain and residual twins at several depths and seeds, judge them, and write one HTML report; its path.

    depths     of the CIFAR nets (default: 8, 20, 56 on digits; 20, 32, 44, 56 elsewhere)
    seeds      how many: 0, 1, 2 … (default: 3 on digits, 1 elsewhere)
    processes  runs side by side (default: as many as cores where nets are small, else 1)
    Finished runs are not trained again, unfinished ones resume. Raises UserError, RunError, Interrupted.
    """
    from reslab.claims import degradation
    from reslab.show.plain import PlainTeller
    from reslab.show.report import degradation_page, publish
    from reslab.store.files import writable_folder
    from reslab.training.campaign import Plan, run_all
    from reslab.training.inputs import fit, load_data

    if what != "degradation":
        raise UserError(f"reproduce: {what!r} is not known{suggest(what, ['degradation'])}; there is: degradation")
    tell = tell or PlainTeller()
    default_depths, default_seeds, default_recipe = degradation.defaults(data)
    depths = tuple(sorted(frozenset(depths))) if depths else default_depths
    count = default_seeds if seeds is None else seeds
    if count < 1:
        raise UserError(f"--seeds: {count} must be at least 1")
    if len(depths) < 2:
        raise UserError(f"--depths: {', '.join(map(str, depths))}: at least two different depths are compared")
    base = resolve_recipe(data, recipe or default_recipe, scale=scale, set=set)
    specs = {d: [spec_of(f"cifar_{kind}{d}") for kind in ("plain", "resnet")] for d in depths}
    check_machine(device)
    loaded = load_data(data, specs[depths[0]][0], base, download=download, splits=("test",))
    folder = Path(out) if out is not None else RUNS / f"degradation-{loaded.name}"
    writable_folder(folder)
    plans = [
        Plan(fitted, data, run.recipe, run.seed, folder / run_name(fitted, loaded.name, run.recipe, run.seed),
             command_of(fitted, data, run.recipe, run.seed), device, download)
        for run in degradation.runs(depths, range(count), base)
        for fitted in [fit(spec_of(run.model), loaded, {})]
    ]  # fmt: skip
    records = run_all(plans, tell, processes)
    told = command or _reproduce_command(what, data, depths, count, base)
    judgement = degradation.judge(records)
    tell({"kind": "note", "text": judgement.sentence})
    path = folder / "report.html"
    publish(degradation_page(judgement, records, told, records[0].run["data"]["notes"]), path)
    return path


def _reproduce_command(what: str, data: str, depths: Sequence[int], seeds: int, recipe: Recipe) -> str:
    """The command line that does the same, every choice said."""
    words = ["reslab", "reproduce", what, "--data", data, "--depths", ",".join(map(str, depths))]
    return shlex.join([*words, "--seeds", str(seeds), *recipe_words(recipe, data)])
