"""A trained network on its own: its spec, weights, classes, input transform and origin.

It needs no recipe, no optimizer and no gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reslab.data.batches.views import centre_crop, whole
from reslab.data.source import recorded_kind
from reslab.engines.inference import Inference
from reslab.engines.machine import Settings
from reslab.models import checkpoints
from reslab.models.checkpoints import Checkpoint
from reslab.models.transform import InputTransform
from reslab.nets.model import Network
from reslab.nets.names import name_of
from reslab.nets.spec import Spec


@dataclass(frozen=True)
class Origin:
    """The training that a model comes from.

    path       the folder of its checkpoint
    iteration  number of updates
    seed       seed of the training
    data       the training data, as in `state.json`: source, name, fingerprint, split of a folder …
    holdout    training images held out by the recipe
    """

    path: Path
    iteration: int
    seed: int
    data: Mapping[str, Any]
    holdout: int = 0


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

    def logits(self, settings: Settings) -> Callable[[Tensor], Tensor]:
        """Return the function from images [B, C, S, S] to logits [B, classes].

        The network is moved to the settings' device. In bf16 close calls are computed again in fp32
        (`engines.inference`).
        """
        net = self.network.to(settings.device)
        if settings.layout == "channels_last" and self.spec.family != "mlp":
            net.to(memory_format=torch.channels_last)
        if settings.precision == "bf16":
            return Inference(net, settings.precision)

        def logits_of(images: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = net(images.to(settings.device, non_blocking=True))
                return logits

        return logits_of

    def __repr__(self) -> str:
        return f"TrainedModel({self.name}, {len(self.classes)} classes, {str(self.origin.path)!r})"


def load(path: str | Path) -> TrainedModel:
    """Return the model of a run folder (its newest checkpoint) or of a checkpoint folder.

    Raises UserError if there is no checkpoint, if it is damaged, or if it is a pickle.
    """
    return from_checkpoint(checkpoints.find(Path(path)))


def opened(source: str | Path | TrainedModel) -> TrainedModel:
    """Return `source` if it is a model, else load it from the path."""
    return source if isinstance(source, TrainedModel) else load(source)


def from_checkpoint(checkpoint: Checkpoint) -> TrainedModel:
    """Return the model of a checkpoint, without momentum and training state."""
    facts, spec = checkpoint.facts, checkpoint.spec
    view = centre_crop if recorded_kind(facts["data"]) == "folder" else whole
    return TrainedModel(
        spec,
        checkpoint.weights,
        tuple(facts["classes"]),
        InputTransform(spec.in_channels, view(spec.image_size), checkpoint.statistics),
        Origin(
            checkpoint.folder, checkpoint.iteration, facts["seed"], facts["data"], facts["recipe"].get("holdout", 0)
        ),
    )
