"""Find the layout and the network of a table of weights, by their names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from operator import itemgetter
from typing import Any

import torch

from reslab.convert.layouts.cifar import AKAMASTER, KUANGLIU
from reslab.convert.layouts.layout import Layout, Shape, Shapes
from reslab.convert.layouts.torchvision import TIMM, TORCHVISION, VGG
from reslab.convert.layouts.transformers import TRANSFORMERS
from reslab.errors import UserError, suggest
from reslab.nets.cost import cost
from reslab.nets.model import Network
from reslab.nets.names import name_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.row import path_of
from reslab.nets.spec import Spec

LAYOUTS = (TORCHVISION, VGG, TIMM, TRANSFORMERS, AKAMASTER, KUANGLIU)  # of two with one network the first counts
NAMES = tuple(dict.fromkeys(layout.name for layout in LAYOUTS))
COUNTER = "num_batches_tracked"  # of BN; older files lack it, and no score depends on it
STATISTICS = ("running_mean", "running_var")
MOST = 5  # keys of a kind that a message names


@dataclass(frozen=True)
class Match:
    """A layout, the network that the weights describe in it, and the names of its weights: ours to theirs."""

    layout: Layout
    spec: Spec
    keys: Mapping[str, str]
    others: tuple[str, ...] = ()  # layouts that describe the same network


def keys_of(layout: Layout, spec: Spec) -> dict[str, tuple[str, Shape]]:
    """Return, for each weight of our network, its name in the layout and its shape."""
    with torch.device("meta"):
        net = Network(spec)
    modules = {path_of(row): row for row in plan(spec)}
    keys = {}
    for name, value in net.state_dict().items():
        module, _, part = name.rpartition(".")
        keys[name] = f"{layout.names.key(modules[module], spec)}.{part}", tuple(value.shape)
    return keys


def recognised(shapes: Shapes, wanted: str | None, changes: Mapping[str, Any], where: str) -> Match:
    """Return the layout and network of a table of weights.

    wanted    the layout's name, or None to recognise it
    changes   fields of `Spec` that the user sets in place of what the layout fixes
    where     the file, for messages
    Raises UserError if no layout fits (with the keys that are missing, extra or of another shape) or if several
    describe different networks.
    """
    if wanted is not None and wanted not in NAMES:
        raise UserError(f"--layout {wanted}: unknown{suggest(wanted, NAMES)}; there are {', '.join(NAMES)}")
    matches, reasons = list[Match](), list[tuple[int, str]]()
    for layout in LAYOUTS:
        if wanted in (None, layout.name):
            match = _match(layout, shapes, changes)
            if isinstance(match, Match):
                matches.append(match)
            elif match is not None:
                reasons.append(match)
    if not matches:
        raise UserError(f"{where}: {min(reasons, key=itemgetter(0))[1] if reasons else _strange(shapes, wanted)}")
    first = matches[0]
    others = [match for match in matches[1:] if match.spec != first.spec]
    if others:
        candidates = ", ".join(f"{m.layout.name} ({described(m.spec)})" for m in matches)
        raise UserError(f"{where}: its names fit several networks: {candidates}; choose with --layout")
    return replace(first, others=tuple(m.layout.name for m in matches[1:]))


def _match(layout: Layout, shapes: Shapes, changes: Mapping[str, Any]) -> Match | tuple[int, str] | None:
    """Return the match, or the number of keys that do not fit with the reason, or None if no name is the layout's."""
    try:
        spec = layout.names.spec(shapes)
    except UserError as error:
        return len(shapes), f"in {layout.name}'s layout {error}"
    if spec is None:
        return None
    if reason := layout.holds(spec):
        return len(shapes), f"in {layout.name}'s layout {reason}"
    idle = {"stride_in": not has_bottlenecks(spec), "pad_at": spec.shortcut != "A"}  # would have no effect
    fixed = {key: value for key, value in layout.fixed.items() if not idle[key]}
    spec = replace(spec, **{**fixed, **changes})
    keys = keys_of(layout, spec)
    theirs = dict(keys.values())
    missing = [key for key in theirs if key not in shapes and not key.endswith(COUNTER)]
    extra = [key for key in shapes if key not in theirs]
    misshapen = [f"{k} {_shape(shapes[k])} for {_shape(s)}" for k, s in theirs.items() if shapes.get(k, s) != s]
    problems = {"missing": missing, "extra": extra, "of another shape": misshapen}
    if any(problems.values()):
        told = "; ".join(f"{len(found)} {kind} ({_first(found)})" for kind, found in problems.items() if found)
        count = sum(prod(shape) for key, shape in shapes.items() if not key.endswith((COUNTER, *STATISTICS)))
        told = f"its {count:,} parameters are not those of {layout.name}'s {described(spec)}: {told}"
        return sum(map(len, problems.values())), told
    return Match(layout, spec, {name: key for name, (key, _) in keys.items()})


def has_bottlenecks(spec: Spec) -> bool:
    """Return whether a network has bottlenecks, in which alone the place of the stride matters."""
    return any("bottleneck" in kinds for kinds in spec.blocks)


def described(spec: Spec) -> str:
    """Return a network's name, switches and parameters in words."""
    switches = " ".join(f"{key}={value}" for key, value in switches_of(spec).items())
    return f"{' '.join(filter(None, (name_of(spec), switches)))}, {cost(spec).parameters:,} parameters"


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one value"


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:MOST]) + (", …" if len(keys) > MOST else "")


def _strange(shapes: Shapes, wanted: str | None) -> str:
    layouts = wanted or ", ".join(NAMES)
    return f"its names ({_first(list(shapes))}) are not those of a residual network as {layouts} names them"
