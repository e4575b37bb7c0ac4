"""Names and switches to a `Spec`, and back: the only file that parses or derives a name.

`cifar_resnet56`, `cifar_plain56`, `resnet50`, `plain34`, `vgg19`, `mlp_resnet20`. CIFAR names need their prefix,
because 6n+2 includes 50 and 152. The depth sets the number of blocks; an impossible depth is an error that names the
nearest possible ones.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reslab.errors import UserError, suggest
from reslab.nets.spec import BLOCK_EXPANSION, BLOCK_LAYERS, DEEPEST, Spec

# Table 1: blocks per stage conv2_x … conv5_x. 18 and 34 layers have basic blocks, the others bottlenecks.
IMAGENET: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
# Simonyan & Zisserman 2014, configuration E: convolutions per stage, widths, and three fully connected layers.
VGG: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {19: ((2, 2, 4, 4, 4), (64, 128, 256, 512, 512))}

SWITCHES = (
    "shortcut", "stride_in", "order", "activation", "stem", "downsample", "batch_norm", "zero_init", "fan", "pad_at",
    "padding", "classes", "in_channels", "image_size", "widths", "block",
)  # fmt: skip

OF_SHORTCUTS = ("shortcut", "pad_at")

_NAME = re.compile(r"^(?P<prefix>cifar_|mlp_)?(?P<kind>resnet|plain|vgg)(?P<depth>\d+)$")


def listed() -> tuple[str, ...]:
    """Return the names that `reslab list` shows: every net of the paper and the notes, and small nets for digits."""
    cifar = [f"cifar_{kind}{n}" for kind in ("resnet", "plain") for n in (8, 14, 20, 32, 44, 56, 110, 1202)]
    imagenet = [f"{kind}{n}" for kind in ("resnet", "plain") for n in IMAGENET]
    mlp = [f"mlp_{kind}{n}" for kind in ("resnet", "plain") for n in (4, 10, 20, 40)]
    return (*cifar, *imagenet, *(f"vgg{n}" for n in VGG), *mlp)


def matching(glob: str | None) -> tuple[str, ...]:
    """Return the listed names that match a shell pattern. Raises UserError, with the nearest names, if none does."""
    names = listed()
    matches = tuple(n for n in names if glob is None or fnmatch.fnmatch(n, glob))
    if not matches:
        raise UserError(
            f"no model matches {glob!r}{suggest(str(glob).strip('*'), names)}; `reslab list` shows them all"
        )
    return matches


def spec_of(name: str, **switches: Any) -> Spec:
    """Return the `Spec` of a model's name with `switches`; None keeps a switch at the paper's value.

    Switches are the fields of `Spec` named in SWITCHES, and `block`: "basic" (the default of cifar_ and mlp_ nets),
    "bottleneck", "single", "triple", or a pattern that is repeated through each stage ("basic,bottleneck").
    Raises UserError for unknown names, switches and depths.
    """
    for key in switches:
        if key not in SWITCHES:
            raise UserError(f"unknown option {key!r}{suggest(key, SWITCHES)}; options are {', '.join(SWITCHES)}")
    given = {k: v for k, v in switches.items() if v is not None}
    match = _NAME.match(name)
    if not match:
        raise UserError(f"unknown model {name!r}{suggest(name, listed())}; `reslab list` shows them all")
    prefix, kind, digits = match["prefix"] or "", match["kind"], match["depth"]
    if len(digits) > len(str(DEEPEST)) or int(digits) > DEEPEST:
        raise UserError(f"unknown model {prefix}{kind}{digits[:20]}: the deepest net has {DEEPEST:,} layers")
    depth = int(digits)
    block = given.pop("block", None)
    if block is not None and not isinstance(block, str):
        raise UserError(f"block: {block!r} is not text; give basic, or a pattern such as basic,bottleneck")
    if "widths" in given:
        if not isinstance(given["widths"], Sequence) or isinstance(given["widths"], str):
            raise UserError(f"widths: {given['widths']!r} is not a list; give a width for each stage: (16, 32, 64)")
        given["widths"] = tuple(given["widths"])
    residual = kind != "plain"
    if kind == "vgg":
        if prefix or depth not in VGG:
            raise UserError(f"unknown model {name!r}{suggest(name, listed())}; VGG is built with 19 layers: vgg19")
        return _vgg(depth, block, given)
    shortcut_switches = {k: given[k] for k in OF_SHORTCUTS if k in given}
    if prefix == "cifar_":
        spec = _cifar(depth, residual, block or "basic", given)
    elif prefix == "mlp_":
        spec = _mlp(depth, residual, block or "basic", given)
    else:
        spec = _imagenet(name, depth, residual, block, given)
    if shortcut_switches and not residual:
        plain, twin = spec_of(name, block=block), name_of(replace(spec, residual=True))
        for key, value in shortcut_switches.items():
            if value != getattr(plain, key):  # it has no effect, but titles would show it
                raise UserError(f"{key}: {name} is a plain net and has no shortcuts; {twin} has")
    return spec


def _pattern(block: str) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in block.split(","))
    for kind in kinds:
        if kind not in BLOCK_LAYERS:
            raise UserError(f"block: {kind!r} is none of {', '.join(BLOCK_LAYERS)}{suggest(kind, BLOCK_LAYERS)}")
    return kinds


def _repeats(family: str, depth: int, stages: int, pattern: tuple[str, ...]) -> int:
    """Return n of depth = stages · layers · n + 2. Raises UserError, with the nearest depths, if n is not whole."""
    step = stages * sum(BLOCK_LAYERS[k] for k in pattern)
    n, rest = divmod(depth - 2, step)
    if rest == 0 and n >= 1:
        return n
    near = sorted(depth for depth in {step * max(1, n + d) + 2 for d in (0, 1)} if depth <= DEEPEST)
    formula = (
        f"{stages} stages of n times {'+'.join(pattern)} ({step // stages} layers), the first convolution and the head"
    )
    if family == "mlp":
        formula = f"n blocks of {step} layers, the first layer and the head"
    also = ""
    if family == "cifar" and pattern == ("basic",) and depth > 2 and (depth - 2) % 9 == 0:
        also = f"; with --block bottleneck (9n+2) {depth} exists"
    raise UserError(
        f"depth {depth}: {depth} is not {step}n+2 ({formula}); the nearest that exist are "
        f"{' and '.join(map(str, near))}{also}"
    )


def _cifar(depth: int, residual: bool, block: str, given: dict[str, Any]) -> Spec:
    """Return a net of §4.2: three stages of 16, 32, 64 channels, option A; B for mixed blocks, whose widths shrink."""
    pattern = _pattern(block)
    n = _repeats("cifar", depth, 3, pattern)
    mixed = len({BLOCK_EXPANSION[k] for k in pattern}) > 1
    base = Spec(
        "cifar",
        depth,
        blocks=(pattern * n,) * 3,
        widths=(16, 32, 64),
        residual=residual,
        shortcut="B" if mixed else "A",
    )
    return replace(base, **given)


def _imagenet(name: str, depth: int, residual: bool, block: str | None, given: dict[str, Any]) -> Spec:
    """Return a net of Table 1. The default is option B, as in the authors' release; Table 2 uses A for 18 and 34."""
    if depth not in IMAGENET:
        kind = "resnet" if residual else "plain"
        hint = ""
        if depth > 2 and (depth - 2) % 6 == 0:
            hint = f"; for 32x32 images there is cifar_{kind}{depth}"
        raise UserError(
            f"unknown model {name!r}: Table 1 has {', '.join(map(str, IMAGENET))} layers{hint}{suggest(name, listed())}"
        )
    kind, counts = IMAGENET[depth]
    if block is not None and block != kind:
        raise UserError(
            f"block: {name} is built of {kind} blocks (Table 1); "
            "--block applies to cifar_ and mlp_ nets, whose depth follows from it"
        )
    base = Spec(
        "imagenet",
        depth,
        blocks=tuple((kind,) * count for count in counts),
        widths=(64, 128, 256, 512),
        residual=residual,
        stem="7x7",
        classes=1000,
        image_size=224,
    )
    return replace(base, **given)


