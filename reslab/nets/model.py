"""The torch module, built from the plan's rows.

A block's `forward` is the paper's Eq. (1) and (2). Every row's output can be had by its name:
`logits, seen = net(images, names=("conv2_1.bn2", "conv2_1.add"))`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from reslab.errors import UserError, suggest
from reslab.nets.cost import cost, shown
from reslab.nets.kinds import KINDS, sizes
from reslab.nets.modules import MAKERS
from reslab.nets.names import name_of, spec_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.notebook import table


class Note:
    """Keeps the outputs whose rows are asked for; keeps nothing, and costs nothing, where none is."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.seen: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor) -> Tensor:
        if name in self.names:
            self.seen[name] = value
        return value


class Chain(nn.Module):
    """Rows one after another, each noted under its own name; an empty chain is the identity."""

    def __init__(self, rows: Iterable[Row], spec: Spec) -> None:
        super().__init__()
        self.rows: list[tuple[str, str]] = []
        for row in rows:
            local = row.name.rsplit(".", 1)[-1]
            self.add_module(local, MAKERS[row.kind].module(row, spec))
            self.rows.append((row.name, local))

    def forward(self, x: Tensor, note: Note) -> Tensor:
        for name, local in self.rows:
            x = note(name, self._modules[local](x))  # type: ignore[misc]
        return x


ADD = nn.Identity()  # stands for the addition where a block is taken as a sequence


class Block(nn.Module):
    """H(x) = F(x) + x, or F(x) + W_s x; a plain block is F(x) alone. Then what follows the addition."""

    def __init__(self, rows: list[Row], spec: Spec) -> None:
        super().__init__()
        at = {path: [r for r in rows if r.path == path] for path in ("before", "branch", "shortcut", "after")}
        added = [r for r in at["after"] if r.kind == "add"]
        self.added = added[0].name if added else None
        self.projected = any(r.is_weight_layer for r in at["shortcut"])
        self.before = Chain(at["before"], spec)
        self.branch = Chain(at["branch"], spec)
        self.shortcut = Chain(at["shortcut"], spec)
        self.after = Chain([r for r in at["after"] if r.kind != "add"], spec)

    def sequence(self) -> list[nn.Module]:
        """The branch, ADD where the shortcut joins it, and what follows: for those who group neighbours."""
        return [*self.branch.children(), *([ADD] if self.added else []), *self.after.children()]

    def forward(self, x: Tensor, note: Note) -> Tensor:
        activated = self.before(x, note)  # x itself but in pre-activation, where a projection reads it too
        h = self.branch(activated, note)
        if self.added:
            h = note(self.added, h + self.shortcut(activated if self.projected else x, note))
        return self.after(h, note)


class Network(nn.Module):
    """A network built from `spec`. `forward` maps images [B, in_channels, S, S] to logits [B, classes].

    Attributes: `spec`, `rows` (the plan), `name`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec, self.rows, self.name = spec, plan(spec), name_of(spec)
        self.parts: list[str] = []
        for block, rows in groupby(self.rows, key=lambda r: r.block or f"{r.part}"):
            group = list(rows)
            made = Block(group, spec) if group[0].block else Chain(group, spec)
            name = block if group[0].block or block in ("stem", "head") else f"{block}_end"
            self.add_module(name, made)
            self.parts.append(name)

    @overload
    def forward(self, images: Tensor, names: None = None) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, names: Iterable[str] | Literal["all"]) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, images: Tensor, names: Iterable[str] | Literal["all"] | None = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Logits; with `names` (row names, or "all") also the named outputs. Raises UserError on an unknown name."""
        note = Note() if names is None else Note(self._wanted(names))
        x = images
        for part in self.parts:
            x = self._modules[part](x, note)  # type: ignore[misc]
        return x if names is None else (x, note.seen)

    def _wanted(self, names: Iterable[str] | Literal["all"]) -> frozenset[str]:
        known = [r.name for r in self.rows]
        if names == "all":
            return frozenset(known)
        wanted = frozenset([names] if isinstance(names, str) else names)
        for name in wanted.difference(known):
            raise UserError(f"{self.name} has no layer {name!r}{suggest(name, known)}")
        return wanted

    def __repr__(self) -> str:
        told = "".join(f", {k}={v!r}" for k, v in switches_of(self.spec).items())
        total = cost(self.spec)
        return f"Network({self.name!r}{told}: {shown(total.parameters)} parameters, {shown(total.macs)} MACs)"

    def _repr_html_(self) -> str:
        rows = [
            (row.name, KINDS[row.kind].word, f"{row.c_in} → {row.c_out}", sizes(row.size_in, row.size_out),
             row.parameters, row.macs)
            for row in self.rows
            if KINDS[row.kind].is_weight_layer
        ]  # fmt: skip
        return table(repr(self), ("layer", "kind", "channels", "map", "parameters", "MACs"), rows)


def path_of(row: Row) -> str:
    """The module path of a row inside its `Network`: "conv2_1.branch.conv1", "stem.conv1", "head.fc"."""
    if not row.block:
        return f"{row.part if row.part in ('stem', 'head') else row.part + '_end'}.{row.name}"
    block, local = row.name.rsplit(".", 1)
    return f"{block}.{row.path}.{local}"


@torch.no_grad()
def initialise(net: Network, seed: int) -> None:
    """He initialisation [13]: N(0, 2/fan); BN γ=1, β=0; biases 0; the head N(0, 1/fan_in), as no ReLU follows it.

    Each layer draws from its own generator, seeded by (seed, layer name) alone: twins share what they have in common.
    Raises ValueError if a parameter is left unset.
    """
    for parameter in net.parameters():
        parameter.fill_(math.nan)  # what no kind sets is found below
    for row in net.rows:
        if set_parameters := MAKERS[row.kind].initialise:
            if row is net.rows[-1]:
                variance = 1.0 / row.c_in
            else:
                variance = 2.0 / (row.kernel**2 * (row.c_in if net.spec.fan == "in" else row.c_out))
            generator = torch.Generator().manual_seed(layer_seed(seed, row.name))
            set_parameters(net.get_submodule(path_of(row)), row, variance, generator)
    unset = [name for name, parameter in net.named_parameters() if parameter.sum().isnan()]
    if unset:
        raise ValueError(
            f"{net.name}: {', '.join(unset)} not set by initialise; set each in its kind's entry of MAKERS in "
            "nets/modules.py"
        )


def layer_seed(seed: int, name: str) -> int:
    """63 bits of SHA-256 over seed and layer name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def build(model: str | Spec, *, seed: int = 0, device: str = "cpu", **switches: Any) -> Network:
    """Build a network with He-initialised weights: `build("resnet50", classes=10, shortcut="C")`.

    model      a name (see `reslab list`) or a `Spec`
    seed       of the initial weights; each layer draws from (seed, layer name)
    device     "cpu", "cuda", or "meta" (shapes only, no memory: the 1202-layer net in a second or two)
    switches   the fields of `Spec`, by name; refused beside a ready `Spec`
    Raises UserError for unknown names, switches and impossible combinations.
    """
    if isinstance(model, Spec):
        if switches:
            raise UserError(f"build: {', '.join(switches)} given beside a ready Spec; use dataclasses.replace on it")
        spec = model
    else:
        spec = spec_of(model, **switches)
    with torch.device(device):
        net = Network(spec)
    if device != "meta":
        initialise(net, seed)
    return net
