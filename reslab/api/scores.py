"""`evaluate`: score checkpoints exactly, alone and as an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.scored import DataRequest, check_fits, course_note, notes_on, read, requested
from reslab.api.scorer import Job, Scorer
from reslab.data.source import source_of
from reslab.errors import UserError
from reslab.notebook import Shown
from reslab.options.scoring import EvaluateOptions

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.api.scorepictures import ScorePictures
    from reslab.data.splits import Data
    from reslab.measure.confidence import Temperature
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
    Of a folder or list without a train split, all images are scored, labelled by the checkpoint's classes; so
    are all of a pair (images, labels), as the split `split`. Training images given in Python must be given again.
    The ensemble is last in the list. Every result on the images of the first one is compared with it by McNemar's exact
    test. Calibration has 15 bins of equal width of the top-1 confidence. A temperature is fitted on the data's val
    split, never on test; if val is scored, it is fitted on the scored images. `val_share` and `bad_images` apply to
    data other than the training's own, which keep the training's split.
    Raises UserError for a path that is not a checkpoint, a damaged checkpoint, data of other classes, a missing split,
    training data that is gone or has changed, and a folder for pictures that holds something or cannot be written.
    """
    from reslab.api.scorepictures import ScorePictures
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.result import Evaluation
    from reslab.models.capacity import check_evaluation

    split, ensemble = options.split, options.ensemble
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
        jobs.append(Job(model, own_data, name, notes))
    if ensemble and len({(job.data.files_fingerprint, len(job.part), job.split) for job in jobs}) > 1:
        raise UserError("--ensemble: the members were trained on different data or splits; give one --data and --split")
    for job in jobs:
        count = len(models) if ensemble else 1
        pieces = None if options.precision == "fp32" else piece_of(job.model.spec)
        check_evaluation(job.model.spec, min(options.batch, len(job.part)), settings.device, count, pieces)
    folder = None if options.pictures is None else ScorePictures(options.pictures, options.worst, settings.device)
    prepare(settings)
    scorer = Scorer(options, settings, data)

    def result(
        job: Job,
        path: Path,
        name: str,
        iteration: int | None,
        scored: tuple[Scores, Temperature | None],
        logits_of: Callable[[Tensor], Tensor],
        notes: tuple[str, ...],
    ) -> Evaluation:
        scores, temperature = scored
        unfit = f"{scores.unfit:,} of {scores.n:,} images have scores that are not finite" if scores.unfit else ""
        note = "; ".join(filter(None, (unfit, getattr(logits_of, "about", ""), course_note(path))))
        found = tuple(f for f in job.data.findings if f.level == "fault" or f.split in ("", job.split))
        return Evaluation(
            path, name, iteration, job.data.name, job.split, options.precision, tuple(job.data.classes), scores, note,
            notes, found, temperature,
        )  # fmt: skip

    def result_of(
        job: Job, scored: tuple[Scores, Temperature | None], logits_of: Callable[[Tensor], Tensor]
    ) -> Evaluation:
        origin = job.model.origin
        return result(job, origin.path, job.model.name, origin.iteration, scored, logits_of, job.notes)

    if not ensemble:
        results = []
        for job in jobs:
            logits_of = scorer.logits_of(job.model)
            results.append(result_of(job, scorer.alone(job, logits_of), logits_of))
        return Shown(finished(results, jobs, folder))
    functions = [scorer.logits_of(model) for model in models]
    *members, whole = scorer.together(jobs, functions, ensemble)
    results = [result_of(*parts) for parts in zip(jobs, members, functions, strict=True)]
    notes = tuple(dict.fromkeys(note for job in jobs for note in job.notes))
    title = f"ensemble of {len(models)} ({ensemble} averaged)"
    iterations = [model.origin.iteration for model in models if model.origin.iteration is not None]
    newest, parent = max(iterations, default=None), models[0].origin.path.parent
    results.append(result(jobs[0], parent, title, newest, whole, functions[0], notes))
    return Shown(finished(results, jobs, folder))


def finished(results: list[Evaluation], jobs: list[Job], folder: ScorePictures | None) -> list[Evaluation]:
    """Return the results with their comparison with the first one, and with their pictures written to `folder`.

    jobs   one for each result, but none for an ensemble, which is the last result
    """
    from reslab.measure.mcnemar import compared

    complete = []
    for number, found in enumerate(results):
        job = jobs[number] if number < len(jobs) else None
        first, this = results[0].scores.answers, found.scores.answers
        if number and first is not None and this is not None and (job or jobs[0]).has_images_of(jobs[0]):
            found = replace(found, comparison=compared(first.right, this.right))
        if folder is not None:
            place = number + 1 if len(results) > 1 else None
            found = replace(found, pictures=folder.written(found, job or jobs[0], place, is_whole=job is None))
        complete.append(found)
    return complete