def _mlp(depth: int, residual: bool, block: str, given: dict[str, Any]) -> Spec:
    """Return an MLP of note 001: a[l+2] = g(z[l+2] + a[l]), or W_s a[l] if widths differ. With biases, without BN."""
    pattern = _pattern(block)
    if "bottleneck" in pattern:
        raise UserError("block: an MLP has no bottleneck; use single, basic or triple (a skip of 1, 2 or 3 layers)")
    widths = given.pop("widths", (64,))
    for key in ("stem", "stride_in", "downsample"):
        if given.pop(key, None) is not None:
            raise UserError(f"{key}: an MLP has no {key.replace('_', ' ')}; it is a switch of convolutional nets")
    total = _repeats("mlp", depth, 1, pattern)
    if total < len(widths):
        raise UserError(
            f"widths: {len(widths)} widths need at least as many repeats of blocks, depth {depth} has {total}"
        )
    share, extra = divmod(total, len(widths))
    blocks = tuple(pattern * (share + (1 if i < extra else 0)) for i in range(len(widths)))
    base = Spec("mlp", depth, blocks=blocks, widths=tuple(widths), residual=residual, batch_norm=False, stem="none")
    return replace(base, **given)


def _vgg(depth: int, block: str | None, given: dict[str, Any]) -> Spec:
    """Return a net of Simonyan & Zisserman 2014. It has no shortcuts, so only the general switches apply."""
    counts, widths = VGG[depth]
    allowed = ("activation", "batch_norm", "fan", "padding", "classes", "in_channels", "image_size", "widths")
    for key in [*given, *(["block"] if block else [])]:
        if key not in allowed:
            raise UserError(f"{key}: vgg{depth} has no blocks with shortcuts; it takes {', '.join(allowed)}")
    base = Spec(
        "vgg",
        depth,
        blocks=tuple(("single",) * count for count in counts),
        widths=widths,
        residual=False,
        batch_norm=False,
        stem="none",
        downsample="pool",
        dropout=0.5,
        classes=1000,
        image_size=224,
    )
    return replace(base, **given)


