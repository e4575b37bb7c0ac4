"""What every row of a collection is given: the tree's adapter, its command line, runs to examine, images."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.golden.adapters import Rooms

NO_CIFAR = "no CIFAR-10 here (RESLAB_CIFAR10 is not set): its entries are left out of"


@dataclass(frozen=True, eq=False)
class Collection:
    """A collection of one tree, made in the current folder.

    quick          only the part that takes seconds
    planted        rows that get a fault of one bit
    own, base      the records of this tree, and of the tree it is compared with (`results/`)
    cifar          the place of CIFAR-10, or None
    """

    layout: Rooms
    quick: bool
    planted: frozenset[str]
    own: Path
    base: Path
    cifar: str | None
    notes: list[str] = field(default_factory=list)

    def has_cifar(self, row: str) -> bool:
        """Return whether CIFAR-10 is available; if not, add a note for the row."""
        if not self.cifar:
            self.note(f"{NO_CIFAR} {row}")
        return bool(self.cifar)

    def note(self, text: str) -> None:
        """Keep a line to print below the table, once."""
        if text not in self.notes:
            self.notes.append(text)


def reslab(*words: object) -> str:
    """Return what `reslab WORDS` prints, run in this process by `python -m reslab`.

    Raises RuntimeError with its message if it ends with another status than 0.
    """
    output, message, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["reslab", *map(str, words)]
    try:
        with redirect_stdout(output), redirect_stderr(message):
            runpy.run_module("reslab", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{' '.join(sys.argv)}: status {end.code}: {message.getvalue()[-400:]}") from None
    finally:
        sys.argv = argv
    return output.getvalue()


def reslab_json(*words: object) -> Any:
    """Return the value that `reslab WORDS --json` prints."""
    return json.loads(reslab(*words, "--json"))


def reslab_lines(*words: object) -> list[Any]:
    """Return the values that `reslab WORDS --json` prints, one a line."""
    return [json.loads(line) for line in reslab(*words, "--json").splitlines()]


def silent(event: dict[str, Any]) -> None:
    """Take an event of a training run and do nothing."""


@cache
def trained(seed: int) -> Path:
    """Return the folder of a short run on digits, trained once in a collection; copy it before changing it."""
    import reslab as package

    out = Path(f"trained/s{seed}")
    package.train(
        "cifar_resnet8", "digits", recipe="digits-smoke", out=out, seed=seed, engine="eager", precision="fp32",
        threads=1, iterations=40, set={"lr": 0.05, "probe_every": 20}, tell=silent,
    )  # fmt: skip
    return out


def copied(source: Path, target: str) -> Path:
    """Return a fresh copy of a folder under another name."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def checkpoints_of(folder: Path) -> list[Path]:
    """Return every checkpoint folder below `folder`, sorted."""
    return sorted(path for path in folder.rglob("step-*") if path.is_dir())


@cache
def images() -> Path:
    """Return class folders of generated pictures: train and val, JPEG and PNG, grey and colour, of several sizes."""
    from PIL import Image

    root, source = Path("images"), np.random.default_rng(0)
    for room, count in (("train", 14), ("val", 4)):
        for number, name in enumerate(("cat", "dog", "owl")):
            folder = root / room / name
            folder.mkdir(parents=True)
            for place in range(count):
                high, wide = source.integers(36, 90, 2)
                coarse = source.integers(0, 256, (6, 6, 3), np.uint8)
                picture = Image.fromarray(coarse).resize((int(wide), int(high)), Image.Resampling.BICUBIC)
                if place % 5 == number:
                    picture = picture.convert("L")
                picture.save(folder / (f"{place:02}.jpg" if place % 2 else f"{place:02}.png"))
    return root


@cache
def squares(size: int, mode: str) -> Path:
    """Return a folder of 16 generated square PNG files."""
    from PIL import Image

    folder, source = Path(f"squares-{size}-{mode}"), np.random.default_rng(size)
    folder.mkdir()
    for place in range(16):
        pixels = source.integers(0, 256, (size, size) if mode == "L" else (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place:02}.png")
    return folder


@cache
def cifar_test(collection: Collection, count: int) -> Path:
    """Return class folders with the first `count` test images of CIFAR-10 as PNG files."""
    from PIL import Image

    layout = collection.layout
    data = layout.data(f"cifar10:{collection.cifar}", "cifar_resnet8", layout.recipe("paper-cifar", {}))
    folder = Path("cifar-test")
    for number in range(count):
        into = folder / data.classes[int(data.test.labels[number])]
        into.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.test.images[number]).save(into / f"{number:05}.png")
    return folder
