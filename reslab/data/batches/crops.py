"""Images in memory made into inputs as whole batches: cropped at drawn places, centred, scaled, mirrored.

Three ways to the same bits: one pass over the bytes by `crops.cpp` (a CPU with a C++ compiler), rows gathered by numpy
(without one), one gather on an accelerator, where the images stay, so that only the draws travel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reslab.data.batches.augment import windows
from reslab.store import native

SOURCE, FLAGS = Path(__file__).with_suffix(".cpp"), ("-O3", "-march=native", "-ffp-contract=off")
_P, _N = ctypes.c_void_p, ctypes.c_long

Crops = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Tensor]
"""(rows, dy, dx, mirrored), int64 [B] and bool [B], to float32 [B, C, H, W] in channels_last: crops at row dy and
column dx of images with a border of zeros, mirrored once they are centred, as the paper's mean is with its image"""


def crops(images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int, device: str = "cpu") -> Crops:
    """The fastest way on `device`. images uint8 [N, H, W, C]; mean float32 [H, W, C] or [1, 1, C]; scale [C] or [1].

    The border of `pad` pixels is exactly 0 behind the centring.
    """
    mean = np.broadcast_to(mean, images.shape[1:])
    if device != "cpu":
        return OnDevice(images, mean, scale, pad, device)
    way = ByRows if native.unavailable_reason(SOURCE, *FLAGS) else InOnePass
    return way(images, mean, scale, pad)


class InOnePass:
    """By `crops.cpp`: nothing is padded, nothing is read twice."""

    def __init__(self, images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int) -> None:
        self._images, self._mean, self._pad = np.ascontiguousarray(images), np.ascontiguousarray(mean, np.float32), pad
        _, self._height, self._width, self._channels = images.shape
        shape = (self._width, self._channels)
        self._scale = np.ascontiguousarray(np.broadcast_to(scale, shape), np.float32)
        self._crop = _kernel()

    def __call__(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        if not len(rows) == len(dy) == len(dx) == len(mirrored):
            raise IndexError(f"{len(rows)} rows, {len(dy)} and {len(dx)} places, {len(mirrored)} mirrored or not")
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._images):
            raise IndexError(f"rows must be 0 .. {len(self._images) - 1}, not {rows.min()} .. {rows.max()}")
        shape = (len(rows), self._height, self._width, self._channels)
        out = np.empty(shape, np.float32)  # numpy asks the system for large pages
        places = (np.ascontiguousarray(a, np.int64) for a in (rows, dy - self._pad, dx - self._pad))
        work = np.empty_like(self._scale)
        arrays = [self._images, self._mean, self._scale, *places, np.ascontiguousarray(mirrored, np.uint8)]
        self._crop(*(a.ctypes.data for a in arrays), *shape, out.ctypes.data, work.ctypes.data)
        return torch.from_numpy(out).permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None]:
    crop = native.library(SOURCE, *FLAGS).crop
    crop.argtypes, crop.restype = (*(_P,) * 7, *(_N,) * 4, _P, _P), None
    return crop


def _padded(images: np.ndarray, mean: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and mean padded alike: the border is exactly 0 once the mean is subtracted."""
    border = ((pad, pad), (pad, pad), (0, 0))
    return np.pad(images, ((0, 0), *border)), np.pad(mean, border)


class ByRows:
    """By numpy, on images that were padded once; rows of a crop are gathered as bytes."""

    def __init__(self, images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int) -> None:
        _, height, width, _ = self._shape = (-1, *images.shape[1:])
        padded, means = _padded(images, mean, pad)
        self._images, self._means = windows(padded, height, width), windows(means[None], height, width)[0]
        self._scale = torch.tensor(scale)

    def __call__(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(self._images[rows, dy, dx].reshape(self._shape)).float()
        pixels -= torch.from_numpy(self._means[dy, dx]).view_as(pixels)
        pixels /= self._scale
        which = torch.from_numpy(np.flatnonzero(mirrored))
        pixels[which] = pixels[which].flip(2)
        return pixels.permute(0, 3, 1, 2)


class OnDevice:
    """Images and mean stay on `device` with their border; a batch is one gather of pixels there."""

    def __init__(self, images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int, device: str) -> None:
        _, height, width, channels = images.shape
        self._wide, self._area = width + 2 * pad, (height + 2 * pad) * (width + 2 * pad)
        padded, means = (torch.from_numpy(array).to(device) for array in _padded(images, mean, pad))
        self._images, self._means = padded.view(-1, channels), means.view(-1, channels)
        self._scale = torch.tensor(scale, device=device)
        self._down = torch.arange(height, device=device)[:, None] * self._wide
        self._across = torch.arange(width, device=device)
        self._device = device

    def __call__(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        return self.cut(self.sent(rows, dy, dx, mirrored))

    def sent(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """The draws on the device, int64 [3, B], for `cut`; the first row holds `rows`."""
        drawn = torch.from_numpy(np.stack([rows, dy * self._wide + dx, mirrored]))
        if self._device.startswith("cuda"):
            drawn = drawn.pin_memory()  # or the CPU would wait until the GPU has done all that it was given
        return drawn.to(self._device, non_blocking=True)

    def cut(self, drawn: Tensor) -> Tensor:
        """The images of `drawn`, or of a slice of it along its second dimension."""
        row, corner, mirror = drawn[:, :, None, None]
        across = torch.where(mirror.bool(), self._across.flip(0), self._across)
        place = corner + self._down + across  # [B, H, W], pixels of a padded image
        pixels = self._images[row * self._area + place].float()
        pixels -= self._means[place]
        pixels /= self._scale
        return pixels.permute(0, 3, 1, 2)
