"""`predict`: what a trained network sees in image files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.errors import RunError, UserError, suggest_beside
from reslab.options.scoring import PredictOptions

if TYPE_CHECKING:
    import numpy as np

    from reslab.data.images.decode import BadImage
    from reslab.measure.result import Prediction
    from reslab.models.trained import TrainedModel


@takes(PredictOptions)
def predict(
    source: str | Path | TrainedModel,
    images: str | Path | Iterable[str | Path],
    *,
    options: PredictOptions,
    tell_bad: Callable[[BadImage], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Prediction]:
    """Classify image files; one `Prediction` a file, in order.

    source      folder of a run (its newest checkpoint) or of a checkpoint, or a model from `load`
    images      files, or folders: all visible files below them, sorted
    {options}
    tell_bad    called with each file that is left out (a BadImage)
    tell        called once, before the first image, with how this is computed: device, precision, threads, and why not
                faster
    An image is seen as in `evaluate`: nets that were trained on folders see the centre crop of 224/256 of the shorter
    side, those trained on whole images (CIFAR-10, digits) the whole of it as far as it is square. Statistics and class
    names are the training's own. Raises UserError for a path that is no checkpoint, for weights that are not finite,
    and if there is no file; BadImage for a file that is no image; RunError for an image whose scores are not finite.
    """
    from reslab.data.images.decode import BadImage
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import scoring
    from reslab.measure.result import Prediction
    from reslab.models.capacity import check_evaluation
    from reslab.models.classifier import Classifier
    from reslab.models.trained import opened

    model = opened(source)
    files = files_of([images] if isinstance(images, str | Path) else images)
    options = replace(options, batch=min(options.batch, len(files)))
    device = scoring(options.device, options.threads).device
    check_evaluation(model.spec, options.batch, device, at_once=piece_of(model.spec))
    classifier = Classifier(model, options)

    def pixels_of(file: str) -> np.ndarray | BadImage:
        try:
            return classifier.pixels(file)
        except BadImage as error:
            return error

    def predictions() -> Iterator[Prediction]:
        if tell is not None:
            tell(classifier.about)
        names, rest = model.classes, iter(files)
        with ThreadPoolExecutor(classifier.settings.threads) as pool:  # Pillow lets others compute while it decodes
            while some := list(islice(rest, options.batch)):
                good = []
                # All of them before the first is reported: reading TIFF takes the process's standard error away.
                for file, pixels in zip(some, [*pool.map(pixels_of, some)], strict=True):
                    if not isinstance(pixels, BadImage):
                        good.append((file, pixels))
                    elif options.bad_images == "error":
                        raise pixels
                    elif tell_bad is not None:
                        tell_bad(pixels)
                if good:
                    shares, unfit = classifier.shares([pixels for _, pixels in good])
                    if unfit:
                        raise RunError(f"{good[unfit[0]][0]}: {classifier.unfit_reason()}")
                    highest = shares.topk(min(options.top, len(names)))
                    for (file, _), values, places in zip(good, *(t.tolist() for t in highest), strict=True):
                        yield Prediction(file, tuple((names[k], v) for k, v in zip(places, values, strict=True)))

    return predictions()


def files_of(images: Iterable[str | Path]) -> list[str]:
    """The files that are meant, folders opened. Raises UserError for what is not there, and where there is none."""
    from reslab.data.sets.listing import files_below

    found: list[str] = []
    for one in map(Path, images):
        if one.is_dir():
            unread: list[str] = []
            inside = files_below(str(one), "", {}, unread)
            if unread:
                raise UserError(unread[0])
            found += inside
        elif one.exists() or one.is_symlink():  # a link that leads nowhere is a bad image
            found.append(str(one))
        else:
            raise UserError(f"{one}: no such file or folder{suggest_beside(one)}")
    if not found:
        raise UserError("predict: no image files there; give files, or folders that hold some")
    return found
