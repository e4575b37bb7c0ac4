"""`predict`: classify image files with a trained network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.samples import calibration_for
from reslab.errors import RunError, UserError, suggest_beside
from reslab.options.scoring import PredictOptions

if TYPE_CHECKING:
    import numpy as np

    from reslab.api.explanations import Explanation
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
    """Classify image files; yield one `Prediction` per file, in order.

    source      folder of a run (its newest checkpoint) or of a checkpoint, or a model from `load`
    images      files, or folders: all visible files below them, sorted
    {options}
    tell_bad    called with each file that is left out (a BadImage)
    tell        called once, before the first image, with a line on the computation: device, precision, threads, and the
                reason that a faster engine is not used
    Images are transformed as in `evaluate`: for nets trained on folders, the centre crop of 224/256 of the shorter
    side; for nets trained on whole images (CIFAR-10, digits), the largest centred square. Statistics and class names
    are those of the training.
    Raises UserError for a path that is not a checkpoint, for weights that are not finite, and if there are no files;
    BadImage for a file that is not an image; RunError for an image whose scores are not finite.
    """
    from reslab.data.images.decode import BadImage
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import scoring
    from reslab.measure.result import Prediction
    from reslab.models.capacity import check_evaluation
    from reslab.models.classifier import Classifier

    model = opened(source)
    maps = None if options.explain is None else MapFolder(model, options.explain)
    files = files_of([images] if isinstance(images, str | Path) else images)
    options = replace(options, batch=min(options.batch, len(files)))
    device = scoring(options.device, options.threads).device
    check_evaluation(model.spec, options.batch, device, at_once=piece_of(model.spec))
    classifier = Classifier(model, options, calibration_for(model, options))

    def pixels_of(file: str) -> np.ndarray | BadImage:
        try:
            return classifier.pixels(file)
        except BadImage as error:
            return error

    def predictions() -> Iterator[Prediction]:
        if tell is not None:
            tell(classifier.about)
        names, rest = model.classes, iter(files)
        with ThreadPoolExecutor(classifier.settings.threads) as pool:  # Pillow releases the GIL while it decodes
            while batch := list(islice(rest, options.batch)):
                good = []
                # Decode all before reporting one: reading TIFF redirects the process's standard error.
                for file, pixels in zip(batch, [*pool.map(pixels_of, batch)], strict=True):
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
                    values, places = (column.tolist() for column in highest)
                    tops = [row[0] for row in places]
                    drawn = [None] * len(good) if maps is None else maps.written(good, tops, device)
                    for (file, _), shown, row, map_ in zip(good, values, places, drawn, strict=True):
                        yield Prediction(file, tuple((names[k], v) for k, v in zip(row, shown, strict=True)), map_)

    return predictions()


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
        return [self._write(Path(file).stem, one) for (file, _), one in zip(pictures, found, strict=True)]

    def _write(self, stem: str, one: Explanation) -> Path:
        name, number = stem, 1
        while name in self.names:
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name)
        return self.folder.write(f"{name}.png", one.png())


def files_of(images: Iterable[str | Path]) -> list[str]:
    """Return the files, and those below folders. Raises UserError if a path is missing or there are no files."""
    from reslab.data.sets.listing import files_below

    files: list[str] = []
    for path in map(Path, images):
        if path.is_dir():
            unread: list[str] = []
            inside = files_below(str(path), "", {}, unread)
            if unread:
                raise UserError(unread[0])
            files += inside
        elif path.exists() or path.is_symlink():  # a broken link counts as a bad image
            files.append(str(path))
        else:
            raise UserError(f"{path}: no such file or folder{suggest_beside(path)}")
    if not files:
        raise UserError("predict: no image files there; give files, or folders that hold some")
    return files
