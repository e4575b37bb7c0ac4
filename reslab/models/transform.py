"""From an image to a network's input: made square, centred and scaled as in its training's evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from reslab.data.batches.loader import Statistics, centred
from reslab.data.batches.views import View
from reslab.data.images.levels import FULL, Levels


@dataclass(frozen=True, eq=False)
class InputTransform:
    """The steps from an image to a network's input.

    channels    3 (RGB) or 1 (grey)
    view        how an image becomes the square that the network sees
    statistics  mean and scale, in pixel units
    levels      of 16-bit pixels that become black and white when a file is decoded
    """

    channels: int
    view: View
    statistics: Statistics
    levels: Levels = FULL

    @property
    def size(self) -> int:
        """Side of the square, in pixels."""
        return self.view.size

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return the square that the network sees, uint8 [size, size, channels]."""
        mode = "RGB" if self.channels == 3 else "L"
        return self.view(image if image.mode == mode else image.convert(mode))

    def inputs(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return squares of `pixels` as the network's input, float32 [B, channels, size, size]."""
        return centred(pixels, self.statistics)
