"""What the public interface does not give, for each layout of the package: orders, draws, batches, planted faults.

A refactor that moves these adds a class here and puts it first in LAYOUTS; the rows stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


class Rooms:
    """The layout with the rooms `data`, `nets`, `training` and `show`, without rooms inside them."""

    renamed: ClassVar[dict[str, str]] = {}  # names used below → the names in this layout
    modules = ("data.order", "data.augment", "data.loader", "data.splits", "nets.model", "training.inputs", "show.walk")

    def of(self, name: str) -> Any:
        """Return the module that this class calls `name`."""
        return import_module(f"reslab.{self.renamed.get(name, name)}")

    # -- orders and draws
    def order(self, seed: int, epoch: int, n: int) -> np.ndarray:
        """Return the order of `n` samples in an epoch, int64 [n]."""
        return self.of("data.order").permutation(seed, epoch, n)

    def positions(self, seed: int, iteration: int, batch: int, n: int, last_batch: str) -> tuple[np.ndarray, ...]:
        """Return (epochs, indices), int64 each, of the samples of an iteration."""
        return self.of("data.order").positions_of(seed, iteration, batch, n, last_batch)

    def draws(self, seed: int, stream: str, epochs: np.ndarray, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is drawn for (epoch, index): 64 bits, a float in [0, 1) and an integer below 9."""
        order, where = self.of("data.order"), (seed, stream, epochs, indices)
        bits = getattr(order, _bits_name(order))(*where)
        return {"bits": bits, "uniform": order.uniform(*where), "integers": order.integers(*where, 9)}

    def crops(self, seed: int, epochs: np.ndarray, indices: np.ndarray, flip: str) -> dict[str, np.ndarray]:
        """Return the draws of augmentation, for sets in memory (padded by 4) and for files."""
        augment = self.of("data.augment")
        padded = augment.crop_flip(seed, epochs, indices, 4, flip)._asdict()
        scaled = augment.scale_crop_flip(seed, epochs, indices, flip)._asdict()
        return {f"{kind} {k}": v for kind, of in (("padded", padded), ("scaled", scaled)) for k, v in of.items()}

    # -- data
    def recipe(self, name: str, values: dict[str, Any]) -> Any:
        """Return the named recipe with some fields changed."""
        return self.of("training.recipe").changed(self.of("training.recipes").recipe(name), values)

    def data(self, source: str, model: str, recipe: Any) -> Any:
        """Return the data of a run, split by its recipe; files are read at 32x32 pixels."""
        spec = self.of("nets.names").spec_of(model, image_size=32)
        return self.of("training.inputs").load_data(source, spec, recipe, splits=("train", "val", "test"))

    def statistics(self, data: Any, centre: str, scale: str) -> dict[str, np.ndarray]:
        """Return mean and scale of the training split, in pixel units."""
        return vars(self.of("data.loader").statistics(data.split("train"), centre, scale))

    def batches(self, data: Any, recipe: Any, seed: int, span: range, workers: int) -> Iterator[Any]:
        """Yield the training batches of the iterations of `span`: images, labels, indices."""
        loading = self.of("data.loader")
        stats = loading.statistics(data.split("train"), recipe.centre, recipe.scale)
        of_training = loading if hasattr(loading, "TrainLoader") else self.of("data.batches.training")
        loader = of_training.TrainLoader(
            data.split("train"), stats, seed=seed, batch=recipe.batch, augment=recipe.augment, pad=recipe.pad,
            last_batch=recipe.last_batch, workers=workers, flip=recipe.flip,
            small=(recipe.small_size, recipe.small_until),
        )  # fmt: skip
        return loader.stream(span.start, span.stop)

    def evaluation_batches(self, data: Any, split: str, most: int, workers: int) -> Iterator[Any]:
        """Yield the first `most` samples of a split as an evaluation sees them."""
        part, loader = data.split(split), self.of("data.loader")
        part = part.subset(np.arange(min(most, len(part))))
        stats = loader.statistics(data.split("train"))
        return loader.evaluation_batches(part, stats, 100, workers)

    def splits(self, data: Any) -> dict[str, Any]:
        """Return the labels of each split, and the pixels or the file names."""
        arrays = {}
        for name, part in (data.splits if hasattr(data, "splits") else data.there)().items():
            arrays[f"{name} labels"] = part.labels
            pixels = getattr(part, "images", None)
            files = [Path(path).name for path in getattr(part, "paths", ())]
            arrays[f"{name} images"] = np.array(files) if pixels is None else pixels
        return arrays

    # -- checkpoints
    def weights(self, checkpoint: Path) -> dict[str, Any]:
        """Return the state of the network that a checkpoint's folder is read into."""
        checkpoints = self.of("training.checkpoint")
        return checkpoints.network(checkpoints.load(checkpoint)).state_dict()

    def republish(self, checkpoint: Path) -> None:
        """Flip the lowest bit of the largest head weight of a checkpoint, and make its manifest agree."""
        from safetensors.numpy import load, save

        file, manifest = checkpoint / "weights.safetensors", checkpoint / "manifest.json"
        tensors = load(file.read_bytes())
        head = tensors["head.fc.weight"].reshape(-1)
        _flip(head, int(np.abs(head).argmax()))
        file.write_bytes(save(tensors))
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        facts["sha256"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(facts), encoding="utf-8")

    # -- planted faults
    @contextmanager
    def planted(self, row: str) -> Iterator[None]:
        """Plant the fault of a row into the package for a while; nothing if the row plants it into files itself."""
        if row not in self.plants:
            yield
            return
        module, name, faulty = self.plants[row]
        name = _bits_name(self.of(module)) if name == "draw" else name
        before = getattr(self.of(module), name)
        setattr(self.of(module), name, faulty(before))
        try:
            yield
        finally:
            setattr(self.of(module), name, before)

    # row → the module, its attribute, and what makes the attribute faulty; other rows plant theirs into files
    plants: ClassVar[dict[str, tuple[str, str, Callable[[Any], Any]]]] = {
        "weights": ("nets.model", "initialise", lambda before: _with_flipped_weight(before)),
        "traces": ("nets.model", "initialise", lambda before: _with_flipped_weight(before)),
        "plans": ("show.walk", "plan", lambda before: _with_renamed_row(before)),
        "orders": ("data.order", "draw", lambda before: _with_flipped_draw(before)),
        "batches": ("data.sources", "digits", lambda before: _with_flipped_pixel(before)),
        "measurements": (
            "claims.residuals",
            "kept",
            lambda before: lambda value: math.nextafter(before(value), math.inf),
        ),
        "interface": ("training.recipes", "RECIPES", lambda before: _with_another_rate(before)),
    }


