"""Write weights under another library's names, after its own network has given equal logits with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from reslab.convert.layouts.layout import Layout
from reslab.convert.layouts.recognise import described, has_bottlenecks, keys_of
from reslab.convert.layouts.torchvision import TIMM, TORCHVISION, VGG
from reslab.convert.publish import check_out, published
from reslab.errors import RunError, UserError
from reslab.models.trained import TrainedModel, from_parts
from reslab.nets.names import name_of, spec_of
from reslab.nets.spec import Spec
from reslab.version import VERSION

OWN = "safetensors"  # a file with our own names, and all of `TrainedModel.to_dict` in its header
ENDINGS = (".safetensors", ".pth", ".pt")
CLOSE = 1e-5  # largest difference of a logit, relative to the largest logit, in float32
# Fields of `Spec` that no trained network shows, or that the target takes as an argument.
FREE = ("zero_init", "fan", "pad_at", "dropout", "classes", "image_size")
METADATA = "reslab"
SIDE = 64  # pixels of the images that are compared; VGG needs its own size


def exported(model: TrainedModel, to: str, out: Path) -> Path:
    """Write the weights to `out` under the names of `to` and return the file.

    Raises UserError if `to` has no such network (with the first difference), if the file exists, has another ending or
    cannot be written; RunError if the library's network gives other logits, in which case nothing is written.
    """
    check_out(out, to, ENDINGS[:1] if to == OWN else ENDINGS)
    weights = {name: value.detach().cpu() for name, value in model.network.state_dict().items()}
    metadata = {"format": "pt"}
    if to == OWN:
        metadata[METADATA] = _header(model)
    else:
        layout = _layout(to, model.spec)
        keys = keys_of(layout, model.spec)
        weights = {keys[name][0]: value for name, value in weights.items()}
        _check_logits(model, to, weights)
    tensors = {name: value.contiguous() for name, value in weights.items()}
    with published(out) as aside:
        if out.suffix == ".safetensors":
            aside.write_bytes(bytes_of(tensors, metadata))
        else:
            torch.save(tensors, aside)
    return out


def _layout(to: str, spec: Spec) -> Layout:
    """Return the layout of the target's network. Raises UserError, with the first difference, if it has none."""
    layout = {"torchvision": VGG if spec.family == "vgg" else TORCHVISION, "timm": TIMM}[to]
    name = name_of(spec)
    if to == "timm" and spec.family == "vgg":
        raise UserError(f"--to timm: its {name} has convolutions in place of the first layers of the head")
    reason = layout.holds(spec)
    if spec.family == "mlp" or (not spec.residual and spec.family != "vgg"):
        reason = "it is no residual network of convolutions"
    if reason:
        raise UserError(f"--to {to}: it has no {described(spec)}: {reason}; --to {OWN} holds it")
    target = spec_of(name, **layout.fixed)
    for item in fields(Spec):
        ours, theirs = getattr(spec, item.name), getattr(target, item.name)
        is_idle = item.name == "stride_in" and not has_bottlenecks(spec)
        if ours != theirs and item.name not in FREE and not is_idle:
            raise UserError(
                f"--to {to}: its {name} has {item.name} {theirs!r}, and this network {ours!r}; --to {OWN} holds it"
            )
    return layout


def _library_network(to: str, name: str, classes: int) -> nn.Module:
    """Return the target library's network. Raises UserError if the library is not installed."""
    try:
        if to == "timm":
            import timm

            make: Callable[..., nn.Module] = timm.create_model
            return make(name, num_classes=classes)
        from torchvision import models

        return getattr(models, name)(num_classes=classes)  # type: ignore[no-any-return]
    except ImportError:
        raise UserError(f"--to {to}: needs {to} to check the weights; pip install {to}") from None


def _check_logits(model: TrainedModel, to: str, weights: Mapping[str, Tensor]) -> None:
    """Raise RunError if the library's network does not load the weights strictly or gives other logits."""
    net = _library_network(to, model.name, model.spec.classes)
    try:
        net.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise RunError(
            f"--to {to}: the installed {to} has another {model.name} ({str(error).splitlines()[-1]})"
        ) from None
    side = model.spec.image_size if model.spec.family == "vgg" else SIDE
    images = torch.randn(4, model.spec.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    ours = model.network.cpu().eval()
    with torch.no_grad():
        mine, theirs = ours(images), net.eval()(images)
    gap = float((mine - theirs).abs().max() / mine.abs().max())
    if not gap <= CLOSE:
        raise RunError(
            f"--to {to}: its {model.name} gives other logits (relative difference {gap:.2g}); nothing written"
        )


def _header(model: TrainedModel) -> str:
    """Return all but the weights as the text of a safetensors header."""
    statistics = {
        key: {"shape": list(value.shape), "base64": base64.b64encode(value.numpy().tobytes()).decode()}
        for key, value in model.statistics().items()
    }
    return json.dumps({"version": VERSION, **model.to_dict(), "statistics": statistics})


def from_header(path: Path, header: str, weights: Mapping[str, Tensor]) -> TrainedModel:
    """Return the model of a file that `exported` wrote with our own names. Raises UserError if it is damaged."""
    try:
        config: dict[str, Any] = json.loads(header)
        statistics = {
            key: torch.from_numpy(
                np.frombuffer(base64.b64decode(part["base64"]), np.float32).reshape(part["shape"]).copy()
            )
            for key, part in config["statistics"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: its header is damaged ({type(error).__name__}); copy it again") from None
    return from_parts(path, config, weights, statistics)
