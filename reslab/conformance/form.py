"""The items of an audit about a network's form: depth, blocks, widths, maps, strides, shortcuts."""

from __future__ import annotations

from collections import Counter

from reslab.conformance.anatomy import Anatomy, Block
from reslab.conformance.finding import Compare, Finding, counted, source
from reslab.conformance.net import Net
from reslab.conformance.record import Node
from reslab.nets.spec import Spec

SUBSAMPLED = "every second pixel"


def _depth(found: Net, paper: Net, spec: Spec) -> Finding:
    def words(net: Net) -> str:
        return f"{net.anatomy.depth} weight layers, blocks {'+'.join(map(str, _lengths(net.anatomy))) or 'none'}"

    differs = found.anatomy.depth != paper.anatomy.depth
    if set(_kernels(found.anatomy)) == set(_kernels(paper.anatomy)):
        differs = differs or _lengths(found.anatomy) != _lengths(paper.anatomy)
    return Finding(words(paper) + source(spec, "§4.2: 6n+2", "Table 1"), words(found), differs)


def _lengths(anatomy: Anatomy) -> list[int]:
    return [len(stage) for stage in anatomy.stages()]


def _kernels(anatomy: Anatomy) -> Counter[str]:
    return Counter(", ".join(layer.name for layer in block.layers) or "no layer" for block in anatomy.blocks)