class Wings(Rooms):
    """The layout with `runs` and `engines`, and with rooms inside `data`, `claims` and `show`."""

    renamed: ClassVar[dict[str, str]] = {
        "claims.residuals": "claims.experiments.residuals",
        "data.augment": "data.batches.augment",
        "data.loader": "data.batches.loader",
        "show.walk": "show.terminal.walk",
        "training.recipe": "runs.recipe",
        "training.recipes": "runs.recipes",
    }

    def data(self, source: str, model: str, recipe: Any) -> Any:
        spec = self.of("nets.names").spec_of(model, image_size=32)
        return self.of("training.inputs").load_data(source, spec, recipe.holdout, splits=("train", "val", "test"))

    def weights(self, checkpoint: Path) -> dict[str, Any]:
        return self.of("models.trained").load(checkpoint).network.state_dict()


class Registry(Wings):
    """The layout with a registry of the data sets known by a word, and with `load_data` below training."""

    modules = (*(name for name in Rooms.modules if name != "training.inputs"), "data.known", "models.inputs")
    plants: ClassVar[dict[str, tuple[str, str, Callable[[Any], Any]]]] = {
        **Rooms.plants,
        "batches": ("data.sets.digits", "digits", lambda before: _with_flipped_pixel(before)),
    }

    def data(self, source: str, model: str, recipe: Any) -> Any:
        spec = self.of("nets.names").spec_of(model, image_size=32)
        return self.of("models.inputs").load_data(source, spec, recipe.holdout, splits=("train", "val", "test"))


LAYOUTS = (Registry, Wings, Rooms)


def layout() -> Rooms:
    """Return the adapter of the tree that is imported. Raises LookupError if none fits."""
    for kind in LAYOUTS:
        if all(_is_there(f"reslab.{kind.renamed.get(name, name)}") for name in kind.modules):
            return kind()
    raise LookupError("no adapter fits this layout of reslab; add one to benchmarks/golden/adapters.py")


def _bits_name(order: Any) -> str:
    """Return the name of the function for random bits: `draw` in older trees."""
    return "random_bits" if hasattr(order, "random_bits") else "draw"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the room itself is missing
        return False


def _flip(array: np.ndarray, place: int) -> None:
    """Flip the lowest bit of a float32 of a flat array."""
    array.view(np.uint32)[place] ^= 1


def _with_flipped_weight(before: Callable[..., None]) -> Callable[..., None]:
    def initialise(net: Any, seed: int) -> None:
        before(net, seed)
        _flip(next(iter(net.parameters())).detach().numpy().reshape(-1), 0)

    return initialise


def _with_renamed_row(before: Callable[..., Any]) -> Callable[..., Any]:
    def plan(spec: Any) -> Any:
        first, *rest = before(spec)
        return (replace(first, name=first.name[:-1] + chr(ord(first.name[-1]) ^ 1)), *rest)

    return plan


def _with_flipped_draw(before: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def draw(*where: Any) -> np.ndarray:
        bits = before(*where).copy()
        bits.reshape(-1)[:1] ^= np.uint64(1)
        return bits

    return draw


def _with_flipped_pixel(before: Callable[[], Any]) -> Callable[[], Any]:
    def digits() -> Any:
        data = before()
        data.train.images[0, 0, 0, 0] ^= 1
        return data

    return digits


def _with_another_rate(before: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    changed = replace(before["digits"](), lr=math.nextafter(before["digits"]().lr, 1))

    def digits() -> Any:
        return changed

    digits.__doc__ = before["digits"].__doc__
    return {**before, "digits": digits}
