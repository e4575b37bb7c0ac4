"""`predict`: classify images with a trained network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.samples import calibration_for
from reslab.errors import RunError
from reslab.options.scoring import PredictOptions

if TYPE_CHECKING:
    import numpy as np

    from reslab.api.explanations import Explanation
    from reslab.data.images.decode import BadImage
    from reslab.measure.result import Prediction
    from reslab.models.trained import TrainedModel

    Decoded = tuple[str, np.ndarray | BadImage]  # the name of an image and its pixels


@takes(PredictOptions)
def predict(
    source: str | Path | TrainedModel,
    images: Any,
    *,
    options: PredictOptions,
    tell_bad: Callable[[BadImage], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Prediction]:
    """Classify images; yield one `Prediction` per image, in order.

    source      folder of a run (its newest checkpoint) or of a checkpoint, or a model from `load`
    images      an image, or an iterable of images, which may be mixed:
                - a path: a file, or a folder, which stands for all visible files below it, sorted
                - bytes of an image file, or a file open for reading in mode "rb"
                - a Pillow image; its EXIF orientation is applied, as for files
                - an array, uint8 [H, W], [H, W, 1] or [H, W, 3]; a batch [N, H, W] or [N, H, W, C]
                - a tensor, uint8 [H, W], [1, H, W] or [3, H, W]; a batch [N, C, H, W]
                Of an iterator, `batch` images are fetched before they are classified.
    {options}
    tell_bad    called with each bad image (a BadImage)
    tell        called once, before the first image, with a line on the computation: device, precision, threads, and the
                reason that a faster engine is not used
    `Prediction.file` is the path; an image without one is called by its place: `images[2]`, `images[2][0]` in a batch,
    `image` alone. A bad image has a `Prediction` too: no classes, and the reason in its `error`.
    Images are transformed as in `evaluate`: for nets trained on image files as their recipe's `resize` says, by default
    the centre crop of 224/256 of the shorter side; for nets trained on whole images (CIFAR-10, digits), the largest
    centred square. Statistics and class names
    are those of the training.
    Raises UserError for a path that is not a checkpoint, for weights that are not finite, if there are no images or no
    path exists, and for a value of another type, dtype or shape, which is called by its place; with bad_images="error"
    BadImage; RunError for an image whose scores are not finite.
    """
    from reslab.api.sources import Sources
    from reslab.data.images.decode import BadImage
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import scoring
    from reslab.measure.result import Prediction
    from reslab.models.capacity import check_evaluation
    from reslab.models.classifier import Classifier, decoded

    model = opened(source)
    sources = Sources(images)
    maps = None if options.explain is None else MapFolder(model, options.explain)
    size = options.batch if sources.count is None else min(options.batch, sources.count)
    device = scoring(options.device, options.threads).device
    check_evaluation(model.spec, size, device, at_once=piece_of(model.spec))
    classifier = Classifier(model, replace(options, batch=size), calibration_for(model, options))
    names = model.classes

    def batches(pool: Executor) -> Iterator[list[Decoded]]:
        """Yield batches of `size` good images, with the bad ones between them, so that these change no answer."""
        for group in sources.groups():
            futures = decoded(model, group, pool, at_once=not sources.held)
            batch: list[Decoded] = []
            good = 0
            # A chunk is decoded as a whole before a bad image is reported: reading TIFF redirects standard error.
            while chunk := list(islice(futures, size - good)):
                batch += [(name, _result(future)) for name, future in chunk]
                good = sum(not isinstance(pixels, BadImage) for _, pixels in batch)
                if good in (0, size):
                    yield batch
                    batch, good = [], 0
            if batch:
                yield batch

    def classified(batch: list[tuple[str, np.ndarray]]) -> Iterator[Prediction]:
        shares, unfit = classifier.shares([pixels for _, pixels in batch])
        if unfit:
            raise RunError(f"{batch[unfit[0]][0]}: {classifier.unfit_reason()}")
        highest = shares.topk(min(options.top, len(names)))
        values, places = (column.tolist() for column in highest)
        drawn = [None] * len(batch) if maps is None else maps.written(batch, [row[0] for row in places], device)
        for (name, _), shown, row, map_ in zip(batch, values, places, drawn, strict=True):
            yield Prediction(name, tuple((names[k], v) for k, v in zip(row, shown, strict=True)), map_)

    def predictions() -> Iterator[Prediction]:
        if tell is not None:
            tell(classifier.about)
        with ThreadPoolExecutor(classifier.settings.threads) as pool:  # Pillow releases the GIL while it decodes
            for batch in batches(pool):
                good = [(name, pixels) for name, pixels in batch if not isinstance(pixels, BadImage)]
                answers = classified(good) if good else iter(())
                for _, pixels in batch:
                    if not isinstance(pixels, BadImage):
                        yield next(answers)
                        continue
                    if options.bad_images == "error":
                        raise pixels
                    if tell_bad is not None:
                        tell_bad(pixels)
                    if options.bad_images == "report":
                        yield Prediction(pixels.name, (), error=pixels.reason)

    return predictions()


def _result(future: Future[np.ndarray]) -> np.ndarray | BadImage:
    from reslab.data.images.decode import BadImage

    try:
        return future.result()
    except BadImage as error:
        return error


class MapFolder:
    """The folder of `explain`: a PNG for each picture, named like it, numbered where names repeat.

    Raises UserError if the model has no class activation map, if the folder holds something or cannot be written.
    """

    def __init__(self, model: TrainedModel, folder: Path) -> None:
        from reslab.api.picturefolder import PictureFolder
        from reslab.measure.activation import map_row

        map_row(model.network)
        self.model, self.folder, self.names = model, PictureFolder(folder, "--explain"), set[str]()

    def written(self, pictures: Sequence[tuple[str, np.ndarray]], classes: Sequence[int], device: str) -> list[Path]:
        """Write the maps of pictures (file, pixels) of these classes and return their files."""
        from reslab.api.explanations import explained

        found = explained(self.model, device, [pixels for _, pixels in pictures], classes)
        return [self._write(_stem(name), one) for (name, _), one in zip(pictures, found, strict=True)]

    def _write(self, stem: str, one: Explanation) -> Path:
        name, number = stem, 1
        while name in self.names:
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name)
        return self.folder.write(f"{name}.png", one.png())


def _stem(name: str) -> str:
    """Return the name of a picture's map: that of its file, or its place, as `images-2-0` for `images[2][0]`."""
    if re.fullmatch(r"images(\[\d+\])+", name):
        return "-".join(re.findall(r"\w+", name))
    return Path(name).stem
