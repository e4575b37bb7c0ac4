"""`plan(spec)`: a network unrolled into one row per layer. Everything else is derived from these rows.

The torch module is built from them, descriptions print them, parameters and multiply-adds are sums over them, and
intermediate outputs and weights have their names. Rows are in the order of computation; inside a block: the layers
before both paths (pre-activation only), the branch F, the shortcut, the addition and the layers after it.
"""

from __future__ import annotations

from functools import lru_cache

from reslab.errors import UserError
from reslab.nets.names import name_of
from reslab.nets.row import Row
from reslab.nets.spec import BLOCK_EXPANSION, BLOCK_LAYERS, Spec


class _Draft:
    """The rows so far, with the current channels and map size."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.rows: list[Row] = []
        self.channels, self.size = spec.in_channels, spec.image_size
        self.part = self.block = self.path = ""

    def add(
        self,
        local: str,
        kind: str,
        c_out: int | None = None,
        kernel: int = 1,
        stride: int = 1,
        size_out: int | None = None,
        bias: bool = False,
        zero: bool = False,
        line: str = "",
    ) -> None:
        """Add one row; `local` is its name inside its block. The size is divided by the stride, rounded up."""
        if stride > 1 and self.size < 2:
            raise UserError(
                f"image_size: {self.spec.image_size} is too small for {name_of(self.spec)}: the map is already 1x1 "
                f"where {self.part} would halve it; the smallest that works is {smallest_image(self.spec)}"
            )
        row = Row(
            name=f"{self.block}.{local}" if self.block else local,
            kind=kind,
            part=self.part,
            block=self.block,
            path=self.path,
            kernel=kernel,
            stride=stride,
            padding=(kernel - 1) // 2 if kernel % 2 else 0,
            c_in=self.channels,
            c_out=self.channels if c_out is None else c_out,
            size_in=self.size,
            size_out=-(-self.size // stride) if size_out is None else size_out,
            bias=bias,
            zero=zero,
            line=line,
        )
        self.rows.append(row)
        self.channels, self.size = row.c_out, row.size_out

    def add_weights(self, local: str, c_out: int, kernel: int, stride: int = 1) -> None:
        """Add a convolution, or a fully connected layer in an MLP; with a bias only if no BN follows."""
        if self.spec.family == "mlp":
            self.add(local, "linear", c_out, bias=not self.spec.batch_norm)
            return
        if stride > 1 and self.spec.downsample == "pool":
            self.add(f"{local}_pool", "maxpool", kernel=2, stride=stride)
            stride = 1
        self.add(local, "conv", c_out, kernel, stride, bias=not self.spec.batch_norm)

    def add_bn_act(self, number: int | str, act: bool = True, zero: bool = False) -> None:
        if self.spec.batch_norm:
            self.add(f"bn{number}", "bn", zero=zero)
        if act:
            self.add(f"relu{number}", "act")


@lru_cache(maxsize=64)
def plan(spec: Spec) -> tuple[Row, ...]:
    """Return the rows of `spec` in network order. Raises UserError if the image is too small."""
    draft = _Draft(spec)
    if spec.family == "vgg":
        _vgg(draft)
    else:
        _residual(draft)
    return tuple(draft.rows)


def is_random(spec: Spec) -> bool:
    """Return whether a training step of `spec` draws random numbers (dropout)."""
    return any(row.facts.is_random for row in plan(spec))


def smallest_image(spec: Spec) -> int:
    """Return the smallest image side, in pixels, that avoids halving a 1x1 map: 2^(halvings-1) + 1; VGG 2^halvings."""
    if spec.family == "mlp":
        return 1
    if spec.family == "vgg":
        return 2 ** len(spec.widths)
    halvings = len(spec.widths) - 1 + (2 if spec.stem == "7x7" else 0)
    return 2 ** (halvings - 1) + 1 if halvings else 1


def _residual(d: _Draft) -> None:
    """Add the rows of a residual net or its plain twin, convolutional (Table 1, §4.2) or an MLP (note 001)."""
    spec = d.spec
    mlp, pre = spec.family == "mlp", spec.order == "pre"
    d.part = "stem"
    if mlp:
        d.add("flatten", "flatten", spec.in_channels * spec.image_size**2, size_out=1)
        d.add_weights("fc1", spec.widths[0], 1)
    else:
        large = spec.stem == "7x7"
        d.add("conv1", "conv", spec.widths[0], *((7, 2) if large else (3, 1)), bias=not spec.batch_norm)
    d.add_bn_act(1)  # with pre-activation: of the first block, before its two paths (He et al. 2016, appendix)
    if spec.stem == "7x7":
        d.add("pool1", "maxpool", kernel=3, stride=2)
    for stage, (kinds, width) in enumerate(zip(spec.blocks, spec.widths, strict=True), start=2):
        d.part = f"{'fc' if mlp else 'conv'}{stage}_x"
        for number, kind in enumerate(kinds, start=1):
            d.block = f"{d.part[:-2]}_{number}"
            first = stage == 2 and number == 1
            _block(d, kind, width, stride=2 if stage > 2 and number == 1 and not mlp else 1, first=first)
    d.part, d.block, d.path = "head", "", ""
    if pre:
        d.add_bn_act("_last")
    if not mlp:
        d.add("gap", "gap", size_out=1)
    d.add("fc", "linear", spec.classes, bias=True)


def _layers(kind: str, width: int, stride: int, spec: Spec) -> list[tuple[int, int, int]]:
    """Return (output channels, kernel, stride) of each weight layer of a block's branch (Fig. 5)."""
    if kind != "bottleneck":
        return [(width, 3, stride if i == 0 else 1) for i in range(BLOCK_LAYERS[kind])]
    first = spec.stride_in == "1x1"
    return [
        (width, 1, stride if first else 1),
        (width, 3, 1 if first else stride),
        (width * BLOCK_EXPANSION[kind], 1, 1),
    ]


