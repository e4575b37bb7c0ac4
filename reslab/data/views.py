"""From a decoded image to the square that the network sees: uint8 [size, size, 3].

Only the part that is kept is resized, with an antialiasing filter: `box` gives, up to rounding, the pixels of resizing
the whole image and cropping afterwards. To score, by Pillow and with edges between pixels, as torchvision's Resize and
CenterCrop do; to train, by torch's kernels for bytes and from whole pixels, in a third of the time.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


def evaluation_view(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to round(size * 256 / 224), centre crop."""
    box = _box(image, size, round(size * 256 / 224), 0.5, 0.5)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box)).reshape(size, size, -1)


def whole_view(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to `size`, centre crop: all of a square image, as nets see it that were trained on whole images.

    uint8 [size, size, 3], or [size, size, 1] of a grey image.
    """
    if image.size != (size, size):
        box = _box(image, size, size, 0.5, 0.5)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image).reshape(size, size, -1)


def training_view(image: Image.Image, size: int, side: float, top: float, left: float, flip: bool) -> np.ndarray:
    """Shorter side to round(size * side), the crop at (top, left) in [0, 1) of the possible places, mirrored if `flip`.

    The draws are `augment.scale_crop_flip`'s; the edges of the crop are rounded to whole pixels of the image.
    """
    edges = [round(edge) for edge in _box(image, size, round(size * side), top, left)]
    x, y = min(edges[0], image.width - 1), min(edges[1], image.height - 1)
    part = image.crop((x, y, max(edges[2], x + 1), max(edges[3], y + 1)))  # one pixel at least
    pixels = torch.from_numpy(np.array(part)).permute(2, 0, 1)[None]
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    return (resized.flip(1) if flip else resized).contiguous().numpy()


def _box(image: Image.Image, size: int, shorter: int, top: float, left: float) -> Box:
    """The part of `image` that becomes a crop of `size` pixels once its shorter side has `shorter`."""
    width, height = image.size
    factor = shorter / min(height, width)
    high, wide = max(int(height * factor + 1e-9), size), max(int(width * factor + 1e-9), size)
    y, x = int(top * (high - size + 1)), int(left * (wide - size + 1))
    box = (x * width / wide, y * height / high, (x + size) * width / wide, (y + size) * height / high)
    return (box[0], box[1], min(box[2], width), min(box[3], height))
