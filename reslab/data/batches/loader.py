"""From a split to batches on the way into the network: order, augmentation, statistics, one `Batch` type.

Sets in memory become whole batches at once (`crops`): no worker, no Pillow, no loop over images in Python. Files go
through worker processes. Both are pure functions of (seed, iteration), so a run that starts in the middle, or with
another number of workers, sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from reslab.data.batches.augment import crop_flip, scale_crop_flip
from reslab.data.batches.crops import OnDevice, crops
from reslab.data.batches.views import evaluation_view, training_place, training_view
from reslab.data.batches.workers import Item, Views, decode
from reslab.data.images.decode import BadImage, read, read_part
from reslab.data.order import batches_per_epoch, positions_of
from reslab.data.splits import Files, Memory, Split
from reslab.errors import UserError

AUGMENTS = ("crop-flip", "crop", "none")
FLIPS = ("random", "alternating")
CENTRES = ("pixel", "channel")
SCALES = ("std", "channel-std", "255", "none")
_CHUNK = 200  # images per step of a sum: bounds memory, cannot change an integer sum
_DRAWN = 64  # batches drawn at once for a device: one by one, drawing takes as long as a GPU trains on what was drawn
_SAMPLE = 2000  # files looked at for the statistics of a folder


@dataclass(frozen=True, eq=False)
class Statistics:
    """What turns pixels into inputs: (pixel - mean) / scale."""

    mean: np.ndarray
    """float32 [H, W, C] (a mean image) or [1, 1, C], in pixel units 0..255"""
    scale: np.ndarray
    """float32 [C] or [1], in pixel units, never zero"""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step reads."""

    images: torch.Tensor
    """float32 [B, C, H, W] in channels_last layout, centred and scaled"""
    labels: torch.Tensor
    """int64 [B]"""
    indices: np.ndarray
    """int64 [B], rows of the split"""


def statistics(split: Split, centre: str = "pixel", scale: str = "std") -> Statistics:
    """Mean and scale of a split (pass the training split, never another).

    `centre`: "pixel" (the paper's mean image) or "channel". `scale`: "std" (one scalar: standard deviation of the
    centred pixels), "channel-std" (one per channel), "255" (the range) or "none" (1). Sums are exact integers, then
    float64. Where all pixels are equal the deviation is 0 and the scale becomes 1. Files: over the evaluation view of
    at most 2,000 evenly spaced images. Raises UserError for an unknown choice or an empty split.
    """
    _known("centre", centre, CENTRES)
    _known("scale", scale, SCALES)
    if not len(split):
        raise UserError("statistics: the training split is empty")
    total, squares, n = _sums(split)
    first = total / n  # float64 [H, W, C]
    mean = first if centre == "pixel" else first.mean((0, 1), keepdims=True)
    # E[(x - m)²] = E[x²] - 2 m E[x] + m², for a mean image and for a channel mean alike.
    spread = np.maximum(squares / n - 2 * mean * first + mean**2, 0).mean((0, 1))  # [C]
    sizes = {"std": np.sqrt(spread.mean(keepdims=True)), "channel-std": np.sqrt(spread)}
    divisor = sizes.get(scale, np.array([255.0 if scale == "255" else 1.0]))
    divisor = np.where(divisor > 1e-5, divisor, 1.0)
    return Statistics(mean.astype(np.float32), divisor.astype(np.float32))


