"""Resize and crop a decoded image to the square that the network sees: uint8 [size, size, 3].

Only the cropped part is resized, with an antialiasing filter; up to rounding this equals resizing the whole image and
then cropping. For scoring, Pillow resizes from a box with fractional edges, like torchvision's Resize and CenterCrop.
For training, torch's kernels for bytes resize from whole pixels, in a third of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from reslab.data.images.jpeg import PixelBox
from reslab.data.images.squares import RESIZES, Resize, contained

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels
Interpolation = Literal["bilinear", "bicubic"]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class View:
    """The square of an image that a network is scored on.

    size            side of the square, in pixels
    shorter         crop: the image's shorter side after resizing, in pixels, at least `size`; otherwise unused
    interpolation   of the resizing, with antialiasing
    resize          "crop", "squash" or "letterbox"
    fill            letterbox: levels of the border, one for each channel
    """

    size: int
    shorter: int
    interpolation: Interpolation = "bilinear"
    resize: Resize = "crop"
    fill: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.resize not in RESIZES or self.interpolation not in FILTERS:
            raise ValueError(f"resize {self.resize!r} or interpolation {self.interpolation!r} is unknown")
        if self.resize == "letterbox" and (len(self.fill) not in (1, 3) or not all(0 <= v < 256 for v in self.fill)):
            raise ValueError(f"fill must have 1 or 3 levels in 0..255, not {self.fill}")

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the view of an image: uint8 [size, size, 3], or [size, size, 1] for a grey image."""
        size, resample = self.size, FILTERS[self.interpolation]
        if self.resize == "letterbox":
            width, height = contained(size, *image.size)
            inner = np.asarray(image.resize((width, height), resample)).reshape(height, width, -1)
            left, top = (size - width) // 2, (size - height) // 2
            return _framed(inner, size, left, top, self.fill)
        if image.size != (size, size) or self.shorter != size:
            box = _box(*image.size, size, self.shorter, 0.5, 0.5) if self.resize == "crop" else None
            image = image.resize((size, size), resample, box=box)
        return np.asarray(image).reshape(size, size, -1)

    def recorded(self) -> dict[str, Any]:
        """Return the fields that matter in plain types; a version without `resize` finds no `shorter` to crop by."""
        if self.resize == "crop":
            return {"size": self.size, "shorter": self.shorter, "interpolation": self.interpolation}
        fill = {"fill": list(self.fill)} if self.resize == "letterbox" else {}
        return {"size": self.size, "interpolation": self.interpolation, "resize": self.resize, **fill}

    @staticmethod
    def of(values: Mapping[str, Any]) -> View:
        """Return the view that `recorded` wrote. Raises KeyError, TypeError or ValueError if that is damaged."""
        resize = values.get("resize", "crop")
        shorter = values["shorter"] if resize == "crop" else values["size"]
        return View(values["size"], shorter, values["interpolation"], resize, tuple(values.get("fill", ())))


def centre_crop(size: int) -> View:
    """Return the view with a shorter side of round(size * 256 / 224), as in the paper's evaluation of ImageNet."""
    return View(size, round(size * 256 / 224))


def view_of(size: int, resize: Resize, fill: tuple[int, ...] = ()) -> View:
    """Return the view of nets trained on image files; `fill` is for letterbox."""
    if resize == "crop":
        return centre_crop(size)
    return View(size, size, resize=resize, fill=fill if resize == "letterbox" else ())


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
    view = _resized(part, size, size)
    return (view.flip(1) if flip else view).numpy()


class Framing:
    """A random training view of a picture; for crop it is `training_view` of `training_box`.

    Otherwise the picture is squashed or letterboxed to a square of round(size * side) pixels, and the view is the
    part of `size` pixels at (top, left) of the possible positions. It is resized from whole pixels of the picture.
    """

    def __init__(self, size: int, resize: Resize, side: float, top: float, left: float) -> None:
        self.size, self.resize, self.side, self.top, self.left = size, resize, side, top, left
        self._place = (0, 0, size, size)

    def box(self, width: int, height: int) -> PixelBox:
        """Return the part of a picture of width x height pixels that is seen, and note its place in the view."""
        if self.resize == "crop":
            return training_box(self.size, self.side, self.top, self.left, width, height)
        most = self.size * 8 // 7  # more would leave out more than an eighth
        outer = min(round(self.size * self.side), most)
        inner = contained(outer, width, height) if self.resize == "letterbox" else (outer, outer)
        x, left = _span(width, inner[0], outer, self.size, self.left)
        y, top = _span(height, inner[1], outer, self.size, self.top)
        self._place = (left[0], top[0], left[1], top[1])
        return x[0], y[0], x[1], y[1]

    def view(self, part: np.ndarray, flip: bool, fill: tuple[int, ...]) -> np.ndarray:
        """Return the view, uint8 [size, size, 3], of the part that the last `box` named, mirrored if `flip`."""
        left, top, right, bottom = self._place
        if self._place == (0, 0, self.size, self.size):
            return training_view(part, self.size, flip)
        view = _framed(_resized(part, right - left, bottom - top).numpy(), self.size, left, top, fill)
        return np.ascontiguousarray(view[:, ::-1]) if flip else view


def _span(edge: int, inner: int, outer: int, size: int, place: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what a window shows of a picture along one axis: (first, end) in the picture, and in the window.

    The picture's `edge` pixels take `inner` in the middle of `outer`; the window has `size` of these, at the share
    `place` of the possible positions.
    """
    start, before = int(place * (outer - size + 1)), (outer - inner) // 2
    low, high = max(before, start), min(before + inner, start + size)
    first = min(round((low - before) * edge / inner), edge - 1)
    end = max(round((high - before) * edge / inner), first + 1)
    return (first, end), (low - start, high - start)


def _framed(inner: np.ndarray, size: int, left: int, top: int, fill: tuple[int, ...]) -> np.ndarray:
    """Return uint8 [size, size, C] of the colour `fill` with `inner` [h, w, C] at (top, left)."""
    height, width, channels = inner.shape
    square = np.empty((size, size, channels), np.uint8)
    square[:] = fill
    square[top : top + height, left : left + width] = inner
    return square


def _resized(part: np.ndarray, width: int, height: int) -> torch.Tensor:
    """Return a part (uint8 [h, w, 3]) resized to uint8 [height, width, 3] with antialiasing."""
    pixels = torch.from_numpy(part[None]).permute(0, 3, 1, 2)
    view = torch.empty(1, height, width, 3, dtype=torch.uint8)
    # The kernel of F.interpolate, but with pixels in the order of a file: F.interpolate converts a single image into
    # planes and takes twice as long (pytorch issue 68430).
    out = view.permute(0, 3, 1, 2)
    torch.ops.aten._upsample_bilinear2d_aa.out(pixels, (height, width), False, None, None, out=out)
    return view[0]


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
