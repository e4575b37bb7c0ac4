"""One call of an operation in a trace, and the facts that are read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Facts:
    """What an operation does to the data.

    kind      "conv", "linear", "norm", "act", "add", "mul", "maxpool", "avgpool", "gap" (global average),
              "subsample", "slice", "pad" (with zero channels), "cat", "scale", "shift", "dropout", "softmax", "other";
              "view" changes no value, and "zeros" is a constant
    name      in words: "3x3", "relu", "2x2 max pooling", …
    c_in      input channels of a convolution or linear layer
    macs      multiply-adds for one image
    """

    kind: str
    name: str
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    c_in: int = 0
    has_bias: bool = False
    macs: int = 0


@dataclass(frozen=True)
class Call:
    """One call: its arguments by their names in the schema, and the first output.

    roles     for each tensor argument in order: its name, and "data", "weight", "zeros", "random" or "constant"
    """

    name: str
    args: dict[str, Any]
    roles: tuple[tuple[str, str], ...]
    out: Tensor

    def count(self, role: str) -> int:
        return sum(r == role for _, r in self.roles)

    @property
    def data(self) -> Tensor:
        """The first tensor that depends on the image."""
        name = next(n for n, role in self.roles if role == "data")
        argument = self.args[name]
        return argument if isinstance(argument, Tensor) else argument[0]


def by(sides: Sequence[int]) -> str:
    """Return "3x3" for (3, 3)."""
    return "x".join(map(str, sides))
