"""`explain`: where in a picture the evidence for a class lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.errors import RunError, UserError, suggest
from reslab.options.scoring import ExplainOptions

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from reslab.models.trained import TrainedModel


@dataclass(frozen=True, eq=False)
class Explanation:
    """The class activation map of one picture.

    source       the picture, as it was given
    class_name   the class that the map is of
    probability  its softmax
    map          float32 [h, w]: evidence for the class at each place; its mean is the class's logit
    pixels       uint8 [S, S, C]: what the network saw
    """

    source: Any
    class_name: str
    probability: float
    map: np.ndarray
    pixels: np.ndarray

    def picture(self) -> Image.Image:
        """Return the picture, and the map over it in grey: orange for the class, blue against it."""
        from reslab.show.maps import drawn_map

        return drawn_map(self.pixels, self.map)

    def png(self) -> bytes:
        """Return the picture as the content of a PNG file."""
        from io import BytesIO

        content = BytesIO()
        self.picture().save(content, "PNG")
        return content.getvalue()

    _repr_png_ = png  # notebooks call it

    def __repr__(self) -> str:
        height, width = self.map.shape
        return f"Explanation({self.class_name!r}, {100 * self.probability:.1f} %, map {height}x{width})"


@takes(ExplainOptions)
def explain(source: str | Path | TrainedModel, images: Any, *, options: ExplainOptions) -> Iterator[Explanation]:
    """Yield an `Explanation` for each picture: its exact class activation map, computed in fp32.

    source   as `load` takes it, or a model
    images   an image or an iterable of images, in any form that `predict` takes; folders are not searched
    {options}
    Exact: in a net that ends in global average pooling and one linear layer a logit is the mean of its map (Zhou et al.
    2016). Raises UserError for another net (VGG, MLP) and for an unknown class; BadImage for a file that is no image.
    """
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.activation import map_row
    from reslab.models.classifier import pixels_of
    from reslab.models.images import each

    model, settings = opened(source), scoring(options.device, options.threads)
    map_row(model.network)
    names = model.classes
    if options.target is not None and options.target not in names:
        raise UserError(
            f"target: {options.target!r} is no class of {model.origin.path}{suggest(options.target, names)}"
        )
    chosen = None if options.target is None else names.index(options.target)
    items = each(images)
    prepare(settings)

    def found() -> Iterator[Explanation]:
        decoded = ((image, pixels_of(model, image, name)) for name, image in items)
        while batch := list(islice(decoded, options.batch)):
            numbers = None if chosen is None else [chosen] * len(batch)
            maps = explained(model, settings.device, [pixels for _, pixels in batch], numbers)
            for (image, _), one in zip(batch, maps, strict=True):
                yield replace(one, source=image)

    return found()


def explained(
    model: TrainedModel, device: str, pixels: Sequence[np.ndarray], numbers: Sequence[int] | None
) -> list[Explanation]:
    """Return the explanations of squares of pixels; `numbers` are the maps' classes, None for the highest logit's.

    Raises RunError for a picture whose scores are not finite.
    """
    import torch

    from reslab.measure.activation import activation_maps

    inputs = model.transform.inputs(pixels).to(device)
    classes = None if numbers is None else torch.tensor(numbers)
    maps, logits = activation_maps(model.network.to(device), inputs, classes)
    if not torch.isfinite(logits).all():
        raise RunError(f"scores are not finite, so there is no map; use another checkpoint than {model.origin.path}")
    places = logits.argmax(1).tolist() if numbers is None else numbers
    shares = logits.softmax(1).cpu()
    return [
        Explanation(None, model.classes[place], float(shares[row, place]), maps[row].cpu().numpy(), pixels[row])
        for row, place in enumerate(places)
    ]
