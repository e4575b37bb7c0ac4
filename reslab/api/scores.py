"""`evaluate`: score checkpoints exactly, alone and as an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.samples import calibration
from reslab.api.scored import DataRequest, check_fits, course_note, notes_on, read, requested
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
    """Score trained models on every sample of a split, once each; return an `Evaluation` for each model.

    paths     folders of runs (their newest checkpoint) or of checkpoints, or models from `load`
    {options}
    Of a folder of class folders without a train split, all images are scored, labelled by the checkpoint's classes; so
    are all of a pair (images, labels), as the split `split`. Training images given in Python must be given again.
    The ensemble is last in the list. `val_share` and `bad_images` apply to data other than the training's own, which
    keep the training's split.
    Raises UserError for a path that is not a checkpoint, a damaged checkpoint, data of other classes, a missing split,
    and training data that is gone or has changed.
    """
    from reslab.data.batches.loader import evaluation_batches
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.ensemble import evaluate_together
    from reslab.measure.evaluate import evaluate as score
    from reslab.measure.result import Evaluation
    from reslab.models.capacity import check_evaluation
    from reslab.models.inputs import workers_for

    split, ensemble, batch = options.split, options.ensemble, options.batch
    data = None if options.data is None else source_of(options.data)
    settings = scoring(options.device, options.threads, options.precision)
    models = [
        opened(path) for path in (paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths])
    ]
    if ensemble and len(models) < 2:
        raise UserError(f"--ensemble: {len(models)} checkpoint given; give two or more")
    loaded: dict[DataRequest, Data] = {}
    jobs = []
    for model in models:
        request = requested(model, data, options.val_share, options.bad_images, options.download, split or "test")
        if request not in loaded:
            splits = ("train", "val", "test") if request.holdout or split in ("train", "val") else ("test", "val")
            loaded[request] = read(model, request, splits, options.download)
        own_data = loaded[request]
        check_fits(model, own_data)
        notes = notes_on(model, request, own_data, data is not None)
        name = split or ("val" if own_data.test is None and own_data.val is not None else "test")
        jobs.append((model, own_data, name, notes))
    if ensemble and len({(d.fingerprint, len(d.split(name)), name) for _, d, name, _ in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    for model, own_data, name, _ in jobs:
        count = len(models) if ensemble else 1
        pieces = None if options.precision == "fp32" else piece_of(model.spec)
        check_evaluation(model.spec, min(batch, len(own_data.split(name))), settings.device, count, pieces)
    prepare(settings)

    def function_of(model: TrainedModel) -> Callable[[Tensor], Tensor]:
        sources = (None, data) if options.calibration is None else (options.calibration,)
        images = calibration(model, sources, "--calibration") if options.precision == "int8" else []
        return model.logits(settings, images)

    def batches(model: TrainedModel, own_data: Data, name: str) -> Iterable[Batch]:
        part = own_data.split(name)
        workers, transform = workers_for(own_data, options.workers), model.transform
        return evaluation_batches(part, transform.statistics, batch, workers, transform.view)

    def result(
        path: Path,
        name: str,
        iteration: int | None,
        own_data: Data,
        part: str,
        scores: Scores,
        logits_of: Callable[[Tensor], Tensor],
        notes: tuple[str, ...],
    ) -> Evaluation:
        unfit = f"{scores.unfit:,} of {scores.n:,} images have scores that are not finite" if scores.unfit else ""
        note = "; ".join(filter(None, (unfit, getattr(logits_of, "about", ""), course_note(path))))
        classes = tuple(own_data.classes)
        return Evaluation(path, name, iteration, own_data.name, part, options.precision, classes, scores, note, notes)

    if not ensemble:
        results = []
        for model, own_data, part, notes in jobs:
            logits_of, origin = function_of(model), model.origin
            scores = score(logits_of, batches(model, own_data, part), len(own_data.split(part)), len(own_data.classes))
            results.append(result(origin.path, model.name, origin.iteration, own_data, part, scores, logits_of, notes))
        return Shown(results)
    _, own_data, part, _ = jobs[0]
    functions = [function_of(model) for model in models]
    pairs = [(logits_of, batches(model, own_data, part)) for logits_of, model in zip(functions, models, strict=True)]
    member_scores, ensemble_scores = evaluate_together(
        pairs, len(own_data.split(part)), len(own_data.classes), ensemble
    )
    results = [
        result(model.origin.path, model.name, model.origin.iteration, own_data, part, scores, logits_of, notes)
        for scores, logits_of, (model, _, _, notes) in zip(member_scores, functions, jobs, strict=True)
    ]
    parent = models[0].origin.path.parent
    notes = tuple(dict.fromkeys(note for *_, job_notes in jobs for note in job_notes))
    title = f"ensemble of {len(models)} ({ensemble} averaged)"
    iterations = [model.origin.iteration for model in models if model.origin.iteration is not None]
    newest = max(iterations, default=None)
    return Shown([*results, result(parent, title, newest, own_data, part, ensemble_scores, functions[0], notes)])
