"""One layer of a network as the plan says it: its name, place, sizes, parameters and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One layer. Sizes are the side of a square map in pixels (1 after global pooling and in an MLP).

    name     dotted and unique: the name of its output, and the prefix of its weights
    kind     conv, bn, act, maxpool, add, gap, flatten, linear, dropout; pad is option A's shortcut: every
             stride-th pixel, and zeros for the channels that are missing
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

    @property
    def parameters(self) -> int:
        """Trainable numbers: weights, biases, γ and β (running statistics are not trained)."""
        if self.kind == "conv":
            return self.kernel**2 * self.c_in * self.c_out + (self.c_out if self.bias else 0)
        if self.kind == "linear":
            return self.c_in * self.c_out + (self.c_out if self.bias else 0)
        return 2 * self.c_out if self.kind == "bn" else 0

    @property
    def macs(self) -> int:
        """Multiply-adds for one image: the paper's "FLOPs" (§3.3), convolutions and fully connected layers alone."""
        if self.kind == "conv":
            return self.kernel**2 * self.c_in * self.c_out * self.size_out**2
        return self.c_in * self.c_out if self.kind == "linear" else 0
