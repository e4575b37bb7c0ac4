"""A trained network on its own: its spec, weights, classes, input transform and origin.

It needs no recipe, no optimizer and no gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reslab.data.batches.loader import Statistics, fill_of
from reslab.data.batches.views import View, view_of, whole
from reslab.data.images.levels import Levels
from reslab.data.source import recorded_kind
from reslab.engines.calibrated import Int8Inference
from reslab.engines.inference import Inference
from reslab.engines.machine import Settings
from reslab.errors import UserError
from reslab.models import checkpoints, hub
from reslab.models import folder as folders
from reslab.models.checkpoints import Checkpoint
from reslab.models.transform import InputTransform
from reslab.nets.cost import cost
from reslab.nets.graph import Graph
from reslab.nets.model import Network
from reslab.nets.names import name_of, switches_of
from reslab.nets.spec import Spec
from reslab.version import VERSION


@dataclass(frozen=True)
class Imported:
    """Where imported weights come from.

    source    a file, or a name such as "hf:OWNER/NAME"
    sha256    of the file of weights
    layout    whose names the weights had: "torchvision", "timm" …
    assumed   what the file does not show, by name, in words: place of the stride, mean and std …
    notes     what was chosen or left out of the file, one line each
    """

    source: str
    sha256: str
    layout: str
    assumed: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Origin:
    """The training that a model comes from. Of imported weights only the folder or file is known.

    path       the folder of its checkpoint, a model folder, or an imported file
    iteration  number of updates
    seed       seed of the training
    data       the training data, as in `state.json`: source, name, fingerprint, split of a folder …; empty if unknown
    holdout    training images held out by the recipe
    imported   None for a model that reslab trained
    """

    path: Path
    iteration: int | None = None
    seed: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    holdout: int = 0
    imported: Imported | None = None


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network.

    spec       the network's definition
    weights    parameters and BN buffers by name
    classes    class names in the order of the logits
    transform  from an image to the network's input
    origin     its training
    """

    spec: Spec
    weights: Mapping[str, Tensor] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    transform: InputTransform = field(repr=False)
    origin: Origin = field(repr=False)

    @property
    def name(self) -> str:
        return name_of(self.spec)

    @cached_property
    def network(self) -> Network:
        """The network (an `nn.Module`) in evaluation mode. Built on first use.

        Raises UserError if the weights do not fit the spec or are not finite.
        """
        return checkpoints.network(self.spec, self.weights, str(self.origin.path)).eval()

    @property
    def graph(self) -> Graph:
        """The network as steps with batch norm folded. Raises UserError as `network`."""
        return self.network.graph()

    def logits(self, settings: Settings, calibration: Sequence[np.ndarray] = ()) -> Callable[[Tensor], Tensor]:
        """Return the function from images [B, C, S, S] to logits [B, classes].

        calibration   pixels of training images, for int8 (`Int8Inference`)
        The network is moved to the settings' device. In bf16 and int8 close calls are computed again
        (`engines.inference`, `engines.calibrated`), so that the highest logit is that of fp32.
        """
        net = self.network.to(settings.device)
        if settings.layout == "channels_last" and self.spec.family != "mlp":
            net.to(memory_format=torch.channels_last)
        if settings.precision == "int8":
            return Int8Inference(net, calibration, self.transform.inputs)
        if settings.precision == "bf16":
            return Inference(net, settings.precision)

        def logits_of(images: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = net(images.to(settings.device, non_blocking=True))
                return logits

        return logits_of

    def to_dict(self) -> dict[str, Any]:
        """Return all but the weights as plain types: network, class names, input, origin."""
        origin = self.origin
        return {
            "model": self.name, "switches": switches_of(self.spec), "parameters": cost(self.spec).parameters,
            "spec": self.spec.to_dict(), "classes": list(self.classes),
            "input": {
                "channels": self.transform.channels, **self.transform.view.recorded(),
                **self.transform.levels.recorded(),
            },
            "origin": {
                "iteration": origin.iteration, "seed": origin.seed, "holdout": origin.holdout,
                "data": {key: value for key, value in origin.data.items() if key != "place"},
                "imported": None if origin.imported is None else asdict(origin.imported),
            },
        }  # fmt: skip

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model to a folder that `reslab.load` and every verb read, and return it.

        Raises UserError if the folder holds something, cannot be written, or the weights do not fit the spec.
        """
        target = Path(folder)
        weights = self.network.state_dict()  # checked
        folders.write(target, {"reslab": VERSION, **self.to_dict()}, weights, self.statistics())
        return target

    def statistics(self) -> dict[str, Tensor]:
        """Return mean and scale of the input as tensors, in pixel units."""
        statistics = self.transform.statistics
        return {"mean": torch.from_numpy(statistics.mean), "scale": torch.from_numpy(statistics.scale)}

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Publish the model on the Hugging Face Hub as OWNER/NAME and return its address. Needs the extra `hub`.

        Raises UserError if the Hub refuses or cannot be reached.
        """
        with TemporaryDirectory() as place:
            return hub.push(self.save_pretrained(Path(place, "model")), repository, private=private)

    def __repr__(self) -> str:
        return f"TrainedModel({self.name}, {len(self.classes)} classes, {str(self.origin.path)!r})"


def load(path: str | Path) -> TrainedModel:
    """Return the model of a run folder (its newest checkpoint), of a checkpoint folder, or of a model folder.

    Raises UserError if there is no checkpoint, if it is damaged, or if it is a pickle.
    """
    folder = Path(path)
    return from_folder(folder) if folders.is_model_folder(folder) else from_checkpoint(checkpoints.find(folder))


def opened(source: str | Path | TrainedModel) -> TrainedModel:
    """Return `source` if it is a model, else load it from the path."""
    return source if isinstance(source, TrainedModel) else load(source)


def from_checkpoint(checkpoint: Checkpoint) -> TrainedModel:
    """Return the model of a checkpoint, without momentum and training state."""
    facts, spec = checkpoint.facts, checkpoint.spec
    recipe, statistics = facts["recipe"], checkpoint.statistics
    in_files = recorded_kind(facts["data"]) == "folder"
    view = view_of(spec.image_size, recipe.get("resize", "crop"), fill_of(statistics))
    return TrainedModel(
        spec,
        checkpoint.weights,
        tuple(facts["classes"]),
        InputTransform(
            spec.in_channels, view if in_files else whole(spec.image_size), statistics, Levels.of(facts["data"])
        ),
        Origin(checkpoint.folder, checkpoint.iteration, facts["seed"], facts["data"], recipe.get("holdout", 0)),
    )


def from_folder(folder: Path) -> TrainedModel:
    """Return the model of a model folder. Raises UserError if it is damaged."""
    config, weights, statistics = folders.read(folder)
    return from_parts(folder, config, weights, statistics)


def from_parts(
    path: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
) -> TrainedModel:
    """Return the model of `to_dict`'s values, weights, and mean and scale. Raises UserError if they do not agree.

    path   of the folder or file, for the model's origin and for messages
    """
    try:
        spec = Spec.from_dict(config["spec"])
        image, origin = config["input"], config["origin"]
        view = View.of(image)
        source = origin["imported"]
        imported = None if source is None else Imported(**{**source, "notes": tuple(source["notes"])})
        levels = Levels.of(image)
        means = Statistics(statistics["mean"].numpy(), statistics["scale"].numpy())
        classes = tuple(map(str, config["classes"]))
        known = Origin(path, origin["iteration"], origin["seed"], origin["data"], origin["holdout"], imported)
        if len(classes) != spec.classes or view.size != spec.image_size or image["channels"] != spec.in_channels:
            raise ValueError("network, classes and input do not agree")
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its config.json is damaged ({error}); copy it again") from None
    return TrainedModel(spec, weights, classes, InputTransform(image["channels"], view, means, levels), known)
