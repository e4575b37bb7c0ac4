"""scikit-learn's embedded digits: 1,797 grey 8x8 images, no file to fetch, with a fixed test split of 500."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from reslab.data.splits import Data, Memory, fingerprint, stratified

TEST = 500
CLASSES, CHANNELS, SIZE = tuple("0123456789"), 1, 8


def read(path: str | Path | None, splits: Sequence[str]) -> Data:
    """Return `digits`: it lies in scikit-learn, and decoding it costs nothing."""
    return digits()


def source() -> tuple[np.ndarray, np.ndarray]:
    """Ink (float [1797, 8, 8], 0..16) and labels ([1797]) as `sklearn.datasets.load_digits` gives them.

    From scikit-learn's own file, where that lies as it does today: to import scikit-learn, and SciPy with it, takes
    longer than all else of a small run's start.
    """
    found = find_spec("sklearn")
    file = Path(found.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if found else Path("nowhere")
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :-1].reshape(-1, SIZE, SIZE), rows[:, -1]
    from sklearn.datasets import load_digits

    there = load_digits()
    return there.images, there.target


def digits() -> Data:
    """Train 1,297 and test 500 images, uint8 [N, 8, 8, 1], classes "0" .. "9".

    The source counts ink in 0..16; it is scaled to 0..255 by round(v * 255 / 16). The test split is stratified and
    the same for ever (seed 0 of a stream of its own), so results of different runs can be compared.
    """
    ink, labels = source()
    whole = Memory(np.rint(ink * (255 / 16)).astype(np.uint8)[..., None], labels.astype(np.int64))
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
