"""Images of a split as network inputs: batches for scoring, and the mean and scale of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from reslab.data.batches.views import View, in_channels, view_of
from reslab.data.batches.workers import Decoded, Item, decode
from reslab.data.images.decode import BadImage, read
from reslab.data.splits import Files, Memory, Split
from reslab.errors import UserError

CENTRES = ("pixel", "channel")
SCALES = ("std", "channel-std", "255", "none")
_CHUNK = 200  # images per step of a sum; bounds memory, and integer sums do not depend on it
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
    """int64 [B]; of mixed images their share in each class, float32 [B, classes]"""
    indices: np.ndarray
    """int64 [B], rows of the split"""
    left_out: tuple[str, ...] = ()
    """names of files that belong to the batch and cannot be read"""


def statistics(split: Split, centre: str = "pixel", scale: str = "std") -> Statistics:
    """Return mean and scale of a split, which must be the training split.

    centre   "pixel" (the paper's mean image) or "channel"
    scale    "std" (one number: standard deviation of the centred pixels), "channel-std" (one per channel), "255" (the
             range) or "none" (1)
    Sums are exact integers, then float64. If all pixels are equal, the scale is 1. For Files it reads the evaluation
    views of at most 2,000 evenly spaced images; of letterboxed ones squashed views, which have no border.
    Raises UserError for an unknown choice or an empty split.
    """
    check_choice("centre", centre, CENTRES)
    check_choice("scale", scale, SCALES)
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


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise UserError if `value` is none of `choices`."""
    if value not in choices:
        raise UserError(f"{key}: {value!r} is unknown; choose one of {', '.join(choices)}")


def _sums(split: Split) -> tuple[np.ndarray, np.ndarray, int]:
    """Return sum and sum of squares over the images, int64 [H, W, C] each, and the number of images."""
    n = len(split) if isinstance(split, Memory) else min(len(split), _SAMPLE)
    total = squares = np.zeros((), np.int64)
    count = 0
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        chunk = split.images[rows] if isinstance(split, Memory) else _without_border(split, rows * len(split) // n)
        count += len(chunk)
        pixels = chunk.astype(np.uint16)  # holds 255 ** 2
        total = total + pixels.sum(0, dtype=np.int64)
        squares = squares + (pixels * pixels).sum(0, dtype=np.int64)
    if not count:
        raise UserError("statistics: no training image can be read")
    return total, squares, count


def _without_border(split: Files, rows: np.ndarray) -> np.ndarray:
    """Return the evaluation views of `rows`, of letterboxed ones squashed views."""
    return stacked(split, rows, view_of(split.size, "crop" if split.resize == "crop" else "squash"))[0]


def stacked(split: Files, rows: np.ndarray, view: View) -> Decoded:
    """Return the views of `rows` (int64 [B]), made by `view`. Raises BadImage as `readable`."""
    return readable(split, rows, lambda k: view(read(split.paths[rows[k]], levels=split.levels)))


def readable(split: Files, rows: np.ndarray, make: Callable[[int], np.ndarray]) -> Decoded:
    """Return the views (uint8 [B, size, size, C]) of those of `rows` that can be read, and which cannot.

    make   place in `rows` → view, uint8 [size, size, 3]
    Raises BadImage for the first that cannot, unless the split leaves such files out.
    """
    views, places, left_out = [], [], []
    for k in range(len(rows)):
        try:
            views.append(make(k))
        except BadImage:
            if not split.skip:
                raise
            left_out.append(int(rows[k]))
        else:
            places.append(k)
    stack = np.stack(views) if views else np.empty((0, split.size, split.size, 3), np.uint8)
    return in_channels(stack, split.channels), rows[places], left_out


def fill_of(statistics: Statistics) -> tuple[int, ...]:
    """Return the colour around letterboxed pictures, a level for each channel: the mean, about 0 once centred."""
    return tuple(round(level) for level in statistics.mean.mean((0, 1), dtype=np.float64).tolist())


def view_for(split: Files, statistics: Statistics) -> View:
    """Return the view with which files are scored by a net whose inputs have these `statistics`."""
    return view_of(split.size, split.resize, fill_of(statistics))


def evaluation_batches(
    split: Split, statistics: Statistics, batch: int, workers: int = 0, view: View | None = None,
    every: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:  # fmt: skip
    """Yield every sample once, in index order, not augmented; the last batch may be shorter. Raises BadImage.

    view    of each of Files, by default `view_for`; images in memory are taken as they are
    every   (first, step): only the batches with these numbers
    """
    numbers = range(-(-len(split) // batch))[every[0] :: every[1]]
    labels = torch.tensor(split.labels)
    if isinstance(split, Memory):
        for start in (number * batch for number in numbers):
            pixels = torch.tensor(split.images[start : start + batch])
            yield batch_of((pixels, torch.arange(start, start + len(pixels)), []), statistics, labels, split)
    else:
        views = partial(_evaluation_views, split, batch, view or view_for(split, statistics))
        for item in decode(views, numbers, workers):
            yield batch_of(item, statistics, labels, split)


def _evaluation_views(split: Files, batch: int, view: View, number: int) -> Decoded:
    rows = np.arange(len(split))[number * batch : (number + 1) * batch]
    return stacked(split, rows, view)


def batch_of(item: Item, statistics: Statistics, labels: torch.Tensor, split: Split) -> Batch:
    """Return decoded images of `split` as network inputs. Raises BadImage."""
    if isinstance(item, BadImage):
        raise item
    pixels, rows, left_out = item
    names = tuple(split.name(row) for row in left_out) if isinstance(split, Files) else ()
    return Batch(_centred(pixels, statistics), labels[rows], rows.numpy(), names)


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
