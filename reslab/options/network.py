"""A network's switches as options. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from reslab.nets.spec import Activation, Downsample, Fan, Order, PadAt, Padding, Shortcut, StrideIn
from reslab.options.option import Options, option
from reslab.options.texts import numbers

NAMED = "the model's own"


@dataclass(frozen=True)
class Switches(Options):
    """Changes to a network. None keeps the model's own value, which is the paper's."""

    verb: ClassVar[str] = "network"

    shortcut: Shortcut | None = option(
        None, "A: zero padding, B: projection if the size changes, C: projection everywhere", "Network",
        text="A for cifar_ nets, else B", common=True,
    )  # fmt: skip
    stride_in: StrideIn | None = option(
        None, "layer with a bottleneck's stride: the first 1x1 (paper) or the 3x3 (v1.5)", "Network", text="1x1",
    )  # fmt: skip
    order: Order | None = option(None, "post: conv-BN-ReLU; pre: BN-ReLU-conv", "Network", text="post", common=True)
    activation: Activation | None = option(None, "activation function of every layer", "Network", text="relu")
    stem: Literal["3x3", "7x7"] | None = option(
        None, "first layer: 7x7 with max-pooling, or 3x3", "Network", text="7x7 for ImageNet's nets, 3x3 for cifar_",
    )  # fmt: skip
    downsample: Downsample | None = option(
        None, "halve the map by strided convolution or by max-pooling", "Network", text="stride"
    )
    batch_norm: bool | None = option(None, "batch normalisation", "Network", text="on; off for mlp_ nets", common=True)
    zero_init: bool | None = option(None, "start the last γ of each residual branch at 0", "Network", text="off")
    fan: Fan | None = option(None, "fan-in or fan-out scaling for He initialisation", "Network", text="in")
    pad_at: PadAt | None = option(
        None, "where option A adds zero channels: at the end or on both sides", "Network", text="end"
    )
    padding: Padding | None = option(
        None, "beyond a map's edge, convolutions see zeros, or the opposite edge (circular)", "Network", text="zeros"
    )
    classes: int | None = option(None, "number of classes", "Network", text="the data's; 10 or 1000 without data")
    in_channels: int | None = option(
        None, "input channels: 3 for RGB, 1 for grey", "Network", text="the data's; 3 without data"
    )
    image_size: int | None = option(
        None, "side of the square images, in pixels", "Network", text="the data's; for folders the model's own",
        common=True,
    )  # fmt: skip
    widths: Sequence[int] | None = option(
        None, "base width of each stage, such as 16,32,64", "Network", text=NAMED, common=True, read=numbers,
        metavar="N,N,…",
    )  # fmt: skip
    block: str | None = option(
        None, "basic, bottleneck, single, triple, or a pattern such as basic,bottleneck", "Network", text=NAMED,
        common=True,
    )  # fmt: skip
