"""A layout: the names of another library's weights, and what its networks have that weights do not show."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reslab.data.batches.views import Interpolation
from reslab.errors import UserError
from reslab.nets.names import IMAGENET
from reslab.nets.row import Row
from reslab.nets.spec import BLOCK_LAYERS, Spec

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB values in 0..1


class Names(Protocol):
    """The names that a library gives to the weights of a network."""

    def key(self, row: Row, spec: Spec) -> str:
        """Return the name of a row's module, the prefix of its weights."""

    def spec(self, shapes: Shapes) -> Spec | None:
        """Return the network that names and shapes describe, or None if the names are not these.

        Raises UserError for a network that no `Spec` describes.
        """


@dataclass(frozen=True)
class Input:
    """How a library prepares images for a network. Mean and std are of values in 0..1.

    size            side of the network's input, in pixels
    shorter         the image's shorter side before the crop, in pixels
    """

    size: int
    shorter: int
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """A library's networks.

    fixed     what the tensors of this library's networks do not show, as fields of `Spec`: place of the stride, of
              the zero channels
    holds     why a network is none of this library's, in words, or ""
    """

    name: str
    names: Names
    input: Callable[[Spec], Input]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    holds: Callable[[Spec], str] = lambda spec: ""


@dataclass(frozen=True)
class StageNames:
    """Names by stage and block: "layer1.0.conv1". `{stage}` and `{block}` are numbers; `{layer}` counts the
    convolutions of a branch.

    first     numbers of the first stage, of the first block and of the first layer
    """

    stem: str
    stem_bn: str
    conv: str
    bn: str
    shortcut: str
    shortcut_bn: str
    head: str
    first: tuple[int, int, int] = (1, 0, 1)

    def key(self, row: Row, spec: Spec) -> str:
        if not row.block:
            return {"conv1": self.stem, "bn1": self.stem_bn, "fc": self.head}[row.name]
        stage, block = (int(number) for number in re.findall(r"\d+", row.block))
        local = row.name.rsplit(".", 1)[1]
        digits = re.search(r"\d+$", local)
        template = {
            ("shortcut", "conv"): self.shortcut, ("shortcut", "bn"): self.shortcut_bn,
            ("branch", "conv"): self.conv, ("branch", "bn"): self.bn,
        }[row.path, row.kind]  # fmt: skip
        return self._filled(template, stage - 2, block - 1, int(digits[0]) - 1 if digits else 0)

    def _filled(self, template: str, stage: int, block: int, layer: int = 0) -> str:
        """Return a template with numbers that are counted from 0 here."""
        numbers = dict(zip(("stage", "block", "layer"), (stage, block, layer), strict=True))
        return template.format(**{key: n + self.first[i] for i, (key, n) in enumerate(numbers.items())})

    def spec(self, shapes: Shapes) -> Spec | None:
        stem, head = shapes.get(f"{self.stem}.weight", ()), shapes.get(f"{self.head}.weight", ())
        if len(stem) != 4 or len(head) != 2:
            return None

        def conv(stage: int, block: int, layer: int) -> Shape:
            return shapes.get(f"{self._filled(self.conv, stage, block, layer)}.weight", ())

        blocks, widths = list[tuple[str, ...]](), list[int]()
        while len(conv(len(blocks), 0, 0)) == 4:
            stage, kinds = len(blocks), list[str]()
            while len(conv(stage, len(kinds), 0)) == 4:
                number = len(kinds)
                sides = [shape[-1] for k in range(4) if len(shape := conv(stage, number, k)) == 4]
                kind = KINDS.get(tuple(sides))
                if kind is None:
                    raise UserError(f"blocks with kernels {', '.join(f'{s}x{s}' for s in sides)} are not of the paper")
                kinds.append(kind)
            blocks.append(tuple(kinds))
            widths.append(conv(stage, 0, 0)[0])
        if not blocks:
            return None
        projected = [
            f"{self._filled(self.shortcut, stage, block)}.weight" in shapes
            for stage, kinds in enumerate(blocks)
            for block in range(len(kinds))
        ]
        return _spec(blocks, widths, stem, head[0], projected, f"{self.stem_bn}.weight" in shapes)


KINDS: dict[tuple[int, ...], str] = {(3, 3): "basic", (1, 3, 1): "bottleneck"}
STEMS: dict[int, str] = {3: "3x3", 7: "7x7"}


def _spec(
    blocks: list[tuple[str, ...]], widths: list[int], stem: Shape, classes: int, projected: list[bool], has_bn: bool
) -> Spec:
    """Return the network of the stages. Raises UserError if no `Spec` describes it."""
    if stem[-1] not in STEMS:
        raise UserError(f"a first convolution of {stem[-1]}x{stem[-1]} is not of the paper")
    if stem[0] != widths[0]:
        raise UserError(
            f"blocks of {widths[0]} channels after a first convolution of {stem[0]} are of a wide or grouped net, and "
            "none of the paper's"
        )
    depth = 2 + sum(BLOCK_LAYERS[kind] for kinds in blocks for kind in kinds)
    family = "imagenet" if len(blocks) == 4 else "cifar"
    if family == "imagenet" and IMAGENET.get(depth, ("", ()))[1] != tuple(map(len, blocks)):
        counts = "+".join(str(len(kinds)) for kinds in blocks)
        raise UserError(f"{counts} blocks ({depth} layers) are none of Table 1's nets")
    if family == "cifar" and (len(blocks) != 3 or len({len(kinds) for kinds in blocks}) > 1):
        raise UserError(f"{'+'.join(str(len(kinds)) for kinds in blocks)} blocks are not of the paper")
    shortcut = "C" if all(projected) else "B" if any(projected) else "A"
    return Spec(
        family, depth, tuple(blocks), tuple(widths), shortcut=shortcut, stem=STEMS[stem[-1]],  # type: ignore[arg-type]
        batch_norm=has_bn, classes=classes, in_channels=stem[1], image_size=224 if stem[-1] == 7 else 32,
    )  # fmt: skip
