"""Pictures of a model's data, as they are before resizing: to check an export on, and to calibrate int8 on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reslab.api.scored import check_fits, read, requested
from reslab.data.source import source_of
from reslab.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.data.splits import Data, Split
    from reslab.models.trained import TrainedModel
    from reslab.options.scoring import ClassifierOptions, EvaluateOptions


def sample(model: TrainedModel, data: Any, count: int, least: int) -> Sample:
    """Return `count` evenly spaced pictures of the test split (or val, or train), or all if there are fewer.

    least  fewer are filled up with made pictures
    data   None: the training's own; made pictures if they are not here. Raises UserError if the data do not fit
    """
    import numpy as np

    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.convert.runtimes.pictures import made_pictures

    channels = model.transform.channels
    try:
        found = _found(model, data, (("test", "val"), ("train",)))
    except UserError:
        if data is not None:
            raise
        return Sample(made_pictures(model.transform.size, channels, least), "made, as no data are here")
    name, split = next((name, part) for name, part in reversed(found.splits().items()) if part is not None)
    rows = np.arange(min(count, len(split))) * len(split) // min(count, len(split))
    pictures, labels = _pictures(split, rows, channels), split.labels[rows]
    if len(pictures) < least:
        made = made_pictures(model.transform.size, channels, least - len(pictures))
        return Sample([*pictures, *made], f"{len(pictures)} of {found.name} {name}, the rest made", labels)
    return Sample(pictures, f"{found.name} {name}", labels)


def calibration_for(
    model: TrainedModel, options: EvaluateOptions | ClassifierOptions, data: Any = None
) -> list[np.ndarray]:
    """Return the images that `options.precision` is calibrated on, as `calibration`; [] unless it is int8.

    data   taken if the training's own are not here
    Of data named with --calibration that have no train split every image is taken.
    """
    if options.precision != "int8":
        return []
    if options.calibration is not None:
        return calibration(model, [options.calibration], "--calibration", ("train", "test"))
    return calibration(model, [None] if data is None else [None, data], "--calibration")


def calibration(
    model: TrainedModel, sources: Sequence[Any], flag: str, splits: Sequence[str] = ("train",)
) -> list[np.ndarray]:
    """Return the pixels of training images that int8 is calibrated on, uint8 [S, S, C] each, in random order.

    sources   data to take them from, the first that are given and here; None: the training's own
    flag      the option that names data
    splits    of the data, the first that there is
    Raises UserError, which names `flag`, if no training images are here or they are too few.
    """
    import numpy as np

    from reslab.engines.calibrated import FEWEST, FITTED, JUDGED

    split, problem = None, ""
    for source in sources:
        try:
            found = _found(model, source, [(name,) for name in splits])
        except UserError as error:
            problem = str(error)
            continue
        split = next((part for part in found.splits().values() if part is not None), None)
        if split is not None:
            break
    if split is None:
        raise UserError(
            f"int8: needs training images to measure its ranges on; name data with {flag}"
            + (f" ({problem})" if problem else "")
        )
    if len(split) < FEWEST:
        raise UserError(f"int8: {len(split)} training images are too few, {FEWEST} needed; name others with {flag}")
    count = min(len(split), FITTED + JUDGED)
    rows = np.random.default_rng(0).permutation(np.arange(count) * len(split) // count)
    return [model.transform.pixels(picture) for picture in _pictures(split, rows, model.transform.channels)]


def _found(model: TrainedModel, data: Any, choices: Sequence[Sequence[str]]) -> Data:
    """Return the model's data, or those named, with the first of `choices` (names of splits) that has any."""
    request = requested(model, None if data is None else source_of(data), None, "skip", False, "test")
    for splits in choices:
        found = read(model, request, splits, False)
        if any(part is not None for part in found.splits().values()):
            break
    check_fits(model, found)
    return found


def _pictures(split: Split, rows: np.ndarray, channels: int) -> list[Image.Image]:
    from PIL import Image

    from reslab.data.images.decode import read as picture_of
    from reslab.data.splits import Memory

    if isinstance(split, Memory):
        arrays = [array if array.shape[2] == 3 else array[:, :, 0] for array in split.images[rows]]
        return [Image.fromarray(array) for array in arrays]
    mode = "RGB" if channels == 3 else "L"
    return [picture_of(split.paths[row], levels=split.levels).convert(mode) for row in rows.tolist()]
