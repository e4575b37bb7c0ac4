"""An order of samples in which all classes are equally frequent, as a pure function of (seed, position)."""

from __future__ import annotations

import numpy as np

from reslab.data.order import positions, random_bits


class Balanced:
    """The stream of samples of a split, class after class in random order, each class in a random order of its own.

    Each block of as many samples as there are classes has one of each. A small class begins again, shuffled, when all
    its samples have been drawn.
    """

    def __init__(self, labels: np.ndarray, seed: int) -> None:
        """Sort the rows by class; `labels` are int64 [N]. Classes without samples are left out."""
        self.seed = seed
        self.rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def __call__(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (epochs, rows), int64 [count] each, of the samples number start .. start + count - 1.

        The epoch of a sample counts how often its class has begun again.
        """
        classes = len(self.rows)
        rounds, places = np.divmod(np.arange(start, start + count, dtype=np.int64), classes)
        epochs, rows = np.empty(count, np.int64), np.empty(count, np.int64)
        for number in np.unique(rounds):
            order = np.argsort(random_bits(self.seed, "class order", number, np.arange(classes)), kind="stable")
            for k in np.flatnonzero(rounds == number):
                of_class = self.rows[order[places[k]]]
                epoch, row = positions(self.seed, int(number), 1, len(of_class))
                epochs[k], rows[k] = epoch[0], of_class[row[0]]
        return epochs, rows
