"""JPEG files to augmented 224x224 batches on one core: the input of training on a folder of images.

`python -m benchmarks.jpeg [--quick] [--pairs N] [--record]`. One thread, no workers: both sides scale with processes.

Peer    torchvision's reference for ImageNet: PIL open, RandomResizedCrop, flip, ToTensor, Normalize, images stacked.
        Its crops have 43 % of a 4:3 image on average, the paper's 31 %; one row has the peer with square crops of the
        paper's sizes.
Ours    `TrainLoader` on the same folder: the paper's crop (shorter side drawn from [256, 480] / 224), flip, mean and
        deviation; float32 in channels_last.
Files   noise whose spectrum falls as a photograph's does (1/f), quality 90, 4:2:0: 110 kB at 500x375, as in ImageNet;
        and 12 megapixels, as from a camera. Both sides read them from the page cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchmarks.side import Bar, BenchmarkOptions, Row, Side, in_turn, main, say, timed
from reslab.data.batches.loader import Statistics
from reslab.data.batches.training import TrainLoader
from reslab.data.sets.folder import folder
from reslab.engines.host import keep_memory

SIZE = 224
BAR = Bar(least=2.0, aim=4.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the peer's reference
SHORTEST, LONGEST = 256, 480  # of the paper's shorter side (§3.4)
KINDS = {"500x375": (375, 500, 32), "4000x3000": (3000, 4000, 4)}  # rows, columns, files


def photograph(generator: np.random.Generator, height: int, width: int) -> Image.Image:
    """Return noise with a falling spectrum and similar channels."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fall = np.maximum(frequency, 1 / width) ** -1.1

    def layer() -> np.ndarray:
        noise = np.fft.rfft2(generator.standard_normal((height, width)))
        return np.fft.irfft2(noise * fall, (height, width))

    grey = layer()
    pixels = np.stack([grey + 0.35 * layer() for _ in range(3)], axis=2)
    pixels = (pixels - pixels.mean()) / pixels.std() * 55 + 118
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def written(place: Path, height: int, width: int, count: int) -> list[Path]:
    """Write and return `count` training files in two classes; two more for val are not read."""
    generator = np.random.default_rng(0)
    files = [place / "train" / "ab"[i % 2] / f"{i:03d}.jpg" for i in range(count)]
    for file in [*files, place / "val" / "a" / "0.jpg", place / "val" / "b" / "1.jpg"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        photograph(generator, height, width).save(file, quality=90)
    return files


def peer_of(files: list[Path], crop: Callable[[Image.Image], Image.Image]) -> Side:
    transform = transforms.Compose(
        [
            crop,
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def read(file: Path) -> torch.Tensor:
        with file.open("rb") as opened:
            return transform(Image.open(opened).convert("RGB"))  # type: ignore[no-any-return]

    return lambda: len(files) / timed(lambda: torch.stack([read(file) for file in files]))


def decode_of(files: list[Path]) -> Side:
    return lambda: len(files) / timed(lambda: [Image.open(file).load() for file in files])


def ours_of(place: Path, count: int) -> Side:
    split = folder(place, SIZE).train
    assert split is not None
    statistics = Statistics(255 * np.array([[MEAN]], np.float32), 255 * np.array(STD, np.float32))
    loader = TrainLoader(split, statistics, seed=0, batch=count, augment="crop-flip", pad=0, last_batch="fill")
    numbers = iter(range(10**6))
    return lambda: count / timed(lambda: loader.at(next(numbers)))


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    torch.set_num_threads(1)
    keep_memory()  # as a training process does; this applies to the peer too
    for name, (height, width, count) in KINDS.items():
        with TemporaryDirectory() as place:
            say(f"{name}: making {count} files")
            files = written(Path(place), height, width, count)
            size = sum(file.stat().st_size for file in files) / count
            ours, peer = ours_of(Path(place), count), peer_of(files, transforms.RandomResizedCrop(SIZE))
            ours(), peer()
            notes = (f"{count} files of {size / 1e3:,.0f} kB", "1 thread, no workers")
            bar = BAR if name == "500x375" else Bar()
            yield in_turn(f"JPEG {name} to a batch", "images/s", ours, peer, options, bar, notes)
            if name == "500x375":
                shares = [(SIZE / side) ** 2 * height / width for side in (LONGEST, SHORTEST)]
                square_peer = peer_of(
                    files, transforms.RandomResizedCrop(SIZE, scale=(shares[0], shares[1]), ratio=(1, 1))
                )
                square_peer()
                notes = (f"peer: square crops of {shares[0]:.3f} to {shares[1]:.3f} of the image, as the paper's",)
                yield in_turn(f"JPEG {name}, crops of equal size", "images/s", ours, square_peer, options, Bar(), notes)
                notes = ("ours: Pillow's decode alone, an upper bound for any crop and resize",)
                title = f"JPEG {name}, the decode alone"
                yield in_turn(title, "images/s", decode_of(files), peer, options, Bar(), notes)


if __name__ == "__main__":
    sys.exit(main("jpeg", "JPEG files to batches, on one core", rows))
