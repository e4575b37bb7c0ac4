"""Layer kinds: the cost of each, its memory, and its name in drawings and descriptions.

`nets/modules.py` holds the torch side of the same kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Layer(Protocol):
    """The fields of a `Row` that a kind reads. `Row` imports this file, so this file cannot import it."""

    @property
    def name(self) -> str: ...
    @property
    def kernel(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def c_in(self) -> int: ...
    @property
    def c_out(self) -> int: ...
    @property
    def size_in(self) -> int: ...
    @property
    def size_out(self) -> int: ...
    @property
    def bias(self) -> bool: ...


def square(side: int) -> str:
    """Return "3x3" for 3."""
    return f"{side}x{side}"


def sizes(first: int, last: int) -> str:
    """Return the map sizes before and after: "32x32", or "32 → 16"."""
    return square(first) if first == last else f"{first} → {last}"


def _zero(row: Layer) -> int:
    return 0


def _unlabelled(row: Layer) -> str:
    return ""


def _output(row: Layer) -> str:
    return f"[{row.name}] {row.c_out}, {sizes(row.size_in, row.size_out)}"


@dataclass(frozen=True)
class Kind:
    """The facts of a layer kind that do not need torch.

    word             short name; an activation has the name of its function instead
    parameters       number of trainable parameters of a row: weights, biases, γ and β, without running statistics
    macs             multiply-adds of a row for one image
    is_weight_layer  counts towards the depth of a net, as in the paper
    is_pool          pools a window of the map, or all of it
    is_appended      is described on the line of the layer before it
    label            text of its box in drawings; "" for no box
    line             its line in a description, if it is outside of blocks
    keeps_input      the backward pass needs its input
    keeps_output     the backward pass needs its output
    keeps_places     the backward pass needs the position of each maximum
    is_random        uses random numbers in training
    """

    word: str
    parameters: Callable[[Layer], int] = _zero
    macs: Callable[[Layer], int] = _zero
    is_weight_layer: bool = False
    is_pool: bool = False
    is_appended: bool = False
    label: Callable[[Layer], str] = _unlabelled
    line: Callable[[Layer], str] = _output
    keeps_input: bool = False
    keeps_output: bool = False
    keeps_places: bool = False
    is_random: bool = False


def _step(row: Layer, mark: str) -> str:
    return f"{mark}/{row.stride}" if row.stride > 1 else ""


def _window(row: Layer) -> str:
    """Return the window and the map sizes of a line: "3x3 /2, 32 → 16"."""
    return f"{square(row.kernel)}{_step(row, ' ')}, {sizes(row.size_in, row.size_out)}"


def _bias(row: Layer) -> int:
    return row.c_out if row.bias else 0


KINDS: dict[str, Kind] = {
    "conv": Kind(
        word="conv",
        parameters=lambda row: row.kernel**2 * row.c_in * row.c_out + _bias(row),
        macs=lambda row: row.kernel**2 * row.c_in * row.c_out * row.size_out**2,
        is_weight_layer=True,
        label=lambda row: f"{square(row.kernel)} conv, {row.c_out}{_step(row, ', ')}",
        line=lambda row: f"[{row.name}] {row.c_in} → {row.c_out}, {_window(row)}",
        keeps_input=True,
    ),
    "linear": Kind(
        word="fc",
        parameters=lambda row: row.c_in * row.c_out + _bias(row),
        macs=lambda row: row.c_in * row.c_out,
        is_weight_layer=True,
        label=lambda row: f"fc {row.c_out}",
        line=lambda row: f"[{row.name}] {row.c_in} → {row.c_out}",
        keeps_input=True,
    ),
    "bn": Kind(word="BN", parameters=lambda row: 2 * row.c_out, is_appended=True, keeps_input=True),
    "act": Kind(word="act", is_appended=True, keeps_output=True),
    "maxpool": Kind(
        word="max",
        is_pool=True,
        label=lambda row: f"{square(row.kernel)} max pool{_step(row, ', ')}",
        line=lambda row: f"[{row.name}] {row.c_out}, max {_window(row)}",
        keeps_input=True,
        keeps_output=True,
        keeps_places=True,
    ),
    "gap": Kind(
        word="global average",
        is_pool=True,
        label=lambda row: "global avg pool",
        line=lambda row: f"[GAP] {square(row.size_in)} → {square(row.size_out)}, {row.c_out}",
    ),
    # option A's shortcut: every stride-th pixel, padded with zero channels
    "pad": Kind(word="pad", label=lambda row: f"zeros to {row.c_out}{_step(row, ', ')}"),
    "add": Kind(word="+"),  # the addition of branch and shortcut
    "flatten": Kind(word="flatten", line=lambda row: f"[{row.name}] {row.c_in} x {square(row.size_in)} → {row.c_out}"),
    "dropout": Kind(word="dropout", is_appended=True, is_random=True),
}
