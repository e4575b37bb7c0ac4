"""Made pictures, for checks of networks whose data are not here: smooth colours under noise, in several sizes."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDES = (0.6, 0.8, 1.0, 1.3, 2.1)  # of the network's input; every pair of sides occurs
SMOOTH = 8  # pixels of a made picture per pixel of the small one that it is enlarged from
NOISE = 24  # largest change of a pixel, of 255


def made_pictures(size: int, channels: int, count: int) -> list[Image.Image]:
    """Return `count` pictures around `size` pixels, the same at every call; RGB, or grey for one channel."""
    generator = np.random.default_rng(0)
    pictures = []
    for number in range(count):
        height, width = (max(2, round(size * SIDES[place % len(SIDES)])) for place in (number, number // len(SIDES)))
        small = generator.integers(0, 256, (max(2, height // SMOOTH), max(2, width // SMOOTH), 3), np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
        noisy = smooth + generator.integers(-NOISE, NOISE + 1, smooth.shape)
        picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        pictures.append(picture if channels == 3 else picture.convert("L"))
    return pictures