def _block(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _kernels(found.anatomy), _kernels(paper.anatomy)
    differs = a != b if a.total() == b.total() else set(a) != set(b)
    return Finding(counted(b, "block") + source(spec, "§4.2", "Table 1, Fig. 5"), counted(a, "block"), differs)


def _stem(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _stem_words(found.anatomy), _stem_words(paper.anatomy)
    return Finding(b + source(spec, "§4.2", "Table 1"), a, a != b)


def _stem_words(anatomy: Anatomy) -> str:
    shown = ("conv", "linear", "maxpool", "avgpool", "subsample")
    layers = [
        node.name + (f" /{node.facts.stride}" if node.facts.stride > 1 else "")
        for node in anatomy.stem
        if node.kind in shown
    ]
    size = anatomy.stem[-1].size if anatomy.stem else anatomy.trace.image[1]
    return f"{', '.join(layers) or 'none'}; map {size}x{size}"


def _width(found: Net, paper: Net, spec: Spec) -> Finding:
    origin = source(spec, "§4.2", "Table 1")
    whole = set(_kernels(found.anatomy)) == set(_kernels(paper.anatomy))
    a, b = _widths(found.anatomy, whole), _widths(paper.anatomy, whole)
    differs = any(here != there for here, there in zip(a, b, strict=False))
    words = ["; ".join(" or ".join(sorted(stage)) or "none" for stage in widths) for widths in (b, a)]
    return Finding(words[0] + origin, words[1], differs)


def _widths(anatomy: Anatomy, whole: bool) -> list[set[str]]:
    """Return the channels of the stem and of each stage's layers.

    whole   all layers of a block; otherwise the one with the largest kernel
    """
    stem = [node for node in anatomy.stem if node.is_weight_layer][-1:]
    stages = [
        {"-".join(str(layer.shape[1]) for layer in block.layers) if whole else str(block.base_width) for block in stage}
        for stage in anatomy.stages()
    ]
    return [{str(layer.shape[1]) for layer in stem}, *stages]


def _groups(found: Net, paper: Net, spec: Spec) -> Finding:
    def groups(net: Net) -> Counter[str]:
        return Counter(_grouped(node) for node in net.anatomy.trunk if node.kind == "conv")

    a, b = groups(found), groups(paper)
    return Finding(
        counted(b, "convolution") + source(spec, "§4.2", "Table 1"), counted(a, "convolution"), set(a) != set(b)
    )


def _grouped(node: Node) -> str:
    groups = node.facts.groups
    return "depthwise" if groups == node.facts.c_in > 1 else f"{groups} group{'s' if groups > 1 else ''}"


def _downsample(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _shares(found.anatomy), _shares(paper.anatomy)
    differs = any(here != there for here, there in zip(a, b, strict=False))
    origin = source(spec, "§4.2: maps of 32, 16, 8", "Table 1: conv3_1, conv4_1, conv5_1")
    return Finding(f"maps {', '.join(b)} of the stem's{origin}", f"maps {', '.join(a)} of the stem's", differs)


def _shares(anatomy: Anatomy) -> list[str]:
    """Return each stage's map side as a share of the stem's: "1/2"; the sides themselves if no strides explain it."""
    shares: list[str] = []
    factor = 1
    for stage in anatomy.stages():
        stem = anatomy.blocks[0].first.size
        for block in stage:
            for node in (*block.lead, *block.branch):
                factor *= node.facts.stride
        size = stage[-1].last.size
        fits = stem // factor <= size <= -(-stem // factor)
        shares.append(("1" if factor == 1 else f"1/{factor}") if fits else f"{size}/{stem}")
    return shares


def _stride(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _strides(found.anatomy), _strides(paper.anatomy)
    kinds = [Counter(place for place, _, _ in places) for places in (a, b)]
    words = [Counter(word for _, word, _ in places) for places in (a, b)]
    differs = bool(a) and bool(b) and set(kinds[0]) != set(kinds[1])
    where = ", ".join(name for _, _, name in a[:3] if name) + (", …" if len(a) > 3 else "")
    origin = source(spec, "§4.2", "Table 1; the authors' release")
    shown = counted(words[0], "block") if a else "no block halves the map"
    return Finding(counted(words[1], "block") + origin, f"{shown}: {where}" if differs and where else shown, differs)


def _strides(anatomy: Anatomy) -> list[tuple[str, str, str]]:
    """Return (place, words, layer's name) of each stride above 1 in the blocks."""
    places = []
    for block in anatomy.blocks:
        layers = [layer.name for layer in block.layers]
        number = 0
        for node in (*block.lead, *block.branch):
            number += node.is_weight_layer
            if node.facts.stride < 2:
                continue
            if not node.is_weight_layer:
                places.append((node.name, f"{node.name} before layer {number + 1}", ""))
                continue
            word = f"in the {'first ' if layers.count(node.name) > 1 and number == 1 else ''}{node.name}"
            if layers.count(node.name) > 1 and number > 1:
                word = f"in layer {number}, {node.name}"
            name = next(iter(node.names.get("weight", ())), "").removesuffix(".weight")
            places.append((str(number), word, name))
    return places


def _shortcut(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _by_shape(found.anatomy), _by_shape(paper.anatomy)
    words = _shortcut_words(b)
    if not b["size"]:  # the paper's nets always change the channels, too
        b["size"] = Counter({SUBSAMPLED: 1}) if spec.residual and spec.shortcut == "A" else b["channels"]
    differs = any(here and b[change] and set(here) != set(b[change]) for change, here in a.items())
    if spec.residual:
        text = f"option {spec.shortcut}: {words}{source(spec, '§4.2: option A', '§3.3, §4.1')}"
    else:
        text = "none, a plain net (§3.3)"
    return Finding(text, _shortcut_words(a), differs)


def _by_shape(anatomy: Anatomy) -> dict[str, Counter[str]]:
    """Return the shortcuts of the blocks that keep the shape, change its size alone, or its channels."""
    shortcuts = {change: Counter[str]() for change in ("none", "size", "channels")}
    for block in anatomy.blocks:
        before, after = block.first.shape[1:], block.last.shape[1:]
        change = "none" if before == after else "size" if before[0] == after[0] else "channels"
        shortcuts[change][_path_words(block)] += 1
    return shortcuts


def _path_words(block: Block) -> str:
    """Return a shortcut in words. Its BN belongs to the order, its stride follows from the shape."""
    if block.shortcut is None:
        return "none"
    words = [_node_words(n) for n in block.shortcut.nodes() if n.kind not in ("norm", "subsample", "dropout")]
    return ", ".join(words) or (SUBSAMPLED if block.shortcut.nodes() else "identity")


def _node_words(node: Node) -> str:
    if not node.is_weight_layer:
        return node.name
    return f"{node.name} projection{f' in {node.facts.groups} groups' if node.facts.groups > 1 else ''}"


def _shortcut_words(shortcuts: dict[str, Counter[str]]) -> str:
    same, changing = shortcuts["none"], shortcuts["channels"] + shortcuts["size"]
    if set(same) == set(changing) or not (same and changing):
        return counted(same + changing, "block")
    return f"{counted(same, 'block')}; if the shape changes: {counted(changing, 'block')}"


FORM: dict[str, Compare] = {
    "depth": _depth,
    "block": _block,
    "stem": _stem,
    "width": _width,
    "groups": _groups,
    "downsample": _downsample,
    "stride": _stride,
    "shortcut": _shortcut,
}
