"""Crop and resize a decoded image to the square that the network sees: uint8 [size, size, 3].

Only the cropped part is resized, with an antialiasing filter; up to rounding this equals resizing the whole image and
then cropping. For scoring, Pillow resizes from a box with fractional edges, like torchvision's Resize and CenterCrop.
For training, torch's kernels for bytes resize from whole pixels, in a third of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image

from reslab.data.images.jpeg import PixelBox

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
Interpolation = Literal["bilinear", "bicubic"]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class View:
    """The part of an image that a network is scored on: the centre crop of the resized image.

    size            side of the crop, in pixels
    shorter         the image's shorter side after resizing, in pixels, at least `size`
    interpolation   of the resizing, with antialiasing
    """

    size: int
    shorter: int
    interpolation: Interpolation = "bilinear"

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the view of an image: uint8 [size, size, 3], or [size, size, 1] for a grey image."""
        size = self.size
        if image.size != (size, size) or self.shorter != size:
            box = _box(*image.size, size, self.shorter, 0.5, 0.5)
            image = image.resize((size, size), FILTERS[self.interpolation], box=box)
        return np.asarray(image).reshape(size, size, -1)


def centre_crop(size: int) -> View:
    """Return the view with a shorter side of round(size * 256 / 224), as in the paper's evaluation of ImageNet."""
    return View(size, round(size * 256 / 224))


def whole(size: int) -> View:
    """Return the view that shows all of a square image, for nets that were trained on whole images."""
    return View(size, size)


def training_box(size: int, side: float, top: float, left: float, width: int, height: int) -> PixelBox:
    """Return the part of an image of width x height pixels that becomes a training crop of `size` pixels.

    side, top, left   as `augment.scale_crop_flip` returns them: the image is resized to a shorter side of
                      round(size * side), and the crop is at (top, left) of the possible positions
    Edges are rounded to whole pixels of the image.
    """
    edges = [round(edge) for edge in _box(width, height, size, round(size * side), top, left)]
    x, y = min(edges[0], width - 1), min(edges[1], height - 1)
    return x, y, max(edges[2], x + 1), max(edges[3], y + 1)  # at least one pixel


def training_view(part: np.ndarray, size: int, flip: bool) -> np.ndarray:
    """Return the cropped part (uint8 [h, w, 3]) resized to [size, size, 3], mirrored if `flip`."""
    pixels = torch.from_numpy(part[None]).permute(0, 3, 1, 2)
    view = torch.empty(1, size, size, 3, dtype=torch.uint8)
    # The kernel of F.interpolate, but with pixels in the order of a file: F.interpolate converts a single image into
    # planes and takes twice as long (pytorch issue 68430).
    resized = view.permute(0, 3, 1, 2)
    torch.ops.aten._upsample_bilinear2d_aa.out(pixels, (size, size), False, None, None, out=resized)
    return (view[0].flip(1) if flip else view[0]).numpy()


def in_channels(views: np.ndarray, channels: int) -> np.ndarray:
    """Return RGB views (uint8 [..., 3]) with 3 channels, or 1: grey as Pillow converts RGB to L; grey stays equal."""
    if channels == 3:
        return views
    red, green, blue = np.moveaxis(views.astype(np.uint32), -1, 0)
    grey: np.ndarray = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return grey.astype(np.uint8)[..., None]


def _box(width: int, height: int, size: int, shorter: int, top: float, left: float) -> Box:
    """Return the part that a crop of `size` pixels shows of width x height resized to a shorter side `shorter`."""
    factor = shorter / min(height, width)
    new_height, new_width = max(int(height * factor + 1e-9), size), max(int(width * factor + 1e-9), size)
    y, x = int(top * (new_height - size + 1)), int(left * (new_width - size + 1))
    left_edge, right_edge = x * width / new_width, (x + size) * width / new_width
    top_edge, bottom_edge = y * height / new_height, (y + size) * height / new_height
    return (left_edge, top_edge, min(right_edge, width), min(bottom_edge, height))
