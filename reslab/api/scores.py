"""`evaluate`: checkpoints scored exactly, alone and as an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.api.scored import DataRequest, check_fits, notes_on, read, requested
from reslab.data.source import source_of
from reslab.errors import UserError
from reslab.notebook import Shown
from reslab.options.scoring import EvaluateOptions

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.data.batches.loader import Batch
    from reslab.data.splits import Data
    from reslab.measure.evaluate import Scores
    from reslab.measure.result import Evaluation
    from reslab.models.trained import TrainedModel


@takes(EvaluateOptions, "data")
def evaluate(
    paths: str | Path | TrainedModel | Iterable[str | Path | TrainedModel], *, options: EvaluateOptions
) -> list[Evaluation]:
    """Score trained models on exactly the n samples of a split, each sample once.

    paths     folders of runs (their newest checkpoint) or of checkpoints, or models from `load`
    {options}
    A folder of class folders without a train split is scored whole, labelled by the checkpoint's classes; so is a pair
    (images, labels), as the split that `split` names. Training images that were given in Python must be given again.
    The ensemble is the last of the list. `val_share` and `bad_images` are for other data than the training's own, which
    are cut as they were for training.
    Raises UserError for a path that is no checkpoint, a damaged one, data of other classes, a split that is not there,
    training data that is gone or has changed.
    """
    from reslab.data.batches.loader import evaluation_batches
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.ensemble import evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.result import Evaluation
    from reslab.models.capacity import check_evaluation
    from reslab.models.inputs import workers_for
    from reslab.models.trained import opened

    split, ensemble, batch = options.split, options.ensemble, options.batch
    data = None if options.data is None else source_of(options.data)
    settings = scoring(options.device, options.threads, options.precision)
    models = [
        opened(path) for path in (paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths])
    ]
    if ensemble and len(models) < 2:
        raise UserError(f"--ensemble: {len(models)} checkpoint given; an ensemble is of two or more")
    loaded: dict[DataRequest, Data] = {}
    jobs = []
    for model in models:
        what = requested(model, data, options.val_share, options.bad_images, options.download, split or "test")
        if what not in loaded:
            wanted = ("train", "val", "test") if what.holdout or split in ("train", "val") else ("test", "val")
            loaded[what] = read(model, what, wanted, options.download)
        there = loaded[what]
        check_fits(model, there)
        notes = notes_on(model, what, there, data is not None)
        name = split or ("val" if there.test is None and there.val is not None else "test")
        jobs.append((model, there, name, notes))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name, _ in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    for model, there, name, _ in jobs:
        count = len(models) if ensemble else 1
        pieces = piece_of(model.spec) if options.precision == "bf16" else None
        check_evaluation(model.spec, min(batch, len(there.split(name))), settings.device, count, pieces)
    prepare(settings)

    def batches(model: TrainedModel, there: Data, name: str) -> Iterable[Batch]:
        part = there.split(name)
        return evaluation_batches(part, model.transform.statistics, batch, workers_for(there, options.workers))

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
        return Evaluation(where, name, iteration, there.name, part, options.precision, classes, scores, note, notes)

    if not ensemble:
        results = []
        for model, there, part, notes in jobs:
            logits_of, origin = model.logits(settings), model.origin
            scores = score(logits_of, batches(model, there, part), len(there.split(part)), len(there.classes))
            results.append(result(origin.path, model.name, origin.iteration, there, part, scores, logits_of, notes))
        return Shown(results)
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
    return Shown([*results, result(parent, title, newest, there, part, whole, every[0], notes)])
