"""Pictures of a model's data, as they are before resizing: to check an export on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.api.scored import check_fits, read, requested
from reslab.data.source import source_of
from reslab.errors import UserError

if TYPE_CHECKING:
    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.models.trained import TrainedModel


def sample(model: TrainedModel, data: Any, count: int) -> Sample:
    """Return `count` evenly spaced pictures of the test split (or val, or train), or all if there are fewer.

    data   None: the training's own; made pictures if they are not here. Raises UserError if the data do not fit
    """
    import numpy as np
    from PIL import Image

    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.convert.runtimes.pictures import made_pictures
    from reslab.data.images.decode import read as picture_of
    from reslab.data.splits import Memory

    try:
        request = requested(model, None if data is None else source_of(data), None, "skip", False, "test")
    except UserError:
        if data is not None:
            raise
        return Sample(made_pictures(model.transform.size, model.transform.channels, count), "made, as no data are here")
    found = read(model, request, ("test", "val"), False)
    if found.test is None and found.val is None:  # training images are read only if there are no others
        found = read(model, request, ("train",), False)
    check_fits(model, found)
    name, split = next((name, part) for name, part in reversed(found.splits().items()) if part is not None)
    rows = np.arange(min(count, len(split))) * len(split) // min(count, len(split))
    if isinstance(split, Memory):
        arrays = [array if array.shape[2] == 3 else array[:, :, 0] for array in split.images[rows]]
        pictures = [Image.fromarray(array) for array in arrays]
    else:
        mode = "RGB" if model.transform.channels == 3 else "L"
        pictures = [picture_of(split.paths[row]).convert(mode) for row in rows.tolist()]
    if len(pictures) < count:
        made = made_pictures(model.transform.size, model.transform.channels, count - len(pictures))
        return Sample([*pictures, *made], f"{len(pictures)} of {found.name} {name}, the rest made")
    return Sample(pictures, f"{found.name} {name}")
