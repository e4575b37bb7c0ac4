"""`predict`: what a trained network sees in image files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.errors import RunError, UserError, suggest, suggest_beside

if TYPE_CHECKING:
    import numpy as np

    from reslab.data.images.decode import BadImage
    from reslab.measure.result import Prediction
    from reslab.models.trained import TrainedModel


def predict(
    source: str | Path | TrainedModel,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 32,
    threads: int = 0,
    bad_images: str = "error",
    tell_bad: Callable[[BadImage], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Prediction]:
    """Classify image files; one `Prediction` a file, in order.

    source      folder of a run (its newest checkpoint) or of a checkpoint, or a model from `load`
    images      files, or folders: all visible files below them, sorted
    top         how many classes of each, most probable first
    precision   "auto": bf16 where the CPU has units for it (close calls again in fp32, so that the first class is
                that of fp32), else fp32
    bad_images  "error": the first file that is no image ends it (BadImage); "skip": such files are left out, and
                `tell_bad` is called with each
    tell        called once, before the first image, with how this is computed: device, precision, threads, and why not
                faster
    An image is seen as in `evaluate`: nets that were trained on folders see the centre crop of 224/256 of the shorter
    side, those trained on whole images (CIFAR-10, digits) the whole of it as far as it is square. Statistics and class
    names are the training's own. Raises UserError for a path that is no checkpoint, for weights that are not finite,
    and where there is no file; RunError for an image whose scores are not finite.
    """
    from reslab.data.images.decode import BadImage
    from reslab.engines.inference import piece_of
    from reslab.engines.machine import resolve_device
    from reslab.measure.result import Prediction
    from reslab.models.classifier import PRECISIONS, Classifier
    from reslab.models.trained import opened
    from reslab.training.room import check_evaluation

    for option, value, known in (
        ("--precision", precision, PRECISIONS),
        ("--bad-images", bad_images, ("error", "skip")),
    ):
        if value not in known:
            raise UserError(f"{option}: {value!r} is none of {', '.join(known)}{suggest(str(value), known)}")
    for option, number in (("--top", top), ("--batch", batch)):
        if number < 1:
            raise UserError(f"{option}: {number} must be at least 1")
    model = opened(source)
    files = files_of([images] if isinstance(images, str | Path) else images)
    batch = min(batch, len(files))
    check_evaluation(model.spec, batch, resolve_device(device), at_once=piece_of(model.spec))
    classifier = Classifier(model, device=device, precision=precision, threads=threads, batch=batch)

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
            while some := list(islice(rest, batch)):
                good = []
                # All of them before the first is reported: reading TIFF takes the process's standard error away.
                for file, pixels in zip(some, [*pool.map(pixels_of, some)], strict=True):
                    if not isinstance(pixels, BadImage):
                        good.append((file, pixels))
                    elif bad_images == "error":
                        raise pixels
                    elif tell_bad is not None:
                        tell_bad(pixels)
                if good:
                    shares, unfit = classifier.shares([pixels for _, pixels in good])
                    if unfit:
                        raise RunError(f"{good[unfit[0]][0]}: {classifier.unfit_reason()}")
                    highest = shares.topk(min(top, len(names)))
                    for (file, _), values, places in zip(good, *(t.tolist() for t in highest), strict=True):
                        yield Prediction(file, tuple((names[k], v) for k, v in zip(places, values, strict=True)))

    return predictions()


def files_of(images: Iterable[str | Path]) -> list[str]:
    """The files that are meant, folders opened. Raises UserError for what is not there, and where there is none."""
    from reslab.data.sets.listing import below

    found: list[str] = []
    for one in map(Path, images):
        if one.is_dir():
            unread: list[str] = []
            inside = below(str(one), "", {}, unread)
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
