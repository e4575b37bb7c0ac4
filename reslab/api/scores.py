"""`evaluate`: checkpoints scored exactly, alone and as an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.scored import Sought, check_fits, notes_on, read, sought
from reslab.errors import UserError, suggest

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.data.batches.loader import Batch
    from reslab.data.splits import Data
    from reslab.measure.evaluate import Scores
    from reslab.measure.result import Evaluation
    from reslab.models.trained import TrainedModel

    Source = str | Path | TrainedModel

BATCH = 250  # images of a step where a whole split is scored


def evaluate(
    paths: Source | Iterable[Source],
    data: str | None = None,
    *,
    split: str | None = None,
    ensemble: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch: int = BATCH,
    threads: int = 0,
    workers: int | None = None,
    download: bool = False,
    val_share: float | None = None,
    bad_images: str = "error",
) -> list[Evaluation]:
    """Score trained models on exactly the n samples of a split, each sample once.

    paths      folders of runs (their newest checkpoint) or of checkpoints, or models from `load`

    data       as in `train`; default: what the checkpoint was trained on, where it lay then. A folder of class folders
               without a train split is scored whole, labelled by the checkpoint's classes
    split      "test", "val" or "train" (a clean pass); default: test, or val where there is no test split
    ensemble   "softmax" or "logits": what is averaged over the members; the ensemble is the last of the list
    precision  "fp32" (the default: a number to trust) or "bf16" (`engines.inference` on a CPU: quicker, and close calls
               again in fp32, so that the top-1 error hardly differs)
    val_share, bad_images    of data that is given; of the training's own they are as the training had them
    Raises UserError for a path that is no checkpoint, a damaged one, data of other classes, a split that is not there,
    training data that is gone or has changed.
    """
    from reslab.data.batches.loader import evaluation_batches
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.ensemble import AVERAGES, evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.result import Evaluation
    from reslab.models.trained import opened
    from reslab.training.inputs import workers_for
    from reslab.training.room import check_evaluation

    if batch < 1:
        raise UserError(f"--batch: {batch} must be at least 1")
    for option, value, known in (
        ("--split", split, ("train", "val", "test")),
        ("--ensemble", ensemble, AVERAGES),
        ("--precision", precision, ("fp32", "bf16")),
    ):
        if value is not None and value not in known:
            raise UserError(f"{option}: {value!r} is none of {', '.join(known)}{suggest(str(value), known)}")
    settings = scoring(device, threads, precision)
    models = [
        opened(path) for path in (paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths])
    ]
    if ensemble and len(models) < 2:
        raise UserError(f"--ensemble: {len(models)} checkpoint given; an ensemble is of two or more")
    loaded: dict[Sought, Data] = {}
    jobs = []
    for model in models:
        what = sought(model, data, val_share, bad_images, download)
        if what not in loaded:
            wanted = ("train", "val", "test") if what.holdout or split in ("train", "val") else ("test", "val")
            loaded[what] = read(model, what, wanted, download)
        there = loaded[what]
        check_fits(model, there)
        notes = notes_on(model, what, there, data is not None)
        name = split or ("val" if there.test is None and there.val is not None else "test")
        jobs.append((model, there, name, notes))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name, _ in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    for model, there, name, _ in jobs:
        count = len(models) if ensemble else 1
        pieces = piece_of(model.spec) if precision == "bf16" else None
        check_evaluation(model.spec, min(batch, len(there.split(name))), settings.device, count, pieces)
    prepare(settings)

    def batches(model: TrainedModel, there: Data, name: str) -> Iterable[Batch]:
        part = there.split(name)
        return evaluation_batches(part, model.transform.statistics, batch, workers_for(there, workers))

    def result(
        where: Path,
        name: str,
        iteration: int,
        there: Data,
        part: str,
        scores: Scores,
        logits_of: Callable[[Tensor], Tensor],
        notes: tuple[str, ...],
    ) -> Evaluation:
        unfit = f"{scores.unfit:,} of {scores.n:,} images have scores that are not finite" if scores.unfit else ""
        note = "; ".join(filter(None, (unfit, getattr(logits_of, "fallback", None))))
        classes = tuple(there.classes)
        return Evaluation(where, name, iteration, there.name, part, precision, classes, scores, note, notes)

    if not ensemble:
        results = []
        for model, there, part, notes in jobs:
            logits_of, origin = model.logits(settings), model.origin
            scores = score(logits_of, batches(model, there, part), len(there.split(part)), len(there.classes))
            results.append(result(origin.path, model.name, origin.iteration, there, part, scores, logits_of, notes))
        return results
    _, there, part, _ = jobs[0]
    every = [model.logits(settings) for model in models]
    pairs = [(logits_of, batches(model, there, part)) for logits_of, model in zip(every, models, strict=True)]
    alone, whole = evaluate_together(pairs, len(there.split(part)), len(there.classes), ensemble)
    results = [
        result(model.origin.path, model.name, model.origin.iteration, there, part, scores, logits_of, notes)
        for scores, logits_of, (model, _, _, notes) in zip(alone, every, jobs, strict=True)
    ]
    parent = models[0].origin.path.parent
    notes = tuple(dict.fromkeys(note for *_, notes_of_one in jobs for note in notes_of_one))
    title = f"ensemble of {len(models)} ({ensemble} averaged)"
    newest = max(model.origin.iteration for model in models)
    return [*results, result(parent, title, newest, there, part, whole, every[0], notes)]
