"""Inference in 8 bits with the classes of fp32: close calls are computed again, by a bound from training images.

Again means in bf16 where the CPU has it, and of those the ones that are close for bf16 too in fp32 (`Inference`).
The errors of the logits have a mean other than zero, part of it from bf16; it is measured and subtracted, which takes
the bound from 0.175 to 0.151 for the resnet50 of `benchmarks.int8`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reslab.engines import int8, kept
from reslab.engines.inference import Inference, close_calls, margins, piece_of, unsuitable_reason
from reslab.engines.kept import Calibrated
from reslab.engines.quantise import quantised
from reslab.nets.graph import Graph
from reslab.nets.model import Network
from reslab.nets.row import path_of

FITTED = 256  # training images that weights are fitted to
JUDGED = 512  # others, whose errors give the bound
FEWEST = 100  # images in all
# Bound over the root mean square of these errors, if none of them is larger. They are nearly normal (the largest of 768
# is 3.3 times it, as expected of as many normal ones). With 3.5, one answer in some 700,000 would be missed for a net
# of which a tenth of the images is computed again.
SIGMAS = 3.5
# Range of a map over the one measured: an image whose values are cut off has errors several times as large as others.
HEADROOM = 1.1
BEYOND = 2.0  # images with values so many times the largest of calibration are computed in fp32


class Int8Inference:
    """`inference(images)` gives the logits [B, classes], float32, of images [B, in_channels, S, S]; as `Inference`.

    net          in evaluation mode; do not change it afterwards
    calibration  training images in random order, FEWEST to FITTED + JUDGED. All of them give the ranges of the maps,
                 the first third also the weights and the mean error of the logits. On the others the margin between
                 the two highest logits is compared with fp32's: `bound` is SIGMAS times the root mean square of its
                 errors, or the largest of them, in the unit of `margins`. All this is kept in the user's cache
                 (`engines.kept`)
    inputs       from some of them to the network's input, float32 [B, C, S, S]
    An image whose margin is within the bound is computed again. `seen` and `again` count images.
    `fallback` is the reason that all are computed in fp32, or None.
    """

    precision = "int8"

    @property
    def about(self) -> str:
        """Return in words how many images were computed again, or the `fallback`."""
        return self.fallback or f"{self.again:,} of {self.seen:,} images computed again"

    def __init__(
        self, net: Network, calibration: Sequence[np.ndarray], inputs: Callable[[Sequence[np.ndarray]], Tensor]
    ) -> None:
        self.exact = Inference(net, "fp32")
        self.fallback, self.seen, self.again, self.bound = self.exact.fallback, 0, 0, 0.0
        reason = unsuitable_reason(net, "fp32") or int8.unsuitable_reason()
        if reason:
            self.fallback = f"not quantised, as {reason}: slower, not broken"
        if self.fallback is not None:
            return
        assert len(calibration) >= FEWEST, f"{len(calibration)} images are too few to calibrate on"
        self._finer = self.exact if unsuitable_reason(net, "bf16") else Inference(net, "bf16")
        self._last = net.get_parameter(f"{path_of(net.rows[-1])}.weight").detach()
        graph = net.graph()
        place = kept.place_of(graph, calibration, inputs)
        found = kept.load(place, graph)
        if found is None:
            found = self._calibrated(graph, calibration, inputs)
            kept.save(place, found)
        else:
            self._int8, self._mean = int8.Int8(found.made), torch.from_numpy(found.mean)
        self._largest, self.bound = found.made.largest, found.bound

    def _calibrated(
        self, graph: Graph, calibration: Sequence[np.ndarray], inputs: Callable[[Sequence[np.ndarray]], Tensor]
    ) -> Calibrated:
        """Return the calibration, and set what `_run` needs."""
        count, size = min(FITTED, len(calibration) * FITTED // (FITTED + JUDGED)), piece_of(graph.spec)

        def pieces(images: Sequence[np.ndarray]) -> Iterator[Tensor]:
            return (inputs(images[start : start + size]) for start in range(0, len(images), size))

        fitted, judged = calibration[:count], calibration[count:]
        made = quantised(graph, pieces(fitted), more=pieces(judged), headroom=HEADROOM)
        self._int8, self._mean = int8.Int8(made), torch.zeros(graph.spec.classes)
        self._mean = torch.cat([self._run(piece)[1] - self.exact(piece) for piece in pieces(fitted)]).mean(0)
        bound = 0.0
        if graph.spec.classes > 1:
            errors = torch.cat([self._errors(piece) for piece in pieces(judged)])
            bound = max(float(errors.max()), SIGMAS * float(errors.square().mean().sqrt()))
        return Calibrated(made, self._mean.numpy(), bound)

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (features, logits less the mean of their errors) as computed in 8 bits."""
        features, logits = self._int8.run(images)
        return features, logits - self._mean

    def _errors(self, images: Tensor) -> Tensor:
        """Return by how much 8 bits change the margin of each image's two highest classes, in units."""
        features, logits = self._run(images)
        exact, (a, b) = self.exact(images), logits.topk(2).indices.T
        rows = torch.arange(len(images))
        margin, unit = margins(logits, features, self._last)
        return (margin - (exact[rows, a] - exact[rows, b])).abs() / unit.clamp_min(1e-30)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        size = self.exact.net.spec.image_size
        if self.fallback or images.shape[2:] != (size, size):
            return self.exact(images)
        return torch.cat([self._logits(piece) for piece in images.split(piece_of(self.exact.net.spec))])

    def _logits(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        features, logits = self._run(images)
        beyond = ~(images.flatten(1).abs().amax(1) <= BEYOND * self._largest)
        close = close_calls(logits, features, self._last, self.bound) & ~beyond
        for mask, inference in ((close, self._finer), (beyond, self.exact)):
            if mask.any():
                self.again += int(mask.sum())
                logits[mask] = inference(images[mask])
        return logits
