"""One layer of a network's plan: its name, place, sizes, parameters and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass

from reslab.nets.kinds import KINDS, Kind


@dataclass(frozen=True)
class Row:
    """One layer. Sizes are the side of a square map in pixels (1 after global pooling and in an MLP).

    name     dotted and unique: the name of its output, and the prefix of its weights
    kind     a key of `KINDS`; raises ValueError for any other
    part     stem, conv2_x … conv5_x, head (Table 1's row)
    block    the block it belongs to ("conv2_1"), or ""
    path     inside a block: before, branch, shortcut, after; "" outside
    line     on a block's "add" row: solid (identity) or dotted (the shape changes, or a projection); else ""
    """

    name: str
    kind: str
    part: str
    block: str = ""
    path: str = ""
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    c_in: int = 0
    c_out: int = 0
    size_in: int = 1
    size_out: int = 1
    bias: bool = False
    zero: bool = False
    line: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"layer {self.name}: unknown kind {self.kind!r}; add it to KINDS in nets/kinds.py")

    @property
    def facts(self) -> Kind:
        """The facts of its kind."""
        return KINDS[self.kind]

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: weights, biases, γ and β, without running statistics."""
        return self.facts.parameters(self)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image, the paper's "FLOPs" (§3.3): of convolutions and fully connected layers only."""
        return self.facts.macs(self)

    @property
    def is_weight_layer(self) -> bool:
        """Whether it is a convolution or a fully connected layer: the layers that the paper counts."""
        return self.facts.is_weight_layer

    @property
    def label(self) -> str:
        """Text of its box in drawings: "7x7 conv, 64, /2", "fc 1000"; "" for no box."""
        return self.facts.label(self)

    def word(self, activation: str) -> str:
        """Return its name in the order of a block's layers: "conv", "BN", the activation's name, "+"."""
        return activation if self.kind == "act" else self.facts.word


def path_of(row: Row) -> str:
    """Return the path of a row's module in its `Network`: "conv2_1.branch.conv1", "stem.conv1", "head.fc"."""
    if not row.block:
        return f"{row.part if row.part in ('stem', 'head') else row.part + '_end'}.{row.name}"
    block, local = row.name.rsplit(".", 1)
    return f"{block}.{row.path}.{local}"