def name_of(spec: Spec) -> str:
    """Return the name that `spec_of` reads; `switches_of` returns the switches that go with it."""
    if spec.family == "vgg":
        return f"vgg{spec.depth}"
    prefix = {"cifar": "cifar_", "mlp": "mlp_"}.get(spec.family, "")
    return f"{prefix}{'resnet' if spec.residual else 'plain'}{spec.depth}"


def block_of(spec: Spec) -> str:
    """Return the block pattern that `spec_of` takes: the shortest list that repeats through the first stage."""
    first = spec.blocks[0]
    for length in range(1, len(first) + 1):
        if len(first) % length == 0 and first[:length] * (len(first) // length) == first:
            return ",".join(first[:length])
    raise AssertionError("unreachable: a sequence repeats itself")


def switches_of(spec: Spec) -> dict[str, Any]:
    """Return the switches that differ from the name's own values: `spec_of(name_of(s), **switches_of(s)) == s`."""
    block = None if spec.family in ("vgg", "imagenet") else block_of(spec)
    paper = spec_of(name_of(spec), block=block)
    changed: dict[str, Any] = {}
    if block not in (None, "basic"):
        changed["block"] = block
    for key in SWITCHES:
        if key != "block" and getattr(spec, key) != getattr(paper, key):
            changed[key] = getattr(spec, key)
    return changed