def _block(d: _Draft, kind: str, width: int, stride: int, first: bool) -> None:
    """Add a block's rows: H(x) = F(x) + x (Eq. 1), F(x) + W_s x (Eq. 2), or F(x) alone in a plain net."""
    spec = d.spec
    c_in, size_in, pre = d.channels, d.size, spec.order == "pre"
    layers = _layers(kind, width, stride, spec)
    local = "fc" if spec.family == "mlp" else "conv"
    if pre and not first:
        d.path = "before"
        d.add_bn_act(1)
    d.path = "branch"
    for i, (channels, kernel, step) in enumerate(layers, start=1):
        last = i == len(layers)
        if pre and i > 1:
            d.add_bn_act(i)
        d.add_weights(f"{local}{i}", channels, kernel, step)
        if not pre:
            d.add_bn_act(i, act=not last, zero=last and spec.zero_init)
    if spec.residual:
        c_out, size_out = d.channels, d.size
        d.path, d.channels, d.size = "shortcut", c_in, size_in
        line = _shortcut(d, c_out, stride)
        d.path, d.channels, d.size = "after", c_out, size_out
        d.add("add", "add", line=line)
    d.path = "after"
    if not pre:
        d.add("relu", "act")


def _shortcut(d: _Draft, c_out: int, stride: int) -> str:
    """Add the shortcut's rows (none for the identity) and return its line in Fig. 3: "solid" or "dotted"."""
    spec = d.spec
    changes = d.channels != c_out or stride > 1
    if not changes and spec.shortcut != "C":
        return "solid"
    if spec.shortcut == "A":
        if d.channels > c_out:
            raise UserError(
                f"shortcut: A pads and cannot shrink {d.channels} channels to {c_out} ({d.block}); use B or C"
            )
        if stride > 1 and spec.downsample == "pool":
            d.add("shortcut_pool", "maxpool", kernel=2, stride=stride)
            stride = 1
        d.add("shortcut", "pad", c_out, stride=stride)
    else:
        d.add_weights("shortcut", c_out, 1, stride)
        if spec.batch_norm and spec.order == "post":
            d.add("shortcut_bn", "bn")
    return "dotted"


def _vgg(d: _Draft) -> None:
    """Add five stages of 3x3 convolutions, each with 2x2 max-pooling at its end, and three fully connected layers."""
    spec = d.spec
    for stage, (kinds, width) in enumerate(zip(spec.blocks, spec.widths, strict=True), start=1):
        d.part = f"conv{stage}_x"
        for number in range(1, len(kinds) + 1):
            d.block, d.path = f"conv{stage}_{number}", "branch"
            d.add_weights("conv1", width, 3)
            d.add_bn_act(1)
        d.block = d.path = ""
        d.add(f"pool{stage}", "maxpool", kernel=2, stride=2, size_out=d.size // 2)  # an odd border is dropped
    d.part = "head"
    d.add("flatten", "flatten", d.channels * d.size**2, size_out=1)
    for i in (6, 7):
        d.add(f"fc{i}", "linear", 8 * spec.widths[-1], bias=True)
        d.add(f"relu{i}", "act")
        if spec.dropout:
            d.add(f"drop{i}", "dropout")
    d.add("fc8", "linear", spec.classes, bias=True)
