"""The random choices of augmentation: position of the crop, flip, and size of the resized image.

CIFAR (§4.2 of the paper): 4 pixels of padding on each side, a random 32x32 crop, a random horizontal flip.
ImageNet (§3.4): a random shorter side in [256, 480] for crops of 224, a random crop, a random horizontal flip.
Pictures that are seen whole (squash, letterbox): a random side in [224, 256] of the square, crop and flip as there.
All are pure functions of (seed, epoch, index), so neither the number of workers nor a resume changes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reslab.data.order import integers, random_bits, uniform

SHORTEST, LONGEST = 256 / 224, 480 / 224  # range of the paper's shorter side, in units of the crop's side
CROPPED = (SHORTEST, LONGEST)
WHOLE = (1.0, SHORTEST)  # of pictures that are seen whole: a crop leaves at most an eighth of each side out


class Crops(NamedTuple):
    """Random choices for images padded by `pad`, one entry per sample."""

    dy: np.ndarray
    """int64 [B] in [0, 2 * pad]: first row of the crop in the padded image, pixels"""
    dx: np.ndarray
    """int64 [B] in [0, 2 * pad]: first column of the crop in the padded image, pixels"""
    flip: np.ndarray
    """bool [B]: mirror left and right after the crop"""


class ScaledCrops(NamedTuple):
    """Random choices for images of any size, one entry per sample."""

    side: np.ndarray
    """float64 [B] in `sides`: shorter side after the resize, in units of the crop's side"""
    top: np.ndarray
    """float64 [B] in [0, 1): vertical position of the crop, as a share of the possible ones"""
    left: np.ndarray
    """float64 [B] in [0, 1): horizontal position of the crop, as a share of the possible ones"""
    flip: np.ndarray
    """bool [B]: mirror left and right after the crop"""


def flips(seed: int, epochs: np.ndarray | int, indices: np.ndarray, how: str = "random") -> np.ndarray:
    """Return which samples are mirrored, bool [B].

    how   "random": independent in every epoch. "alternating": random in the first epoch, then changed from epoch to
          epoch, so that a net sees each sample both ways in any two epochs (K. Jordan 2024, "94% on CIFAR-10 in 3.29
          seconds")
    """
    alternating = how == "alternating"
    random_epochs = np.zeros_like(epochs) if alternating else epochs
    flipped: np.ndarray = (random_bits(seed, "flip", random_epochs, indices) >> np.uint64(63)) == 1
    if alternating:
        flipped = flipped ^ (np.asarray(epochs) % 2 == 1)
    return flipped


def crop_flip(seed: int, epochs: np.ndarray | int, indices: np.ndarray, pad: int, flip: str = "random") -> Crops:
    """Return the choices for CIFAR for samples `indices` (int64 [B]) in `epochs` (int64 [B], or one for all).

    flip   see `flips`
    """
    high = 2 * pad + 1
    return Crops(
        integers(seed, "crop-y", epochs, indices, high),
        integers(seed, "crop-x", epochs, indices, high),
        flips(seed, epochs, indices, flip),
    )


def scale_crop_flip(
    seed: int, epochs: np.ndarray | int, indices: np.ndarray, flip: str = "random",
    sides: tuple[float, float] = CROPPED,
) -> ScaledCrops:  # fmt: skip
    """Return the choices for ImageNet; arguments as in `crop_flip`.

    sides   range of the side after the resize, in units of the crop's: CROPPED or WHOLE
    """
    shortest, longest = sides
    side = shortest + (longest - shortest) * uniform(seed, "side", epochs, indices)
    return ScaledCrops(
        side,
        uniform(seed, "crop-y", epochs, indices),
        uniform(seed, "crop-x", epochs, indices),
        flips(seed, epochs, indices, flip),
    )


def windows(padded: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return every crop of every image of `padded` [N, H, W, C] as a view: [N, dy, dx, height, width * C].

    A row of a crop is contiguous, so indexing with (image, dy, dx) copies whole rows, 5 times as fast as gathering
    single pixels.
    """
    n, padded_height, padded_width, channels = padded.shape
    a, b, c, d = padded.strides
    shape = (n, padded_height - height + 1, padded_width - width + 1, height, width * channels)
    return np.lib.stride_tricks.as_strided(padded, shape, (a, b, c, b, d), writeable=False)
