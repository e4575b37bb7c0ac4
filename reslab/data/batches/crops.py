"""Crop, centre, scale and mirror whole batches of images in memory.

Three implementations with the same bits: `crops.cpp` in one pass over the bytes (a CPU with a C++ compiler), numpy
(without a compiler), and a gather on a GPU, which holds the images so that only the random choices are transferred.
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
"""(rows, dy, dx, mirrored), three int64 [B] and bool [B], to float32 [B, C, H, W] in channels_last: the crops at row dy
and column dx of the padded images. Mean and image are mirrored together, since the mean is subtracted first"""


def crops(images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int, device: str = "cpu") -> Crops:
    """Return the fastest implementation on `device`.

    images   uint8 [N, H, W, C]
    mean     float32 [H, W, C] or [1, 1, C]; `scale`: float32 [C] or [1]
    pad      pixels of border on each side, which are 0 after centring
    """
    mean = np.broadcast_to(mean, images.shape[1:])
    if device != "cpu":
        return DeviceCrops(images, mean, scale, pad, device)
    kind = NumpyCrops if native.unavailable_reason(SOURCE, *FLAGS) else NativeCrops
    return kind(images, mean, scale, pad)


class NativeCrops:
    """Crops by `crops.cpp`, which pads nothing and reads each byte once."""

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
        out = np.empty(shape, np.float32)  # numpy requests large pages
        offsets = (np.ascontiguousarray(a, np.int64) for a in (rows, dy - self._pad, dx - self._pad))
        work = np.empty_like(self._scale)
        arrays = [self._images, self._mean, self._scale, *offsets, np.ascontiguousarray(mirrored, np.uint8)]
        self._crop(*(a.ctypes.data for a in arrays), *shape, out.ctypes.data, work.ctypes.data)
        return torch.from_numpy(out).permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None]:
    crop = native.library(SOURCE, *FLAGS).crop
    crop.argtypes, crop.restype = (*(_P,) * 7, *(_N,) * 4, _P, _P), None
    return crop


def _padded(images: np.ndarray, mean: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and mean with equal padding, so that the border is exactly 0 after centring."""
    border = ((pad, pad), (pad, pad), (0, 0))
    return np.pad(images, ((0, 0), *border)), np.pad(mean, border)


class NumpyCrops:
    """Crops by numpy, from images that are padded once; whole rows are copied."""

    def __init__(self, images: np.ndarray, mean: np.ndarray, scale: np.ndarray, pad: int) -> None:
        _, height, width, _ = self._shape = (-1, *images.shape[1:])
        padded, means = _padded(images, mean, pad)
        self._images, self._means = windows(padded, height, width), windows(means[None], height, width)[0]
        self._scale = torch.tensor(scale)

    def __call__(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(self._images[rows, dy, dx].reshape(self._shape)).float()
        pixels -= torch.from_numpy(self._means[dy, dx]).view_as(pixels)
        pixels /= self._scale
        flipped = torch.from_numpy(np.flatnonzero(mirrored))
        pixels[flipped] = pixels[flipped].flip(2)
        return pixels.permute(0, 3, 1, 2)


class DeviceCrops:
    """Crops on a GPU, which holds the padded images and mean; a batch is one gather of pixels."""

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
        return self.crop(self.to_device(rows, dy, dx, mirrored))

    def to_device(self, rows: np.ndarray, dy: np.ndarray, dx: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """Return the random choices on the device, int64 [3, B], for `crop`; the first row is `rows`."""
        choices = torch.from_numpy(np.stack([rows, dy * self._wide + dx, mirrored]))
        if self._device.startswith("cuda"):
            choices = choices.pin_memory()  # otherwise the CPU waits until the GPU has finished its queue
        return choices.to(self._device, non_blocking=True)

    def crop(self, choices: Tensor) -> Tensor:
        """Return the crops for `choices`, or for a slice of it along the second dimension."""
        row, corner, mirror = choices[:, :, None, None]
        across = torch.where(mirror.bool(), self._across.flip(0), self._across)
        index = corner + self._down + across  # [B, H, W], pixels of a padded image
        pixels = self._images[row * self._area + index].float()
        pixels -= self._means[index]
        pixels /= self._scale
        return pixels.permute(0, 3, 1, 2)
