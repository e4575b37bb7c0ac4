"""The reference of an audit: read from text, or the paper's net that a traced one is nearest to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_origin, get_type_hints

from reslab.conformance.anatomy import Anatomy, anatomy
from reslab.conformance.trace import Trace
from reslab.errors import UserError
from reslab.nets.names import IMAGENET, name_of, spec_of, switches_of
from reslab.nets.plan import smallest_image
from reslab.nets.spec import DEEPEST, Spec

FROM_IMAGES = ("classes", "in_channels", "image_size")  # follow the audited net


def parse(text: str) -> Spec:
    """Return the `Spec` of "resnet34" or "resnet34,shortcut=C,widths=64,128,256,512".

    Raises UserError for unknown names and switches, wrong values, and nets without convolutions.
    """
    name, *parts = (part.strip() for part in text.split(","))
    switches: dict[str, str] = {}
    key = ""
    for part in parts:
        if "=" in part:
            key, _, value = (side.strip() for side in part.partition("="))
            switches[key] = value
        elif key:
            switches[key] += f",{part}"
        else:
            raise UserError(f"--reference: {part!r} is no switch; write {name},shortcut=C")
    return checked(spec_of(name, **{key: _value(key, value) for key, value in switches.items()}))


def checked(spec: Spec) -> Spec:
    """Return `spec`. Raises UserError if it has no convolutions."""
    if spec.family == "mlp":
        raise UserError(f"--reference: {name_of(spec)} has no convolutions; name a convolutional net")
    return spec


def _value(key: str, text: str) -> Any:
    hint = get_type_hints(Spec).get(key)
    try:
        if hint is bool:
            return {"true": True, "on": True, "false": False, "off": False}[text.lower()]
        if hint is int:
            return int(text)
        if get_origin(hint) is tuple:
            return tuple(int(part) for part in text.split(","))
    except (KeyError, ValueError):
        form = "true or false" if hint is bool else "whole numbers" if get_origin(hint) is tuple else "a whole number"
        raise UserError(f"--reference: {key}={text!r} must be {form}") from None
    return text


def text_of(spec: Spec) -> str:
    """Return the text that `parse` reads, without what follows from the audited net."""
    switches = {key: value for key, value in switches_of(spec).items() if key not in FROM_IMAGES}
    parts = (f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in switches.items())
    return ",".join([name_of(spec), *parts])


def nearest(traced: Trace) -> Spec:
    """Return the paper's net that is nearest: by stem and number of stages, then kernels, then weight layers.

    A net without additions gets a plain net.
    """
    a = anatomy(traced)
    kind = "resnet" if a.is_residual else "plain"
    if _is_large(a):
        depths = [d for d, (block, _) in IMAGENET.items() if (block == "bottleneck") == _has_bottlenecks(a)]
        spec = spec_of(f"{kind}{min(depths, key=lambda depth: abs(depth - a.depth))}")
        if smallest_image(spec) <= traced.image[1]:
            return spec
    n = min(max(1, round((a.depth - 2) / 6)), (DEEPEST - 2) // 6)
    return spec_of(f"cifar_{kind}{6 * n + 2}")


def _is_large(a: Anatomy) -> bool:
    """Return whether the net resembles those for ImageNet: by a stem that halves the map twice, or by four stages."""
    reduction = 1
    for node in a.stem if a.is_residual else a.trunk[:4]:
        reduction *= node.facts.stride
    places = [(node.size, node.shape[1]) for node in a.trunk if node.kind == "conv" and node.facts.kernel > 1]
    stages = sum(here != before for before, here in pairwise(places))
    is_stem_alone = places[:1] != places[1:2]  # the first convolution has a stage of its own, such as 7x7 of stride 2
    return reduction >= 4 or stages + 1 - is_stem_alone >= 4


def _has_bottlenecks(a: Anatomy) -> bool:
    points = sum(node.kind == "conv" and node.facts.kernel == 1 for node in a.trunk)
    return 2 * points > sum(node.kind == "conv" for node in a.trunk)