def _known(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{key}: {value!r} is unknown; choose one of {', '.join(known)}")


def _sums(split: Split) -> tuple[np.ndarray, np.ndarray, int]:
    """Sum and sum of squares of every pixel, int64 [H, W, C], and the number of images."""
    n = len(split) if isinstance(split, Memory) else min(len(split), _SAMPLE)
    total = squares = np.zeros((), np.int64)
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        chunk = split.images[rows] if isinstance(split, Memory) else _stack(split, rows * len(split) // n)
        wide = chunk.astype(np.uint16)  # 255 ** 2 fits
        total = total + wide.sum(0, dtype=np.int64)
        squares = squares + (wide * wide).sum(0, dtype=np.int64)
    return total, squares, n


def _stack(split: Files, rows: np.ndarray) -> np.ndarray:
    """The evaluation views of `rows` (int64 [B]): uint8 [B, size, size, 3]. Raises BadImage."""
    return np.stack([evaluation_view(read(split.paths[row]), split.size) for row in rows])


class TrainLoader:
    """Batches of a training split, in an order and with an augmentation that depend on (seed, iteration) alone."""

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
        """`augment`: "crop-flip" (pad by `pad` pixels of zeros after centring, crop, mirror), "crop" or "none".

        For Files the crop is the paper's: shorter side drawn from [256, 480] / 224 of the target, random position;
        `pad` is not used. `last_batch`: see `order.batch_span`. `workers`: processes that decode Files; sets in
        memory need none. `flip`: "random" or "alternating", see `augment.flips`. `small`: (pixels a side, iteration),
        the size that images are shrunk to before that iteration. `device`: where batches of sets in memory are made
        and the set stays; decoded Files come from the CPU. Raises UserError for an unknown choice or a batch that
        gives no step.
        """
        _known("augment", augment, AUGMENTS)
        _known("flip", flip, FLIPS)
        if pad < 0 or workers < 0:
            raise UserError(f"pad and workers must be at least 0, not {pad} and {workers}")
        batches_per_epoch(batch, len(split), last_batch)  # refuses before the first step
        self.split, self.statistics = split, statistics
        self.seed, self.batch, self.augment, self.last_batch = seed, batch, augment, last_batch
        self.flip, self.small = flip, small
        self.pad, self.workers = pad if augment != "none" else 0, workers
        self._labels = torch.tensor(split.labels)
        if isinstance(split, Memory):
            self._labels = self._labels.to(device)
            self._crops = crops(split.images, statistics.mean, statistics.scale, self.pad, device)

    def at(self, iteration: int) -> Batch:
        """The batch of iteration `iteration` (from 0), made in this process. Raises BadImage for a damaged file."""
        if isinstance(self.split, Files):
            return self._shrunk(_batch(Views(self._views)[iteration], self.statistics, self._labels), iteration)
        epochs, rows = positions_of(self.seed, iteration, self.batch, len(self.split), self.last_batch)
        labels = self._labels[torch.from_numpy(rows).to(self._labels.device)]
        batch = Batch(self._crops(rows, *self._places(epochs, rows)), labels, rows)
        return self._shrunk(batch, iteration)

    def _places(self, epochs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where samples are cropped (int64 [B] twice) and which of them are mirrored (bool [B])."""
        # without padding there is one place: (0, 0)
        dy, dx, flip = crop_flip(self.seed, epochs, rows, self.pad, self.flip)
        return dy, dx, flip & (self.augment == "crop-flip")

    def _shrunk(self, batch: Batch, iteration: int) -> Batch:
        size, until = self.small
        if not size or iteration >= until:
            return batch
        images = F.interpolate(batch.images, size=(size, size), mode="bilinear", antialias=True)
        return replace(batch, images=images.contiguous(memory_format=torch.channels_last))

    def stream(self, start_iteration: int, stop_iteration: int) -> Iterator[Batch]:
        """The batches of iterations start .. stop - 1, in order; Files are decoded by `workers` processes."""
        numbers = range(start_iteration, stop_iteration)
        if isinstance(self.split, Memory):
            cut = self._crops
            yield from self._on_device(cut, numbers) if isinstance(cut, OnDevice) else map(self.at, numbers)
            return
        for number, item in zip(numbers, decode(self._views, numbers, self.workers), strict=True):
            yield self._shrunk(_batch(item, self.statistics, self._labels), number)

    def _on_device(self, crops: OnDevice, numbers: range) -> Iterator[Batch]:
        """The batches that `at` gives; many are drawn at once."""
        for first in numbers[::_DRAWN]:
            block = range(first, min(first + _DRAWN, numbers.stop))
            n = len(self.split)
            drawn = [positions_of(self.seed, i, self.batch, n, self.last_batch) for i in block]
            epochs, rows = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
            sent = crops.sent(rows, *self._places(epochs, rows))
            start = 0
            for iteration, (_, own) in zip(block, drawn, strict=True):
                part = sent[:, start : start + len(own)]
                start += len(own)
                yield self._shrunk(Batch(crops.cut(part), self._labels[part[0]], own), iteration)

    def _views(self, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """Decoded, cropped files of an iteration (uint8 [B, size, size, 3]) and their rows (int64 [B])."""
        assert isinstance(self.split, Files)
        epochs, rows = positions_of(self.seed, iteration, self.batch, len(self.split), self.last_batch)
        if self.augment == "none":
            return _stack(self.split, rows), rows
        views, mirror = [], self.augment == "crop-flip"
        drawn = scale_crop_flip(self.seed, epochs, rows, self.flip)
        for row, side, top, left, flip in zip(rows, *drawn, strict=True):
            place = partial(training_place, self.split.size, side, top, left)
            kept = read_part(self.split.paths[row], place, least=round(self.split.size * side))
            views.append(training_view(kept, self.split.size, bool(flip) and mirror))
        return np.stack(views), rows


def evaluation_batches(split: Split, statistics: Statistics, batch: int, workers: int = 0) -> Iterator[Batch]:
    """Every sample once, in index order, the last batch shorter; not augmented.

    Files: shorter side resized to round(size * 256 / 224), centre crop. Raises BadImage for a damaged file.
    """
    labels = torch.tensor(split.labels)
    if isinstance(split, Memory):
        for start in range(0, len(split), batch):
            pixels = torch.tensor(split.images[start : start + batch])
            yield _batch((pixels, torch.arange(start, start + len(pixels))), statistics, labels)
    else:
        numbers = range(-(-len(split) // batch))
        for item in decode(partial(_evaluation_views, split, batch), numbers, workers):
            yield _batch(item, statistics, labels)


def _evaluation_views(split: Files, batch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(number * batch, min((number + 1) * batch, len(split)))
    return _stack(split, rows), rows


def _batch(item: Item, statistics: Statistics, labels: torch.Tensor) -> Batch:
    if isinstance(item, BadImage):
        raise item
    pixels, rows = item
    return Batch(_centred(pixels, statistics), labels[rows], rows.numpy())


def centred(images: Sequence[np.ndarray], statistics: Statistics) -> torch.Tensor:
    """Views (uint8 [H, W, C]) as a network reads them: float32 [B, C, H, W] in channels_last, centred and scaled."""
    return _centred(torch.from_numpy(np.stack(images)), statistics)


def _centred(pixels: torch.Tensor, statistics: Statistics) -> torch.Tensor:
    # Both at full size: an operator whose last dimension is three channels long is several times slower.
    mean, scale = (np.broadcast_to(s, pixels.shape[1:]).copy() for s in (statistics.mean, statistics.scale))
    # numpy asks the system for large pages: torch's own memory costs a fault every 4 kB, five times the arithmetic.
    inputs = torch.from_numpy(np.empty(pixels.shape, np.float32))
    torch.sub(pixels, torch.from_numpy(mean), out=inputs)
    inputs /= torch.from_numpy(scale)
    return inputs.permute(0, 3, 1, 2)
