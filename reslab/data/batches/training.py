"""Batches of a training split: order, augmentation, mixing.

Sets in memory become whole batches at once (`crops`), without workers, Pillow or a Python loop over images. Files are
decoded by worker processes. Both are pure functions of (seed, iteration), so a run that resumes, or has another number
of workers, sees the same batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from reslab.data.balance import Balanced
from reslab.data.batches.augment import CROPPED, WHOLE, crop_flip, scale_crop_flip
from reslab.data.batches.crops import DeviceCrops, crops
from reslab.data.batches.loader import (
    Batch,
    Statistics,
    batch_of,
    check_choice,
    fill_of,
    readable,
    stacked,
    view_for,
)
from reslab.data.batches.mixing import mixed
from reslab.data.batches.trivial import trivially_augmented
from reslab.data.batches.views import Framing
from reslab.data.batches.workers import Decoded, Item, Views, decode
from reslab.data.images.decode import read_part
from reslab.data.order import batch_span, batches_per_epoch, positions_of, random_bits
from reslab.data.splits import Files, Memory, Split
from reslab.errors import RunError, UserError

AUGMENTS = ("crop-flip", "crop", "none", "trivial")
FLIPS = ("random", "alternating")
_BLOCK = 64  # batches whose random choices are made together for a GPU; one by one they take as long as its updates


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
        mix: tuple[float, float] = (0.0, 0.0),
        balanced: bool = False,
        classes: int = 0,
        device: str = "cpu",
        share: Callable[[int], slice] | None = None,
    ) -> None:
        """Check the arguments and prepare the crops.

        augment      "crop-flip" (pad by `pad` pixels that are 0 after centring, crop, mirror), "crop", "none", or
                     "trivial" (crop-flip, then one operation on each image, padded with the mean level). Files are
                     cropped as ImageNet in the paper: random shorter side of 256/224 to 480/224 of the target, random
                     position, no padding; if they are squashed or letterboxed, by a square of 1 to 256/224 of it
        last_batch   see `order.batch_span`; `flip`: see `augment.flips`
        workers      processes that decode Files; sets in memory need none
        small        (pixels per side, iteration): before that iteration images are shrunk to this size
        mix          (mixup, CutMix), see `mixing.mixed`, of so many `classes`
        balanced     draw all classes equally often (`Balanced`)
        device       holds a set in memory and makes its batches; decoded Files come from the CPU
        share        part of a batch of so many samples that this process makes; None: all of it
        Raises UserError for an unknown choice or a batch that gives no iteration.
        """
        check_choice("augment", augment, AUGMENTS)
        check_choice("flip", flip, FLIPS)
        if pad < 0 or workers < 0:
            raise UserError(f"pad and workers must be at least 0, not {pad} and {workers}")
        batches_per_epoch(batch, len(split), last_batch)  # raises before the first iteration
        self.split, self.statistics, self.flip, self.small = split, statistics, flip, small
        self.seed, self.batch, self.augment, self.last_batch = seed, batch, augment, last_batch
        self.pad, self.workers = pad if augment != "none" else 0, workers
        self.mix, self.classes, self.share = mix, classes, share
        self._balanced = Balanced(split.labels, seed) if balanced else None
        self._fill = round(float(statistics.mean.mean()))
        self._labels = torch.tensor(split.labels)
        if isinstance(split, Memory) and not self._one_by_one:
            self._labels = self._labels.to(device)
            self._crops = crops(split.images, statistics.mean, statistics.scale, self.pad, device)

    def at(self, iteration: int) -> Batch:
        """Return the batch of `iteration` (from 0), made in this process. Raises BadImage for a damaged file."""
        if self._one_by_one:
            return self._decoded_batch(Views(self._views)[iteration], iteration)
        epochs, rows = self._positions(iteration)
        labels = self._labels[torch.from_numpy(rows).to(self._labels.device)]
        batch = Batch(self._crops(rows, *self._choices(epochs, rows)), labels, rows)
        return self._finished(batch, iteration)

    @property
    def _one_by_one(self) -> bool:
        """Whether each image is made by itself, as bytes, and not the whole batch at once."""
        return isinstance(self.split, Files) or self.augment == "trivial"

    def _decoded_batch(self, item: Item, iteration: int) -> Batch:
        """Return the batch of decoded images. Raises BadImage; RunError if none of its files can be read."""
        batch = batch_of(item, self.statistics, self._labels, self.split)
        if not len(batch.indices):
            raise RunError(f"{batch.left_out[0]}: no image of its batch can be read; make the files readable again")
        return self._finished(batch, iteration)

    def _positions(self, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (epochs, rows of the split), int64 [B] each, of an iteration.

        Of a share of a mixed batch the first is the image before it, which the first image meets.
        """
        n = len(self.split)
        if self._balanced is None:
            epochs, rows = positions_of(self.seed, iteration, self.batch, n, self.last_batch)
        else:
            epochs, rows = self._balanced(*batch_span(iteration, self.batch, n, self.last_batch))
        if self.share is None:
            return epochs, rows
        part = self.share(len(rows))
        places = np.arange(part.start - any(self.mix), part.stop)
        return epochs[places], rows[places]

    def whole(self) -> TrainLoader:
        """Return a loader of whole batches, whatever share of them this one makes."""
        other = copy.copy(self)
        other.share = None
        return other

    def samples(self, iteration: int) -> int:
        """Return the size of the whole batch of an iteration."""
        return batch_span(iteration, self.batch, len(self.split), self.last_batch)[1]

    def _choices(self, epochs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the crops' positions (dy, dx: int64 [B] each; 0 without padding) and the flips (bool [B])."""
        dy, dx, flip = crop_flip(self.seed, epochs, rows, self.pad, self.flip)
        return dy, dx, flip & (self.augment in ("crop-flip", "trivial"))

    def _finished(self, batch: Batch, iteration: int) -> Batch:
        """Return the batch shrunk and mixed, if that is wanted at this iteration."""
        size, until = self.small
        if size and iteration < until:
            images = F.interpolate(batch.images, size=(size, size), mode="bilinear", antialias=True)
            batch = replace(batch, images=images.contiguous(memory_format=torch.channels_last))
        if any(self.mix):
            images, shares = mixed(batch.images, batch.labels, self.classes, *self.mix, self.seed, iteration)
            # The image before the share may be among those that cannot be read.
            others = int(self.share is not None and batch.indices[0] == self._positions(iteration)[1][0])
            batch = replace(batch, images=images[others:], labels=shares[others:], indices=batch.indices[others:])
        return batch

    def stream(self, start_iteration: int, stop_iteration: int, step: int = 1) -> Iterator[Batch]:
        """Yield the batches of every `step`th iteration from start to stop - 1; `workers` processes decode Files."""
        iterations = range(start_iteration, stop_iteration, step)
        if not self._one_by_one:
            if isinstance(self._crops, DeviceCrops):
                yield from self._on_device(self._crops, iterations)
            else:
                yield from map(self.at, iterations)
            return
        for iteration, item in zip(iterations, decode(self._views, iterations, self.workers), strict=True):
            yield self._decoded_batch(item, iteration)

    def _on_device(self, crops: DeviceCrops, iterations: range) -> Iterator[Batch]:
        """Yield the batches of `at`, with the random choices of many batches made and transferred together."""
        for first in range(0, len(iterations), _BLOCK):
            block = iterations[first : first + _BLOCK]
            positions = [self._positions(i) for i in block]
            epochs, rows = (np.concatenate(parts) for parts in zip(*positions, strict=True))
            choices = crops.to_device(rows, *self._choices(epochs, rows))
            start = 0
            for iteration, (_, batch_rows) in zip(block, positions, strict=True):
                part = choices[:, start : start + len(batch_rows)]
                start += len(batch_rows)
                yield self._finished(Batch(crops.crop(part), self._labels[part[0]], batch_rows), iteration)

    def _views(self, iteration: int) -> Decoded:
        """Return the augmented images of an iteration."""
        epochs, rows = self._positions(iteration)
        if isinstance(self.split, Files):
            if self.augment == "none":
                return stacked(self.split, rows, view_for(self.split, self.statistics))
            return self._decoded(self.split, epochs, rows)
        views = self._cropped(self.split.images, epochs, rows)
        bits = random_bits(self.seed, "trivial", epochs, rows).tolist()
        return np.stack([trivially_augmented(v, self._fill, b) for v, b in zip(views, bits, strict=True)]), rows, []

    def _decoded(self, split: Files, epochs: np.ndarray, rows: np.ndarray) -> Decoded:
        """Return random crops of files."""
        mirrors, fill = self.augment != "crop", fill_of(self.statistics)
        choices = scale_crop_flip(self.seed, epochs, rows, self.flip, CROPPED if split.resize == "crop" else WHOLE)
        bits = random_bits(self.seed, "trivial", epochs, rows).tolist() if self.augment == "trivial" else []

        def made(k: int) -> np.ndarray:
            side, top, left, flip = (values[k] for values in choices)
            framing = Framing(split.size, split.resize, side, top, left)
            part = read_part(split.paths[rows[k]], framing.box, min_side=round(split.size * side), levels=split.levels)
            view = framing.view(part, bool(flip) and mirrors, fill)
            return trivially_augmented(view, self._fill, bits[k]) if bits else view

        return readable(split, rows, made)

    def _cropped(self, images: np.ndarray, epochs: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """Return random crops of images in memory, padded with the mean level: uint8 [H, W, C] each."""
        _, height, width, _ = images.shape
        border = ((self.pad, self.pad), (self.pad, self.pad), (0, 0))
        views = []
        for row, dy, dx, mirrored in zip(rows, *self._choices(epochs, rows), strict=True):
            view = np.pad(images[row], border, constant_values=self._fill)[dy : dy + height, dx : dx + width]
            views.append(view[:, ::-1] if mirrored else view)
        return views
