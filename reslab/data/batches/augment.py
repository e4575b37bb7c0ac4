"""The random draws of augmentation, apart from their application: where to crop, whether to flip, how large to resize.

CIFAR (§4.2 of the paper): 4 pixels padded on each side, a random 32x32 crop, a random horizontal flip.
ImageNet (§3.4): the shorter side drawn from [256, 480] for crops of 224, a random crop, a random horizontal flip.
Both are pure functions of (seed, epoch, index), so neither workers nor interruptions can change them. `windows` is
the table in which a crop that was drawn is looked up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reslab.data.order import draw, integers, uniform

SHORTEST, LONGEST = 256 / 224, 480 / 224  # the paper's shorter sides, in units of the crop's side


class Crops(NamedTuple):
    """Draws for images padded by `pad`, one entry per sample."""

    dy: np.ndarray
    """int64 [B] in [0, 2 * pad]: first row of the crop in the padded image, pixels"""
    dx: np.ndarray
    """int64 [B] in [0, 2 * pad]: first column of the crop in the padded image, pixels"""
    flip: np.ndarray
    """bool [B]: mirror left and right after the crop"""


class ScaledCrops(NamedTuple):
    """Draws for images of any size, one entry per sample."""

    side: np.ndarray
    """float64 [B] in [256/224, 480/224): shorter side after the resize, in units of the crop's side"""
    top: np.ndarray
    """float64 [B] in [0, 1): position of the crop among the possible rows"""
    left: np.ndarray
    """float64 [B] in [0, 1): position of the crop among the possible columns"""
    flip: np.ndarray
    """bool [B]: mirror left and right after the crop"""


def flips(seed: int, epochs: np.ndarray | int, indices: np.ndarray, how: str = "random") -> np.ndarray:
    """bool [B]: "random", drawn in every epoch; or "alternating", drawn once, and changed from epoch to epoch.

    Alternating, a net sees each sample both ways in any two epochs (K. Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
    """
    alternating = how == "alternating"
    epoch_drawn = np.zeros_like(epochs) if alternating else epochs
    flipped: np.ndarray = (draw(seed, "flip", epoch_drawn, indices) >> np.uint64(63)) == 1
    if alternating:
        flipped = flipped ^ (np.asarray(epochs) % 2 == 1)
    return flipped


def crop_flip(seed: int, epochs: np.ndarray | int, indices: np.ndarray, pad: int, flip: str = "random") -> Crops:
    """The paper's CIFAR draws for samples `indices` (int64 [B]) in `epochs` (int64 [B] or one); `flip`: see `flips`."""
    high = 2 * pad + 1
    return Crops(
        integers(seed, "crop-y", epochs, indices, high),
        integers(seed, "crop-x", epochs, indices, high),
        flips(seed, epochs, indices, flip),
    )


def scale_crop_flip(seed: int, epochs: np.ndarray | int, indices: np.ndarray, flip: str = "random") -> ScaledCrops:
    """The paper's ImageNet draws, otherwise as `crop_flip`."""
    side = SHORTEST + (LONGEST - SHORTEST) * uniform(seed, "side", epochs, indices)
    return ScaledCrops(
        side,
        uniform(seed, "crop-y", epochs, indices),
        uniform(seed, "crop-x", epochs, indices),
        flips(seed, epochs, indices, flip),
    )


def windows(padded: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every crop of every image, as a view: [N, places, places, height, width * C] without a copy.

    Rows of a crop are contiguous bytes, so indexing with (image, dy, dx) copies whole rows: 5x faster than a gather
    of single pixels.
    """
    n, high, wide, channels = padded.shape
    a, b, c, d = padded.strides
    shape = (n, high - height + 1, wide - width + 1, height, width * channels)
    return np.lib.stride_tricks.as_strided(padded, shape, (a, b, c, b, d), writeable=False)
