"""Begin a training from a trained model: check that it fits, hash its weights, keep its head or draw a new one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from reslab.data.batches.loader import Statistics
from reslab.data.batches.views import whole
from reslab.data.splits import Data, Files
from reslab.errors import UserError
from reslab.models import checkpoints
from reslab.models.trained import TrainedModel
from reslab.nets.model import Network
from reslab.nets.names import name_of, spec_of, switches_of
from reslab.nets.parts import frozen_parts
from reslab.nets.plan import plan
from reslab.nets.row import path_of
from reslab.nets.spec import Spec
from reslab.runs.init import Init
from reslab.runs.naming import FROM_DATA


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """What a run takes over from a trained model.

    record      as recorded in `run.json`
    weights     parameters and BN buffers by name, without those of a new head
    statistics  mean and scale of the inputs
    words       what is taken over, in one line
    """

    record: Init
    weights: Mapping[str, Tensor]
    statistics: Statistics
    words: str

    def fill(self, net: Network) -> None:
        """Copy the weights into `net`, bit for bit; a new head stays as it is."""
        checkpoints.fill(net, {**net.state_dict(), **self.weights}, f"--init-from {self.record.source}")


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained model that a run is to begin from.

    source  the model, as text of --init-from
    digest  SHA-256 of its tensors
    spec    the net of the run; classes and image size may still be those of the model
    frozen  parts that do not learn
    """

    model: TrainedModel
    source: str
    digest: str
    spec: Spec
    frozen: tuple[str, ...]

    def check(self, spec: Spec, data: str) -> None:
        """Raise UserError if the images of `data`, to which `spec` is fitted, need other weights than the model's."""
        own = self.model.spec
        if spec.in_channels != own.in_channels:
            raise UserError(
                f"--init-from {self.source}: reads images of {own.in_channels} channels, and {data} has "
                f"{spec.in_channels}; give data of {own.in_channels} channels"
            )
        for row, own_row in zip(plan(spec), plan(own), strict=True):
            if row.is_weight_layer and row.c_in != own_row.c_in:
                raise UserError(
                    f"--init-from {self.source}: its {row.name} is made for images of {own.image_size} pixels, and "
                    f"{data} has {spec.image_size}; give data of that size"
                )

    def fitted(self, spec: Spec, data: Data) -> InitialWeights:
        """Return what a run of `spec` on `data` takes over. Raises UserError as `check` does."""
        self.check(spec, data.name)
        model, size = self.model, spec.image_size
        is_kept = tuple(data.classes) == model.classes
        head = f"{path_of(plan(spec)[-1])}."
        weights = {name: value for name, value in model.weights.items() if is_kept or not name.startswith(head)}
        statistics, inputs = model.transform.statistics, "kept"
        if statistics.mean.shape[:2] not in ((1, 1), (size, size)):
            mean = statistics.mean.mean((0, 1), keepdims=True, dtype="float64")
            statistics, inputs = dataclasses.replace(statistics, mean=mean.astype("float32")), "averaged"
        here, there = len(data.classes), len(model.classes)
        if is_kept:
            head_words = "the head is kept, as the classes are the same"
        elif here != there:
            head_words = f"the head is new, as there are {here} classes instead of {there}"
        else:
            head_words = "the head is new, as the classes are not the same"
        words = [
            head_words,
            "mean and scale of the inputs are kept"
            + (", the mean averaged over the map, as the images have another size" if inputs == "averaged" else ""),
        ]
        view, train = model.transform.view, data.train
        if isinstance(train, Files) and train.resize != view.resize and view != whole(view.size):
            words.append(f"resize is {train.resize}, and was {view.resize} in its training")
        words += [f"frozen, with their BN statistics: {', '.join(self.frozen)}"] if self.frozen else []
        record = Init(self.digest, self.source, "kept" if is_kept else "new", inputs, self.frozen)
        return InitialWeights(record, weights, statistics, f"begins from {self.source}: {'; '.join(words)}")


def pretrained(
    trained: TrainedModel, source: str, freeze: str | None, model: str | Spec | None, switches: Mapping[str, Any]
) -> Pretrained:
    """Return the trained model of --init-from, checked against the net that the user named.

    source           where it comes from, as text of --init-from
    freeze           text of --freeze
    model, switches  the net, or None for that of the trained model; its classes and images follow from the data
    Raises UserError if the model is damaged or of another net, and for unknown parts.
    """
    try:
        _ = trained.network  # raises UserError if the weights do not fit the spec or are not finite
    except UserError as error:
        raise UserError(f"--init-from {error}") from None
    spec = _spec(trained.spec, source, model, switches)
    frozen = frozen_parts(spec, freeze) if freeze is not None else ()
    return Pretrained(trained, source, digest_of(trained.weights), spec, frozen)


def _spec(own: Spec, source: str, model: str | Spec | None, switches: Mapping[str, Any]) -> Spec:
    """Return the net that the user named. Raises UserError if it is not the trained one, but for classes and images."""
    given = {key: value for key, value in switches.items() if value is not None}
    of_data = {key: getattr(own, key) for key in FROM_DATA}
    if isinstance(model, Spec):
        spec = model
    elif model is not None:
        spec = spec_of(model, **{**of_data, **given})
    else:
        spec = spec_of(name_of(own), **{**switches_of(own), **of_data, **given}) if given else own
    if name_of(spec) != name_of(own):
        raise UserError(
            f"{name_of(spec)}: --init-from {source} is a {name_of(own)}; leave the model out, or give a {name_of(spec)}"
        )
    for field in fields(Spec):
        here, there = getattr(spec, field.name), getattr(own, field.name)
        if field.name not in FROM_DATA and here != there:
            raise UserError(
                f"{name_of(spec)}: its {field.name} is {here!r}, and {there!r} in --init-from {source}; leave the "
                "model and its switches out, or give the same ones"
            )
    return spec


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over name, type, shape and bytes of each tensor, sorted by name."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
