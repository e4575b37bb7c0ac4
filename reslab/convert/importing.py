"""Make a `TrainedModel` of somebody else's weights: recognised, checked, and with what the file does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reslab.convert.files import WeightsFile
from reslab.convert.layouts.layout import Input
from reslab.convert.layouts.recognise import COUNTER, Match, has_bottlenecks, recognised
from reslab.data.batches.loader import Statistics
from reslab.data.batches.views import View
from reslab.data.sets.cifar import CLASSES as CIFAR10
from reslab.errors import UserError
from reslab.models.trained import Imported, Origin, TrainedModel
from reslab.models.transform import InputTransform
from reslab.nets.plan import plan
from reslab.nets.spec import Spec
from reslab.options.converting import ImportOptions
from reslab.store.files import read_bounded

NETWORK = ("stride_in", "pad_at", "padding", "image_size")  # options that are fields of `Spec`
LARGEST_NAMES = 1 << 20  # bytes of a file of class names


def imported(
    file: WeightsFile, options: ImportOptions, source: str, known: Mapping[str, Any] | None = None
) -> TrainedModel:
    """Return the model of a file of weights.

    source   what the user named: the file, or "hf:OWNER/NAME"
    known    facts that came with the weights, in place of the layout's: fields of `ImportOptions`, "classes" (names)
    Raises UserError if no layout fits, if several fit different networks, or if an option contradicts the network.
    """
    given = {name: value for name in ImportOptions.described() if (value := getattr(options, name)) is not None}
    facts = {**(known or {}), **given}
    shapes = {name: tuple(value.shape) for name, value in file.tensors.items()}
    changes = {name: facts[name] for name in NETWORK if name in facts}
    match = recognised(shapes, facts.get("layout"), changes, str(file.path))
    plan(match.spec)  # raises UserError for an image that is too small
    image = _input(match, facts)
    names, assumed_names = _classes(match.spec, facts)
    assumed = {key: text for key, text in _assumed(match, image).items() if key not in facts}
    if assumed_names:
        assumed["classes"] = assumed_names
    same = f"{' and '.join(match.others)} has the same names and another input: choose with --layout"
    notes = (*file.notes, *([same] if match.others and "layout" not in facts else []))
    return TrainedModel(
        match.spec,
        _weights(match, file.tensors),
        names,
        InputTransform(
            match.spec.in_channels, View(image.size, image.shorter, image.interpolation), _statistics(image)
        ),
        Origin(file.path, imported=Imported(source, file.sha256, match.layout.name, assumed, notes)),
    )


def _weights(match: Match, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under our names; counters of BN that an older file lacks are 0."""
    return {
        name: tensors[key] if key in tensors or not key.endswith(COUNTER) else torch.zeros((), dtype=torch.int64)
        for name, key in match.keys.items()
    }


def _input(match: Match, facts: Mapping[str, Any]) -> Input:
    """Return the layout's input with the facts that are known. Raises UserError if they do not fit the network."""
    spec = match.spec
    image = match.layout.input(spec)
    if spec.in_channels != len(image.mean):
        image = replace(image, mean=(0.5,) * spec.in_channels, std=(0.5,) * spec.in_channels)
    image = replace(image, **{k: facts[k] for k in ("shorter", "interpolation", "mean", "std") if k in facts})
    for key in ("mean", "std"):
        values = getattr(image, key)
        if len(values) != spec.in_channels:
            raise UserError(f"--{key}: {len(values)} numbers, but the network has {spec.in_channels} input channels")
    if min(image.std) <= 0:
        raise UserError(f"--std: {min(image.std):g} is not above 0")
    if image.shorter < image.size:
        raise UserError(f"--shorter {image.shorter}: smaller than the crop of {image.size} pixels")
    return image


def _statistics(image: Input) -> Statistics:
    mean, std = (255 * np.asarray(values, np.float64) for values in (image.mean, image.std))
    return Statistics(mean.astype(np.float32).reshape(1, 1, -1), std.astype(np.float32))


def _classes(spec: Spec, facts: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return the class names, and in words what is assumed of them ("" if they are known)."""
    if "names" in facts:
        names = _read_names(facts["names"])
        if len(names) != spec.classes:
            raise UserError(f"--names {facts['names']}: {len(names)} names, but the network has {spec.classes} classes")
        return names, ""
    if len(facts.get("classes", ())) == spec.classes:
        return tuple(facts["classes"]), ""
    if spec.classes == 1000:
        return _imagenet(), "ImageNet's 1,000 in torchvision's words"
    if spec.classes == len(CIFAR10):
        return tuple(CIFAR10), f"CIFAR-10's ({', '.join(CIFAR10[:3])}, …)"
    return tuple(f"class {k}" for k in range(spec.classes)), "numbers"


def _imagenet() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    names: Sequence[str] = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return tuple(names)


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        text = read_bounded(path, LARGEST_NAMES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--names {path}: cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _assumed(match: Match, image: Input) -> dict[str, str]:
    """Return what the tensors do not show, as the layout has it: option to words."""
    spec = match.spec
    facts = dict[str, str]()
    if has_bottlenecks(spec):
        facts["stride_in"] = spec.stride_in
    if spec.shortcut == "A" and spec.residual:
        facts["pad_at"] = spec.pad_at
    facts |= {
        "padding": spec.padding,
        "image_size": str(image.size),
        "shorter": str(image.shorter),
        "interpolation": image.interpolation,
        "mean": ",".join(map(str, image.mean)),
        "std": ",".join(map(str, image.std)),
    }
    return facts
