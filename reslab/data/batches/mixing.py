"""Mix a batch with itself: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019), as pure functions of the iteration.

Each image meets the one before it in the batch, which is in random order. Images are mixed after centring, which
changes nothing: the mean cancels out.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reslab.data.order import random_bits


def mixed(
    images: Tensor, labels: Tensor, classes: int, mixup: float, cutmix: float, seed: int, iteration: int
) -> tuple[Tensor, Tensor]:
    """Return images [B, C, H, W], each mixed with the one before it, and label shares, float32 [B, classes].

    labels          int64 [B]
    mixup, cutmix   parameter of the Beta distribution of the share of the image before; 0: not in this way. With both,
                    each iteration takes one of them, at even odds
    """
    generator = np.random.default_rng(int(random_bits(seed, "mixing", 0, iteration)))
    by_pixels = mixup > 0 and (not cutmix or generator.random() < 0.5)
    shape = mixup if by_pixels else cutmix
    share = float(generator.beta(shape, shape))
    others = images.roll(1, 0)
    if by_pixels:
        images = torch.lerp(images, others, share)
    else:
        height, width = images.shape[2:]
        tall, wide = round(height * share**0.5), round(width * share**0.5)
        top, left = int(generator.integers(0, height - tall + 1)), int(generator.integers(0, width - wide + 1))
        rows, columns = slice(top, top + tall), slice(left, left + wide)
        images = images.clone(memory_format=torch.preserve_format)
        images[:, :, rows, columns] = others[:, :, rows, columns]
        share = tall * wide / (height * width)
    shares = F.one_hot(labels, classes).float()
    return images, torch.lerp(shares, shares.roll(1, 0), share)
