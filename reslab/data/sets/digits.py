"""scikit-learn's embedded digits: 1,797 grey 8x8 images, no file to fetch, with a fixed test split of 500."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reslab.data.splits import Data, Memory, fingerprint, stratified

TEST = 500
CLASSES, CHANNELS, SIZE = tuple("0123456789"), 1, 8


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `digits`: it lies in scikit-learn, and decoding it costs nothing."""
    return digits()


def digits() -> Data:
    """Train 1,297 and test 500 images, uint8 [N, 8, 8, 1], classes "0" .. "9".

    The source counts ink in 0..16; it is scaled to 0..255 by round(v * 255 / 16). The test split is stratified and
    the same for ever (seed 0 of a stream of its own), so results of different runs can be compared.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)[..., None]
    whole = Memory(images, source.target.astype(np.int64))
    test = stratified(whole.labels, TEST, 0, "digits-test")
    return Data(
        name="digits",
        classes=CLASSES,
        channels=CHANNELS,
        size=SIZE,
        train=whole.subset(~test),
        val=None,
        test=whole.subset(test),
        fingerprint=fingerprint([whole.images, whole.labels, test]),
    )
