"""The torch module, built from the plan's rows.

`Block.forward` is the paper's Eq. (1) and (2). Any row's output can be requested by name:
`logits, seen = net(images, names=("conv2_1.bn2", "conv2_1.add"))`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any, Literal, Self, overload

import torch
from torch import Tensor, nn

from reslab.errors import UserError, suggest
from reslab.nets.cost import cost, shown
from reslab.nets.graph import Graph, graph_of
from reslab.nets.kinds import KINDS, sizes
from reslab.nets.modules import MAKERS
from reslab.nets.names import name_of, spec_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.row import Row, path_of
from reslab.nets.spec import Spec
from reslab.notebook import table


class Note:
    """Record the requested intermediate outputs, and return each unchanged; a no-op if none are requested."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.outputs: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor) -> Tensor:
        if name in self.names:
            self.outputs[name] = value
        return value


class Chain(nn.Module):
    """Rows in sequence, each output recorded under the row's name. An empty chain is the identity."""

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


ADD = nn.Identity()  # marks the addition in `Block.sequence`


class Block(nn.Module):
    """A residual block: H(x) = F(x) + x (Eq. 1), or F(x) + W_s x (Eq. 2). A plain block is F(x) alone.

    With the rows' own order this is y = ReLU(F(x) + x) in the paper, and y = F(ReLU(BN(x))) + x with pre-activation.

    before     BN and ReLU of a pre-activation block, else empty
    branch     F
    shortcut   the identity (empty), W_s, or zero padding (option A)
    after      the ReLU after the addition; empty with pre-activation
    """

    def __init__(self, rows: list[Row], spec: Spec) -> None:
        super().__init__()
        paths = {path: [r for r in rows if r.path == path] for path in ("before", "branch", "shortcut", "after")}
        self.added = next((r.name for r in paths["after"] if r.kind == "add"), None)  # None in a plain block
        self.projected = any(r.is_weight_layer for r in paths["shortcut"])
        self.before = Chain(paths["before"], spec)
        self.branch = Chain(paths["branch"], spec)
        self.shortcut = Chain(paths["shortcut"], spec)
        self.after = Chain([r for r in paths["after"] if r.kind != "add"], spec)

    def sequence(self) -> list[nn.Module]:
        """Return the modules of the branch, ADD if a shortcut joins it, and the modules after it, in order."""
        return [*self.branch.children(), *([ADD] if self.added else []), *self.after.children()]

    def forward(self, x: Tensor, note: Note) -> Tensor:
        a = self.before(x, note)  # pre-activation: a = ReLU(BN(x)); else a = x
        f = self.branch(a, note)  # F
        if self.added is None:
            return self.after(f, note)  # a plain block
        identity = self.shortcut(a if self.projected else x, note)  # x, padded x, or W_s a
        return self.after(note(self.added, f + identity), note)  # H(x) = F(x) + x, then ReLU unless pre-activation


class Network(nn.Module):
    """The network of a `Spec`: images [B, in_channels, S, S] to logits [B, classes].

    Attributes: `spec`, `rows` (the plan), `name`, `parts` (names of its modules: blocks, and parts without blocks),
    `frozen` (those of `parts` that do not learn).
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec, self.rows, self.name = spec, plan(spec), name_of(spec)
        self.parts: list[str] = []
        self.frozen: tuple[str, ...] = ()
        for block, rows in groupby(self.rows, key=lambda r: r.block or f"{r.part}"):
            group = list(rows)
            part = Block(group, spec) if group[0].block else Chain(group, spec)
            name = block if group[0].block or block in ("stem", "head") else f"{block}_end"
            self.add_module(name, part)
            self.parts.append(name)

    @overload
    def forward(self, images: Tensor, names: None = None) -> Tensor: ...
    @overload
    def forward(self, images: Tensor, names: Iterable[str] | Literal["all"]) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, images: Tensor, names: Iterable[str] | Literal["all"] | None = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Return logits [B, classes], and with `names` (row names, or "all") also those rows' outputs, by name.

        Raises UserError for an unknown name.
        """
        note = Note() if names is None else Note(self._row_names(names))
        x = images
        for part in self.parts:
            x = self._modules[part](x, note)  # type: ignore[misc]
        return x if names is None else (x, note.outputs)

    def graph(self) -> Graph:
        """Return the network in evaluation mode as steps with batch norm folded."""
        return graph_of(self.spec, {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()})

    def freeze(self, parts: Collection[str]) -> None:
        """Freeze parts of the plan (stem, conv2_x …): no gradients, and BN stays in evaluation mode."""
        parts_of_rows = {row.block or row.part: row.part for row in self.rows}
        self.frozen = tuple(n for n in self.parts if parts_of_rows[n.removesuffix("_end")] in parts)
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def is_frozen(self, module: nn.Module) -> bool:
        """Return whether a module of this network lies in a frozen part."""
        return any(module is inner for name in self.frozen for inner in self.get_submodule(name).modules())

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def _row_names(self, names: Iterable[str] | Literal["all"]) -> frozenset[str]:
        existing = [r.name for r in self.rows]
        if names == "all":
            return frozenset(existing)
        requested = frozenset([names] if isinstance(names, str) else names)
        for name in requested.difference(existing):
            raise UserError(f"{self.name} has no layer {name!r}{suggest(name, existing)}")
        return requested

    def __repr__(self) -> str:
        switches = "".join(f", {k}={v!r}" for k, v in switches_of(self.spec).items())
        total = cost(self.spec)
        return f"Network({self.name!r}{switches}: {shown(total.parameters)} parameters, {shown(total.macs)} MACs)"

    def _repr_html_(self) -> str:
        rows = [
            (row.name, KINDS[row.kind].word, f"{row.c_in} → {row.c_out}", sizes(row.size_in, row.size_out),
             row.parameters, row.macs)
            for row in self.rows
            if KINDS[row.kind].is_weight_layer
        ]  # fmt: skip
        return table(repr(self), ("layer", "kind", "channels", "map", "parameters", "MACs"), rows)


@torch.no_grad()
def initialise(net: Network, seed: int) -> None:
    """Initialise all weights (He et al. 2015, [13]): N(0, 2/fan); BN γ=1, β=0; biases 0.

    The head has N(0, 1/fan_in), because no ReLU follows it. Each layer draws from its own generator, seeded by (seed,
    layer name), so plain and residual twins begin with equal weights. Raises ValueError if a parameter is left unset.
    """
    for parameter in net.parameters():
        parameter.fill_(math.nan)  # so that the check below detects a parameter that no kind sets
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
    """Return 63 bits of SHA-256 over seed and layer name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def build(model: str | Spec, *, seed: int = 0, device: str = "cpu", **switches: Any) -> Network:
    """Build a network with He-initialised weights: `build("resnet50", classes=10, shortcut="C")`.

    model      a name (see `reslab list`) or a `Spec`
    seed       seed of the initial weights
    device     "cpu", "cuda", or "meta" (shapes only, no memory)
    switches   fields of `Spec`, by name; only with a model's name
    Raises UserError for unknown names, unknown switches and impossible combinations.
    """
    if isinstance(model, Spec):
        if switches:
            raise UserError(f"build: {', '.join(switches)} given with a Spec; use dataclasses.replace on the Spec")
        spec = model
    else:
        spec = spec_of(model, **switches)
    with torch.device(device):
        net = Network(spec)
    if device != "meta":
        initialise(net, seed)
    return net
