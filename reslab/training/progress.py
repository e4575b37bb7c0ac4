"""Running loss, error and speed of a training run: summed on the device, and read only when logged."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Sums:
    """Loss (summed over samples), misclassified and seen samples since the last read.

    values   float64 [3] on the run's device, so that adding does not wait for a GPU
    """

    values: Tensor

    @staticmethod
    def fresh(device: str) -> Sums:
        return Sums(torch.zeros(3, dtype=torch.float64, device=device))

    def add(self, loss: Tensor, wrong: Tensor, count: int) -> None:
        self.values[0] += loss.double() * count
        self.values[1] += wrong
        self.values[2] += count

    @property
    def finite(self) -> bool:
        return bool(torch.isfinite(self.values).all())

    def take(self) -> tuple[float, float, int]:
        """Return (mean loss, error in percent, samples) and set the sums to 0."""
        loss, wrong, count = self.values.tolist()
        self.values.zero_()
        return loss / max(count, 1), 100.0 * wrong / max(count, 1), int(count)


class Clock:
    """Images per second, share of time waiting for data, and time left; measuring and saving do not count as rate."""

    def __init__(self, start: int) -> None:
        self.begin = self.mark = time.perf_counter()
        self.start, self.paused = start, 0.0
        self.busy = self.waiting = 0.0
        self.images = 0

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self.mark = now - self.mark, now
        return lap

    def pause(self) -> None:
        self.paused += self._lap()

    def waited(self) -> None:
        self.waiting += self._lap()

    def stepped(self, images: int) -> None:
        self.busy += self._lap()
        self.images += images

    def total(self) -> float:
        return time.perf_counter() - self.begin

    def read(self, iteration: int, iterations: int) -> dict[str, float]:
        """Return images per second and share of waiting since the last read, seconds so far, and seconds left."""
        spent = self.busy + self.waiting
        timing = {
            "seconds": round(self.total(), 3),
            "rate": round(self.images / max(spent, 1e-9), 1),
            "data_wait": round(self.waiting / max(spent, 1e-9), 4),
            "left": round(self.total() / max(iteration - self.start, 1) * (iterations - iteration), 1),
        }
        self.busy = self.waiting = 0.0
        self.images = 0
        return timing
