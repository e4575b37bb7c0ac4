"""From an image to a network's input: resized, cropped, centred and scaled as in its training's evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from reslab.data.batches.loader import Statistics, centred
from reslab.data.batches.views import evaluation_view, whole_view

VIEWS = ("whole", "centre crop")


@dataclass(frozen=True, eq=False)
class InputTransform:
    """The steps from an image to a network's input.

    size        side of the square, in pixels
    channels    3 (RGB) or 1 (grey)
    view        "whole": all of a square image; "centre crop": 224/256 of the shorter side
    statistics  mean and scale, in pixel units
    """

    size: int
    channels: int
    view: str
    statistics: Statistics

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return the square that the network sees, uint8 [size, size, channels]."""
        mode = "RGB" if self.channels == 3 else "L"
        image = image if image.mode == mode else image.convert(mode)
        return (whole_view if self.view == "whole" else evaluation_view)(image, self.size)

    def inputs(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return squares of `pixels` as the network's input, float32 [B, channels, size, size]."""
        return centred(pixels, self.statistics)
