"""scikit-learn's digits: 1,797 grey 8x8 images that come with the package, with a fixed test split of 500."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from reslab.data.splits import Data, Memory, fingerprint, stratified

TEST = 500
CLASSES, CHANNELS, SIZE = tuple("0123456789"), 1, 8


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `digits()`, which needs no path; all splits, since decoding takes no time."""
    return digits()


def source() -> tuple[np.ndarray, np.ndarray]:
    """Return ink (float [1797, 8, 8], 0..16) and labels [1797], as `sklearn.datasets.load_digits` does.

    Reads scikit-learn's file directly if it is in its usual place: importing scikit-learn, and with it SciPy, takes
    longer than the rest of the start of a small run.
    """
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else Path("nowhere")
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :-1].reshape(-1, SIZE, SIZE), rows[:, -1]
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


def digits() -> Data:
    """Return 1,297 training and 500 test images, uint8 [N, 8, 8, 1], classes "0" .. "9".

    Ink in 0..16 is scaled to 0..255 by round(v * 255 / 16). The test split is stratified and never changes (seed 0 of
    its own stream), so results of different runs can be compared.
    """
    ink, labels = source()
    images = Memory(np.rint(ink * (255 / 16)).astype(np.uint8)[..., None], labels.astype(np.int64))
    test = stratified(images.labels, TEST, 0, "digits-test")
    return Data(
        name="digits",
        classes=CLASSES,
        channels=CHANNELS,
        size=SIZE,
        train=images.subset(~test),
        val=None,
        test=images.subset(test),
        fingerprint=fingerprint([images.images, images.labels, test]),
    )
