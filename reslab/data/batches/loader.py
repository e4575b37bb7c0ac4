"""Batches of a split as network inputs: order, augmentation, statistics.

Sets in memory become whole batches at once (`crops`), without workers, Pillow or a Python loop over images. Files are
decoded by worker processes. Both are pure functions of (seed, iteration), so a run that resumes, or has another number
of workers, sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from reslab.data.batches.augment import crop_flip, scale_crop_flip
from reslab.data.batches.crops import DeviceCrops, crops
from reslab.data.batches.views import View, centre_crop, in_channels, training_box, training_view
from reslab.data.batches.workers import Item, Views, decode
from reslab.data.images.decode import BadImage, read, read_part
from reslab.data.order import batches_per_epoch, positions_of
from reslab.data.splits import Files, Memory, Split
from reslab.errors import UserError

AUGMENTS = ("crop-flip", "crop", "none")
FLIPS = ("random", "alternating")
CENTRES = ("pixel", "channel")
SCALES = ("std", "channel-std", "255", "none")
_CHUNK = 200  # images per step of a sum; bounds memory, and integer sums do not depend on it
_BLOCK = 64  # batches whose random choices are made together for a GPU; one by one they take as long as its updates
_SAMPLE = 2000  # files that are read for the statistics of a folder


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and scale of the inputs: (pixel - mean) / scale."""

    mean: np.ndarray
    """float32 [H, W, C] (a mean image) or [1, 1, C], in pixel units 0..255"""
    scale: np.ndarray
    """float32 [C] or [1], in pixel units, never zero"""


@dataclass(frozen=True, eq=False)
class Batch:
    """The input of one update."""

    images: torch.Tensor
    """float32 [B, C, H, W] in channels_last layout, centred and scaled"""
    labels: torch.Tensor
    """int64 [B]"""
    indices: np.ndarray
    """int64 [B], rows of the split"""


def statistics(split: Split, centre: str = "pixel", scale: str = "std") -> Statistics:
    """Return mean and scale of a split, which must be the training split.

    centre   "pixel" (the paper's mean image) or "channel"
    scale    "std" (one number: standard deviation of the centred pixels), "channel-std" (one per channel), "255" (the
             range) or "none" (1)
    Sums are exact integers, then float64. If all pixels are equal, the scale is 1. For Files it reads the evaluation
    views of at most 2,000 evenly spaced images. Raises UserError for an unknown choice or an empty split.
    """
    _check_choice("centre", centre, CENTRES)
    _check_choice("scale", scale, SCALES)
    if not len(split):
        raise UserError("statistics: the training split is empty")
    total, squares, n = _sums(split)
    mean_image = total / n  # float64 [H, W, C]
    mean = mean_image if centre == "pixel" else mean_image.mean((0, 1), keepdims=True)
    # E[(x - m)²] = E[x²] - 2 m E[x] + m² holds for a mean image and for a channel mean.
    variance = np.maximum(squares / n - 2 * mean * mean_image + mean**2, 0).mean((0, 1))  # [C]
    deviations = {"std": np.sqrt(variance.mean(keepdims=True)), "channel-std": np.sqrt(variance)}
    divisor = deviations.get(scale, np.array([255.0 if scale == "255" else 1.0]))
    divisor = np.where(divisor > 1e-5, divisor, 1.0)
    return Statistics(mean.astype(np.float32), divisor.astype(np.float32))


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{key}: {value!r} is unknown; choose one of {', '.join(choices)}")


