"""What a run measures and reports on its way: evaluation, probe, running loss, the end of the first phase (§4.2).

Nothing here changes the training: evaluation only reads the network, and the probe works on a copy. The lines of one
iteration are written together once all are measured, so an interrupted measurement leaves nothing and is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from reslab.data.batches.loader import Statistics, evaluation_batches
from reslab.data.splits import Data
from reslab.engines import memory
from reslab.errors import RunError, UserError
from reslab.measure.evaluate import Scores, evaluate
from reslab.measure.findings import Probe, Subject
from reslab.measure.probe import batch_size, probe
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Tell
from reslab.runs.schedule import is_moment
from reslab.training.checks import iterations_per_epoch
from reslab.training.endings import remedy
from reslab.training.job import Job
from reslab.training.progress import Clock, Sums
from reslab.training.step import Step

EVALUATION_BATCH = 500  # images, or fewer if their maps exceed EVALUATION_ROOM
EVALUATION_ROOM = 1_000_000_000  # bytes of maps at once in an evaluation
PRECISE_BATCHES = 200
PROBED = 128  # samples of a probe: the paper's batch
PARTS = ("responses", "gradients", "residuals")


PROBE = "probe"
APART = 10  # times the running loss from which on that of the clean pass is a warning
LEAST_LOSS = 0.1  # running loss below which the two are not compared


def due(job: Job, data: Data, iteration: int, end: int) -> set[str]:
    """Return what is measured after `iteration` updates of a run that ends at `end`: names of splits, "probe"."""
    recipe, names = job.recipe, set[str]()
    if is_moment(iteration, recipe.eval_every, end):
        names |= {*_scored_often(data)}
        if iteration == end:
            names |= {*data.splits()} - {"train"}
    if is_moment(iteration, recipe.clean_every, end):
        names.add("train")
    return names | ({PROBE} if _is_probed(recipe, iteration, end) else set())


def evaluation_batch(spec: Spec) -> int:
    """Return the number of images that an evaluation scores at once."""
    return max(1, min(EVALUATION_BATCH, EVALUATION_ROOM // memory.evaluation(spec, 1)))


def images_to_evaluate(recipe: Recipe, data: Data, start: int = 0) -> int:
    """Return the number of images that a run evaluates from iteration `start` to its end."""
    tests = _moments_left(recipe.eval_every, start, recipe.iterations)
    cleans = _moments_left(recipe.clean_every, start, recipe.iterations)
    sizes = {name: len(part) for name, part in data.splits().items()}
    often = sum(sizes[name] for name in _scored_often(data))
    last = 0 if start >= recipe.iterations else sizes.get("val", 0) + sizes.get("test", 0) - often
    return tests * often + last + cleans * sizes["train"]


def images_for_statistics(recipe: Recipe, data: Data, start: int = 0) -> int:
    """Return the number of images that pass for precise BN statistics from iteration `start` to the run's end."""
    if recipe.bn_statistics != "precise":
        return 0
    both = math.lcm(recipe.eval_every, recipe.clean_every)
    tests, cleans, shared = (
        _moments_left(every, start, recipe.iterations) for every in (recipe.eval_every, recipe.clean_every, both)
    )
    return (tests + cleans - shared) * precise_batches(recipe, data) * recipe.batch


