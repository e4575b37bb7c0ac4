"""TrivialAugment (Müller, Hutter 2021: one random operation of random strength), by torchvision."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch


def trivially_augmented(pixels: np.ndarray, fill: int, bits: int) -> np.ndarray:
    """Return an image, uint8 [H, W, 1 or 3], after one operation that `bits` choose.

    fill   level of the pixels that are moved into the image
    A pure function of its arguments: torch's generator is as it was afterwards.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(bits % 2**63)
    try:
        image = _augment(fill)(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))
    finally:
        generator.set_state(state)
    augmented: np.ndarray = image.permute(1, 2, 0).contiguous().numpy()
    return augmented


@lru_cache(maxsize=4)
def _augment(fill: int) -> Any:
    from torchvision.transforms import InterpolationMode, v2  # a second, for the recipes that need it

    return v2.TrivialAugmentWide(fill=fill, interpolation=InterpolationMode.BILINEAR)
