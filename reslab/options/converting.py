"""The options of the verbs that bring weights in and out: `import`, `export`. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from reslab.errors import UserError
from reslab.nets.spec import PadAt, Padding, StrideIn
from reslab.options import shared
from reslab.options.option import Options, option

LayoutName = Literal["torchvision", "timm", "transformers", "akamaster", "kuangliu"]
OF_LAYOUT = "the layout's"


def fractions(flag: str, text: str) -> tuple[float, ...]:
    """Return "0.485,0.456,0.406" as floats. Raises UserError if `text` is not such a list of finite numbers."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise UserError(f"{flag}: {text!r}: expected numbers separated by commas, such as 0.485,0.456,0.406")
    return values


@dataclass(frozen=True)
class ExportOptions(Options):
    """Where weights go."""

    verb: ClassVar[str] = "export"

    to: Literal["safetensors", "torchvision", "timm", "onnx", "onnx-int8", "page"] = option(
        "safetensors",
        "safetensors: one file with our names; torchvision, timm: weights for that library; onnx, onnx-int8 (in 8 "
        "bits): for other runtimes; page: an HTML file that runs it",
        "Output",
        common=True,
    )
    out: Path | None = option(
        None, "file to write", "Output", text="named after model and target", common=True,
    )  # fmt: skip
    with_preprocessing: bool = option(
        False, "onnx: take decoded pictures of any size", "Output", common=True,
    )  # fmt: skip
    data: Any = option(
        None, "onnx, page: pictures to compare answers on, as in `reslab train`; onnx-int8: also to calibrate on",
        "Data", text="the run's; made pictures if they are not here, but for onnx-int8",
    )  # fmt: skip
    min_agreement: float = option(
        99.0, "onnx-int8, page: smallest share of answers that equal fp32's, in percent; with fewer nothing is written",
        "Output", least=0, most=100,
    )  # fmt: skip
    lang: shared.Language = shared.lang("page: its language")


@dataclass(frozen=True)
class ImportOptions(Options):
    """What a file of weights does not show. None takes it from the layout, and it is printed as assumed."""

    verb: ClassVar[str] = "import"

    out: Path | None = option(
        None, "model folder to write", "Output", text="none: only prints what the weights are", common=True,
    )  # fmt: skip
    layout: LayoutName | None = option(
        None, "whose names the weights have", "Network", text="recognised by names and shapes", common=True,
    )  # fmt: skip
    entry: str | None = option(
        None, "name of the state dict in the file, if it holds several", "Data",
        text="averaged weights (EMA), else the only one",
    )  # fmt: skip
    names: Path | None = option(
        None, "text file with a class name per line, in the order of the logits", "Data", text=OF_LAYOUT, common=True,
    )  # fmt: skip
    stride_in: StrideIn | None = option(
        None, "layer with a bottleneck's stride: the first 1x1 (paper) or the 3x3 (v1.5)", "Network", text=OF_LAYOUT,
    )  # fmt: skip
    pad_at: PadAt | None = option(
        None, "where option A adds zero channels: at the end or on both sides", "Network", text=OF_LAYOUT,
    )  # fmt: skip
    padding: Padding | None = option(
        None, "beyond a map's edge, convolutions see zeros, or the opposite edge (circular)", "Network", text="zeros",
    )  # fmt: skip
    image_size: int | None = option(
        None, "side of the square that the network sees, in pixels", "Data", text=OF_LAYOUT, least=1,
    )  # fmt: skip
    shorter: int | None = option(
        None, "shorter side of an image before its centre is cropped, in pixels", "Data", text=OF_LAYOUT, least=1,
    )  # fmt: skip
    interpolation: Literal["bilinear", "bicubic"] | None = option(
        None, "filter that resizes images", "Data", text=OF_LAYOUT,
    )  # fmt: skip
    mean: Sequence[float] | None = option(
        None, "mean of each channel, of values in 0..1", "Data", text=OF_LAYOUT, read=fractions, metavar="N,N,…",
    )  # fmt: skip
    std: Sequence[float] | None = option(
        None, "standard deviation of each channel, of values in 0..1", "Data", text=OF_LAYOUT, read=fractions,
        metavar="N,N,…",
    )  # fmt: skip