def precise_batches(recipe: Recipe, data: Data) -> int:
    """Return the number of batches of a pass for precise BN statistics."""
    return min(PRECISE_BATCHES, max(1, len(data.split("train")) // recipe.batch))


def _scored_often(data: Data) -> list[str]:
    """Return the splits, besides train, that are scored at every interval; the others are at the end.

    Of a folder that has val, test is scored once: who looks at it on the way chooses by it.
    """
    names: list[str] = [name for name in ("val", "test") if name in data.splits()]
    return ["val"] if data.kind == "folder" and "val" in names else names


def _moments_left(every: int, start: int, last: int) -> int:
    """Return how often `is_moment` is true from iteration `start` + 1 to `last`."""
    return 0 if start >= last else last // every - start // every + (last % every > 0)


def _is_probed(recipe: Recipe, iteration: int, end: int) -> bool:
    """Return whether the probe is due; unlike an evaluation, it is also made of the initial weights."""
    every = recipe.probe_every
    return every > 0 and (iteration == 0 or is_moment(iteration, every, end))


def measure(
    job: Job, data: Data, stats: Statistics, step: Step, iteration: int, names: Collection[str], tell: Tell,
    stop: Callable[[], bool],
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure, record, report and return the lines of `names`: error on splits (train: the clean pass), the probe.

    Raises Interrupted if `stop()` becomes true during an evaluation; nothing is recorded then.
    """
    lines = _scores(job, data, stats, step, iteration, names, stop)
    if PROBE in names:
        lines.append(job.ranks.of_first(lambda: _probed(job, data, stats, step, iteration)))
    for line in lines:
        if line["kind"] == "eval" and (gone := len(data.split(line["split"])) - line["n"]):
            warn(job, iteration, f"{line['split']}: {gone} files cannot be read any more and were left out", tell)
        if line["kind"] == "eval" and line["loss"] is None:
            tell({"kind": "warning", "text": f"iteration {iteration:,}: scores on {line['split']} are not finite"})
        job.append(line)
        tell(line)
    return lines


def compare_losses(
    job: Job, lines: Iterable[dict[str, Any]], running: float | None, iteration: int, tell: Tell
) -> None:
    """Warn if the loss of the clean pass is far above the `running` one: BN's averages do not fit the weights."""
    clean = next((line for line in lines if line["kind"] == "eval" and line["split"] == "train"), None)
    if clean is None or running is None or job.recipe.bn_statistics == "precise" or not job.spec.batch_norm:
        return
    if clean["loss"] is None or clean["loss"] > APART * max(running, LEAST_LOSS):
        loss = "not finite" if clean["loss"] is None else f"{clean['loss']:.3g}"
        text = (
            f"the training images' loss is {loss} in evaluation and {running:.3g} in training: BN's moving averages "
            "are too young or the rate too high for them; --set bn_statistics=precise measures them before scores"
        )
        warn(job, iteration, text, tell)


def warn(job: Job, iteration: int, text: str, tell: Tell) -> None:
    """Report a warning and record it: the output of a run in a campaign is not shown."""
    job.append({"kind": "warning", "iteration": iteration, "text": text})
    tell({"kind": "warning", "text": text})


def _scores(
    job: Job, data: Data, stats: Statistics, step: Step, iteration: int, names: Collection[str],
    stop: Callable[[], bool],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a line for each split of `names`."""
    step.net.eval()
    lines: list[dict[str, Any]] = []
    for name in (name for name in ("val", "test", "train") if name in names):
        split = data.split(name)
        batches = evaluation_batches(
            split, stats, evaluation_batch(job.spec), job.workers, every=(job.ranks.rank, job.ranks.count)
        )
        scores: Scores = evaluate(step.logits, batches, len(split), len(data.classes), stop, ranks=job.ranks)
        lines.append({"kind": "eval", "iteration": iteration, "split": name, **scores.to_dict()})
    return lines


def _probed(job: Job, data: Data, stats: Statistics, step: Step, iteration: int) -> dict[str, Any]:
    """Return the probe's line: of the first training samples, not augmented, in the precision of the weights."""
    train, net, device = data.split("train"), step.net, step.settings.device
    n = min(PROBED, len(train))
    if n < 2:
        raise UserError(
            f"probe_every: {data.name} has {n} training sample; a probe needs at least 2, so leave probe_every at 0"
        )
    # A batch as large as the run's own fits into memory (half of it if that is bf16, since the probe is in float32).
    fits = (job.recipe.bn_batch or job.recipe.batch) // (2 if step.settings.precision == "bf16" else 1)
    size = n if fits >= n else batch_size(net.spec, n)
    batches = list(evaluation_batches(train.subset(np.arange(n)), stats, size, job.workers))
    subject = Subject(net.name, None, iteration, data.name, "train", job.seed)
    return _line(probe(net, lambda: batches, subject, PARTS, device=device), iteration)


def _line(result: Probe, iteration: int) -> dict[str, Any]:
    """Return a probe as a line: values by block and by layer, in network order. A plain net has no residuals."""
    return {
        "kind": "probe",
        "iteration": iteration,
        "n": result.n,
        "gradient_batch": result.gradient_batch,
        "loss": _rounded(result.loss),
        "gradients": {g.block: _rounded(g.rms) for g in result.gradients or ()},
        "activations": {a.block: _rounded(a.rms) for a in result.activations or ()},
        "layer_gradients": {r.layer: _rounded(r.gradient) for r in result.layers or ()},
        "layer_activations": {r.layer: _rounded(r.activation) for r in result.layers or ()},
        "weight_gradients": {w.layer: _rounded(w.norm) for w in result.weight_gradients or ()},
        "residuals": {r.block: _rounded(r.ratio) for r in result.residuals or ()},
        "responses": {r.layer: _rounded(r.std) for r in result.responses or ()},
    }


def _rounded(value: float | None) -> float | None:
    """Return `value` with six significant digits, or None if it is not finite."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def still_warming(job: Job, iteration: int, window: Sums, tell: Tell) -> bool:
    """Return whether the first phase of §4.2 goes on: rate 0.01 until the training error is below 80 %.

    The training error is the running one over windows of `warmup_window` iterations; the paper does not define it.
    """
    recipe = job.recipe
    if iteration % recipe.warmup_window:
        return True
    _, error, _ = window.take()
    if error < recipe.warmup_error:
        job.append({"kind": "warmup_end", "iteration": iteration, "error": error})
        text = f"training error {error:.1f} % at iteration {iteration:,}: the rate is {recipe.lr:g} now"
        tell({"kind": "note", "text": text})
        return False
    before = iteration - recipe.warmup_window
    if recipe.warmup_alarm and iteration // recipe.warmup_alarm > before // recipe.warmup_alarm:
        text = (
            f"the first phase has not ended after {iteration:,} iterations: training error {error:.1f} % is not below "
            f"{recipe.warmup_error:g} %, so the rate is still {recipe.warmup_lr:g}"
        )
        warn(job, iteration, text, tell)
    return True


def log(job: Job, data: Data, logs: Sums, iteration: int, lr: float, clock: Clock, tell: Tell) -> float:
    """Record, report and return the running loss since the last log, with the error. Raises RunError if not finite."""
    loss, error, _ = logs.take()
    if not math.isfinite(loss):
        raise RunError(f"{job.out}: the loss is not finite at iteration {iteration:,}; {remedy(job)}")
    epoch = iteration / iterations_per_epoch(job.recipe, len(data.split("train")))
    line: dict[str, Any] = {"kind": "train", "iteration": iteration, "epoch": round(epoch, 4)}
    line |= {"loss": loss, "error": error, "lr": lr}
    timing = clock.read(iteration, job.recipe.iterations)
    job.append({**line, "clock": timing})
    tell({**line, "iterations": job.recipe.iterations, **timing})
    return loss
