"""A traced network as an audit compares it: anatomy, dropout, and its parameters and multiply-adds by role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import nn

from reslab.conformance.anatomy import Anatomy, anatomy
from reslab.conformance.record import Node
from reslab.conformance.trace import Trace, trace
from reslab.nets.model import build
from reslab.nets.spec import Spec

# A role's share can differ because of departures in these items. `init` is none of them: it changes no count.
_WIDE = ("block", "depth", "groups", "stem", "width")
PARAMETER_CAUSES: dict[str, tuple[str, ...]] = {
    "stem": ("groups", "stem", "width"),
    "branch": _WIDE,
    "shortcut": ("block", "depth", "shortcut", "width"),
    "norm": ("block", "depth", "norm", "order", "shortcut", "stem", "width"),
    "bias": ("bias", "block", "depth", "norm", "shortcut", "stem", "width"),
    "activation": ("activation",),
    "head": ("block", "depth", "head", "width"),
    "extra": ("extra",),
}
_MAPS = ("downsample", "stem", "stride")  # sizes of maps
MAC_CAUSES: dict[str, tuple[str, ...]] = {
    "stem": ("groups", "stem", "width"),
    "branch": (*_WIDE, *_MAPS),
    "shortcut": ("block", "depth", "shortcut", "width", *_MAPS),
    "head": ("block", "depth", "head", "width"),
    "extra": ("extra",),
}


@dataclass(frozen=True)
class Net:
    """A network and its numbers.

    sizes     elements of each parameter, by name
    dropouts  random operations in training, in words
    """

    anatomy: Anatomy
    sizes: dict[str, int]
    dropouts: Counter[str]

    @property
    def parameters(self) -> int:
        return sum(self.sizes.values())

    @property
    def macs(self) -> int:
        """Multiply-adds for one image, of convolutions, linear layers and matrix products."""
        return sum(node.facts.macs for node in self.anatomy.trace.nodes)

    @property
    def unused(self) -> int:
        """Parameters that the forward pass does not read."""
        read = {name for node in self.anatomy.trace.nodes for names in node.names.values() for name in names}
        return sum(size for name, size in self.sizes.items() if name not in read)

    def parameters_by_role(self) -> Counter[str]:
        """Return the parameters of each role of PARAMETER_CAUSES; a shared one counts where it is read first."""
        roles = self._roles()
        shares: Counter[str] = Counter()
        owned: set[str] = set()
        for node in self.anatomy.trace.nodes:
            role = roles.get(node.index, "extra")
            for argument, names in node.names.items():
                is_bias = argument == "bias" and node.kind == "conv" and role in ("stem", "branch", "shortcut")
                for name in names - owned:
                    shares["bias" if is_bias else role] += self.sizes.get(name, 0)
                owned |= names
        shares["extra"] += self.unused
        return shares

    def macs_by_role(self) -> Counter[str]:
        """Return the multiply-adds of each role of MAC_CAUSES."""
        roles = self._roles()
        shares: Counter[str] = Counter()
        for node in self.anatomy.trace.nodes:
            shares[roles.get(node.index, "extra")] += node.facts.macs
        return shares

    def _roles(self) -> dict[int, str]:
        """Return the role of each node of trunk and shortcuts; all others are "extra"."""
        a = self.anatomy
        roles: dict[int, str] = {}
        branches = (node for block in a.blocks for node in (*block.lead, *block.branch))
        shortcuts = (node for path in a.shortcuts for node in path.nodes())
        parts: tuple[tuple[str, Iterable[Node]], ...] = (
            ("stem", a.stem),
            ("branch", branches),
            ("shortcut", shortcuts),
            ("branch", a.tail),
            ("head", a.head),
        )
        special = {"norm": "norm", "act": "activation"}
        for part, nodes in parts:
            for node in nodes:
                role = part if node.is_weight_layer else special.get(node.kind, "extra")
                roles.setdefault(node.index, part if part == "head" else role)
        return roles


def _dropouts(trained: Trace) -> Counter[str]:
    """Return the random operations of a trace, with their places; evaluation mode shows only torch's own layers."""
    counts: Counter[str] = Counter()
    layers = [node.index for node in trained.nodes if node.is_weight_layer]
    for node in trained.nodes:
        if node.kind == "dropout":
            following = sum(index > node.index for index in layers)
            place = {0: "after the head", 1: "before the head"}.get(following, "inside")
            counts[f"{node.name} {place}"] += 1
    return counts


def net_of(module: nn.Module, traced: Trace, trained: Trace | None, spec: Spec | None) -> Net:
    """Return the `Net` of `module` from its traces in evaluation mode and, if it can be run in it, training mode."""
    sizes = {name: p.numel() for name, p in module.named_parameters()}
    return Net(anatomy(traced, spec), sizes, _dropouts(trained or traced))


@lru_cache(maxsize=32)
def reference_net(spec: Spec) -> Net:
    """Return the `Net` of a network of ours, traced like any other."""
    module = build(spec, device="meta")
    image = (spec.in_channels, spec.image_size)
    return net_of(module, trace(module, image), trace(module, image, training=True) if spec.dropout else None, spec)


def differing_roles(found: Counter[str], expected: Counter[str]) -> set[str]:
    """Return the roles whose shares differ."""
    return {role for role in found | expected if found[role] != expected[role]}


def planned(spec: Spec, traced: Trace) -> Spec:
    """Return `spec` for the images and classes of a trace."""
    channels, side = traced.image
    return replace(spec, in_channels=channels, image_size=side, classes=traced.classes)