def _sums(split: Split) -> tuple[np.ndarray, np.ndarray, int]:
    """Return sum and sum of squares over the images, int64 [H, W, C] each, and the number of images."""
    n = len(split) if isinstance(split, Memory) else min(len(split), _SAMPLE)
    total = squares = np.zeros((), np.int64)
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        chunk = split.images[rows] if isinstance(split, Memory) else _stack(split, rows * len(split) // n)
        pixels = chunk.astype(np.uint16)  # holds 255 ** 2
        total = total + pixels.sum(0, dtype=np.int64)
        squares = squares + (pixels * pixels).sum(0, dtype=np.int64)
    return total, squares, n


def _stack(split: Files, rows: np.ndarray, view: View | None = None) -> np.ndarray:
    """Return the views of `rows` (int64 [B]), uint8 [B, size, size, C]; default: centre crops. Raises BadImage."""
    views = np.stack([(view or centre_crop(split.size))(read(split.paths[row], levels=split.levels)) for row in rows])
    return in_channels(views, split.channels)


class TrainLoader:
    """Batches of a training split; order and augmentation depend only on (seed, iteration)."""

    def __init__(
        self,
        split: Split,
        statistics: Statistics,
        *,
        seed: int,
        batch: int,
        augment: str,
        pad: int,
        last_batch: str,
        workers: int = 0,
        flip: str = "random",
        small: tuple[int, int] = (0, 0),
        device: str = "cpu",
    ) -> None:
        """Check the arguments and prepare the crops.

        augment      "crop-flip" (pad by `pad` pixels that are 0 after centring, crop, mirror), "crop" or "none". Files
                     are cropped as ImageNet in the paper: random shorter side of 256/224 to 480/224 of the target,
                     random position, no padding
        last_batch   see `order.batch_span`; `flip`: see `augment.flips`
        workers      processes that decode Files; sets in memory need none
        small        (pixels per side, iteration): before that iteration images are shrunk to this size
        device       holds a set in memory and makes its batches; decoded Files come from the CPU
        Raises UserError for an unknown choice or a batch that gives no iteration.
        """
        _check_choice("augment", augment, AUGMENTS)
        _check_choice("flip", flip, FLIPS)
        if pad < 0 or workers < 0:
            raise UserError(f"pad and workers must be at least 0, not {pad} and {workers}")
        batches_per_epoch(batch, len(split), last_batch)  # raises before the first iteration
        self.split, self.statistics, self.flip, self.small = split, statistics, flip, small
        self.seed, self.batch, self.augment, self.last_batch = seed, batch, augment, last_batch
        self.pad, self.workers = pad if augment != "none" else 0, workers
        self._labels = torch.tensor(split.labels)
        if isinstance(split, Memory):
            self._labels = self._labels.to(device)
            self._crops = crops(split.images, statistics.mean, statistics.scale, self.pad, device)

    def at(self, iteration: int) -> Batch:
        """Return the batch of `iteration` (from 0), made in this process. Raises BadImage for a damaged file."""
        if isinstance(self.split, Files):
            return self._shrunk(_batch(Views(self._views)[iteration], self.statistics, self._labels), iteration)
        epochs, rows = positions_of(self.seed, iteration, self.batch, len(self.split), self.last_batch)
        labels = self._labels[torch.from_numpy(rows).to(self._labels.device)]
        batch = Batch(self._crops(rows, *self._choices(epochs, rows)), labels, rows)
        return self._shrunk(batch, iteration)

    def _choices(self, epochs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the crops' positions (dy, dx: int64 [B] each; 0 without padding) and the flips (bool [B])."""
        dy, dx, flip = crop_flip(self.seed, epochs, rows, self.pad, self.flip)
        return dy, dx, flip & (self.augment == "crop-flip")

    def _shrunk(self, batch: Batch, iteration: int) -> Batch:
        size, until = self.small
        if not size or iteration >= until:
            return batch
        images = F.interpolate(batch.images, size=(size, size), mode="bilinear", antialias=True)
        return replace(batch, images=images.contiguous(memory_format=torch.channels_last))

    def stream(self, start_iteration: int, stop_iteration: int) -> Iterator[Batch]:
        """Yield the batches of the iterations start .. stop - 1 in order; Files are decoded by `workers` processes."""
        iterations = range(start_iteration, stop_iteration)
        if isinstance(self.split, Memory):
            if isinstance(self._crops, DeviceCrops):
                yield from self._on_device(self._crops, iterations)
            else:
                yield from map(self.at, iterations)
            return
        for iteration, item in zip(iterations, decode(self._views, iterations, self.workers), strict=True):
            yield self._shrunk(_batch(item, self.statistics, self._labels), iteration)

    def _on_device(self, crops: DeviceCrops, iterations: range) -> Iterator[Batch]:
        """Yield the batches of `at`, with the random choices of many batches made and transferred together."""
        for first in iterations[::_BLOCK]:
            block = range(first, min(first + _BLOCK, iterations.stop))
            n = len(self.split)
            positions = [positions_of(self.seed, i, self.batch, n, self.last_batch) for i in block]
            epochs, rows = (np.concatenate(parts) for parts in zip(*positions, strict=True))
            choices = crops.to_device(rows, *self._choices(epochs, rows))
            start = 0
            for iteration, (_, batch_rows) in zip(block, positions, strict=True):
                part = choices[:, start : start + len(batch_rows)]
                start += len(batch_rows)
                yield self._shrunk(Batch(crops.crop(part), self._labels[part[0]], batch_rows), iteration)

    def _views(self, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the decoded, cropped files of an iteration (uint8 [B, size, size, C]) and their rows (int64 [B])."""
        assert isinstance(self.split, Files)
        epochs, rows = positions_of(self.seed, iteration, self.batch, len(self.split), self.last_batch)
        if self.augment == "none":
            return _stack(self.split, rows), rows
        views, mirrors, levels = [], self.augment == "crop-flip", self.split.levels
        for row, side, top, left, flip in zip(rows, *scale_crop_flip(self.seed, epochs, rows, self.flip), strict=True):
            box_of = partial(training_box, self.split.size, side, top, left)
            part = read_part(self.split.paths[row], box_of, min_side=round(self.split.size * side), levels=levels)
            views.append(training_view(part, self.split.size, bool(flip) and mirrors))
        return in_channels(np.stack(views), self.split.channels), rows


def evaluation_batches(
    split: Split, statistics: Statistics, batch: int, workers: int = 0, view: View | None = None
) -> Iterator[Batch]:
    """Yield every sample once, in index order, not augmented; the last batch may be shorter. Raises BadImage.

    view   of each of Files, by default `centre_crop`; images in memory are taken as they are
    """
    labels = torch.tensor(split.labels)
    if isinstance(split, Memory):
        for start in range(0, len(split), batch):
            pixels = torch.tensor(split.images[start : start + batch])
            yield _batch((pixels, torch.arange(start, start + len(pixels))), statistics, labels)
    else:
        for item in decode(partial(_evaluation_views, split, batch, view), range(-(-len(split) // batch)), workers):
            yield _batch(item, statistics, labels)


def _evaluation_views(split: Files, batch: int, view: View | None, number: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(split))[number * batch : (number + 1) * batch]
    return _stack(split, rows, view), rows


def _batch(item: Item, statistics: Statistics, labels: torch.Tensor) -> Batch:
    if isinstance(item, BadImage):
        raise item
    pixels, rows = item
    return Batch(_centred(pixels, statistics), labels[rows], rows.numpy())


def centred(images: Sequence[np.ndarray], statistics: Statistics) -> torch.Tensor:
    """Return views (uint8 [H, W, C]) as network inputs: float32 [B, C, H, W] in channels_last, centred and scaled."""
    return _centred(torch.from_numpy(np.stack(images)), statistics)


def _centred(pixels: torch.Tensor, statistics: Statistics) -> torch.Tensor:
    # Mean and scale at full size: broadcasting over a last dimension of three channels is several times slower.
    mean, scale = (np.broadcast_to(s, pixels.shape[1:]).copy() for s in (statistics.mean, statistics.scale))
    # numpy requests large pages; memory from torch costs a page fault every 4 kB, five times the arithmetic.
    inputs = torch.from_numpy(np.empty(pixels.shape, np.float32))
    torch.sub(pixels, torch.from_numpy(mean), out=inputs)
    inputs /= torch.from_numpy(scale)
    return inputs.permute(0, 3, 1, 2)
