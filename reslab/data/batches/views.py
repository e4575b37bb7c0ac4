"""From a decoded image to the square that the network sees: uint8 [size, size, 3].

Only the part that is kept is resized, with an antialiasing filter: `box` gives, up to rounding, the pixels of resizing
the whole image and cropping afterwards. To score, by Pillow and with edges between pixels, as torchvision's Resize and
CenterCrop do; to train, by torch's kernels for bytes and from whole pixels, in a third of the time.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from reslab.data.images.jpeg import PixelBox

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


def evaluation_view(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to round(size * 256 / 224), centre crop."""
    box = _box(*image.size, size, round(size * 256 / 224), 0.5, 0.5)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box)).reshape(size, size, -1)


def whole_view(image: Image.Image, size: int) -> np.ndarray:
    """Shorter side to `size`, centre crop: all of a square image, as nets see it that were trained on whole images.

    uint8 [size, size, 3], or [size, size, 1] of a grey image.
    """
    if image.size != (size, size):
        box = _box(*image.size, size, size, 0.5, 0.5)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image).reshape(size, size, -1)


def training_place(size: int, side: float, top: float, left: float, width: int, height: int) -> PixelBox:
    """The part of an image of width x height that is kept to train: with a shorter side of round(size * side), the crop
    of `size` at (top, left) in [0, 1) of the possible places, its edges rounded to whole pixels of the image.

    The draws are `augment.scale_crop_flip`'s.
    """
    edges = [round(edge) for edge in _box(width, height, size, round(size * side), top, left)]
    x, y = min(edges[0], width - 1), min(edges[1], height - 1)
    return x, y, max(edges[2], x + 1), max(edges[3], y + 1)  # one pixel at least


def training_view(part: np.ndarray, size: int, flip: bool) -> np.ndarray:
    """The kept part (uint8 [h, w, 3]), resized, mirrored if `flip`."""
    pixels = torch.from_numpy(part[None]).permute(0, 3, 1, 2)
    view = torch.empty(1, size, size, 3, dtype=torch.uint8)
    # F.interpolate, but into the layout of a file's pixels: by itself it turns a single image into planes and takes
    # twice as long (pytorch issue 68430).
    resized = view.permute(0, 3, 1, 2)
    torch.ops.aten._upsample_bilinear2d_aa.out(pixels, (size, size), False, None, None, out=resized)
    return (view[0].flip(1) if flip else view[0]).numpy()


def _box(width: int, height: int, size: int, shorter: int, top: float, left: float) -> Box:
    """The part of width x height that becomes a crop of `size` pixels once the shorter side has `shorter`."""
    factor = shorter / min(height, width)
    high, wide = max(int(height * factor + 1e-9), size), max(int(width * factor + 1e-9), size)
    y, x = int(top * (high - size + 1)), int(left * (wide - size + 1))
    box = (x * width / wide, y * height / high, (x + size) * width / wide, (y + size) * height / high)
    return (box[0], box[1], min(box[2], width), min(box[3], height))
