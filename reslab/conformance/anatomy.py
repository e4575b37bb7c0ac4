"""A trace in the paper's terms: stem, blocks with branch and shortcut, head, and what is none of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from reslab.conformance.paths import Join, Path, main_path
from reslab.conformance.record import Node
from reslab.conformance.trace import Trace
from reslab.nets.spec import BLOCK_LAYERS, Spec

Nodes = tuple[Node, ...]
_STEPS = ("conv", "linear", "norm", "act", "maxpool", "avgpool", "subsample", "gap", "dropout")


@dataclass(frozen=True)
class Block:
    """A residual block, or layers without a shortcut.

    lead      nodes since the block before, up to where branch and shortcut part
    branch    nodes of F
    shortcut  the other path; None without one
    first     the node that both paths read
    last      the addition; without a shortcut the last node of the branch
    """

    lead: Nodes
    branch: Nodes
    shortcut: Path | None
    first: Node
    last: Node

    @property
    def layers(self) -> Nodes:
        """The weight layers of the branch."""
        return weight_layers(self.branch)

    @property
    def base_width(self) -> int:
        """Channels of the layer with the largest kernel."""
        return max(self.layers, key=lambda layer: layer.facts.kernel, default=self.last).shape[1]


@dataclass(frozen=True)
class Anatomy:
    """The parts of a network. `tail`: nodes between the last block and the head; `extras`: what the paper has not."""

    trace: Trace
    stem: Nodes
    blocks: tuple[Block, ...]
    tail: Nodes
    head: Nodes
    extras: Counter[str]

    @property
    def is_residual(self) -> bool:
        return any(block.shortcut is not None for block in self.blocks)

    @property
    def trunk(self) -> Nodes:
        """The nodes of stem, branches, what is between them, and head, in order."""
        inner = (node for block in self.blocks for node in (*block.lead, *block.branch))
        return (*self.stem, *inner, *self.tail, *self.head)

    @property
    def shortcuts(self) -> list[Path]:
        return [block.shortcut for block in self.blocks if block.shortcut is not None]

    @property
    def depth(self) -> int:
        """Weight layers, counted as in the paper: those of shortcuts and side paths do not count."""
        return len(weight_layers(self.trunk))

    def stages(self) -> list[list[Block]]:
        """Return the blocks by stage: one begins if the map or the base width changes."""
        stages: list[list[Block]] = []
        place = None
        for block in self.blocks:
            here = (block.last.size, block.base_width)
            if here != place:
                stages.append([])
            stages[-1].append(block)
            place = here
        return stages


def weight_layers(nodes: Iterable[Node]) -> Nodes:
    return tuple(node for node in nodes if node.is_weight_layer)


@dataclass(frozen=True)
class _Open:
    """Branch and shortcut part at `fork`."""

    fork: Node


@dataclass(frozen=True)
class _Close:
    """The addition `node`."""

    node: Node
    shortcut: Path


@dataclass
class _Steps:
    """The main path, laid flat: nodes, and the begin and end of each block."""

    steps: list[Node | _Open | _Close] = field(default_factory=list)
    extras: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path) -> None:
        if not path.regular:
            self.extras["a connection that bypasses a fork"] += 1
        for item in path.items:
            if isinstance(item, Node):
                self.steps.append(item)
                continue
            nested = item.main.additions
            if item.node.kind == "add" and not nested:
                self.steps.append(_Open(item.fork))
                self.add(item.main)
                self.steps.append(_Close(item.node, item.sides[0]))
                if item.node.name != "+":
                    self.extras[item.node.name] += 1
                continue
            if item.node.kind == "add":
                self.extras[f"shortcut over {nested} block{'s' if nested > 1 else ''}"] += 1
            else:
                self.extras[_side(item)] += 1
            self.add(item.main)
            if item.node.is_weight_layer:
                self.steps.append(item.node)


def _side(join: Join) -> str:
    """Return a gate, a concatenation, … in words."""
    if join.node.kind != "mul":
        return join.node.name
    names = [node.name for side in join.sides for node in side.nodes()]
    is_squeeze = "global average" in names and any("sigmoid" in name for name in names)
    return f"{'squeeze-and-excitation' if is_squeeze else 'gate'} ({', '.join(names) or 'its own square'})"


def _extras(nodes: Iterable[Node]) -> Counter[str]:
    """Return what the paper's nets have nowhere on the main path, and pooling that keeps the map's size."""
    counts: Counter[str] = Counter()
    for node in nodes:
        if node.kind not in _STEPS or (node.kind in ("maxpool", "avgpool") and node.facts.stride == 1):
            counts[node.name] += 1
        elif node.computed:
            counts["weights that are computed from others"] += 1
    return counts


def _normalises(step: Node | _Open | _Close) -> bool:
    """Return whether a first step shifts or scales the images by constants, as the paper does outside of the net."""
    return isinstance(step, Node) and step.kind in ("scale", "shift") and not step.name.startswith("a learned")


def anatomy(trace: Trace, spec: Spec | None = None) -> Anatomy:
    """Return the anatomy of `trace`. A net without additions is cut into blocks as long as those of `spec`."""
    flat = _Steps()
    flat.add(main_path(trace))
    while flat.steps and _normalises(flat.steps[0]):
        flat.steps.pop(0)
    if flat.steps and isinstance(last := flat.steps[-1], Node) and last.kind == "softmax":
        flat.steps.pop()  # the paper's nets end with it (§3.3); the loss often has it
    nodes = [step for step in flat.steps if isinstance(step, Node)]
    if any(isinstance(step, _Open) for step in flat.steps):
        stem, blocks, rest = _residual(flat.steps)
    else:
        stem, blocks, rest = _plain([node for node in nodes if node.kind in _STEPS], spec)
    start = next((n for n, node in enumerate(rest) if node.kind in ("gap", "linear")), len(rest))
    in_stem = {node.index for node in stem if node.kind in ("maxpool", "avgpool")}
    extras = flat.extras + _extras(node for node in nodes if node.index not in in_stem)
    return Anatomy(trace, tuple(stem), tuple(blocks), tuple(rest[:start]), tuple(rest[start:]), extras)


def _last_layer(run: list[Node]) -> int:
    """Return the number of nodes up to the last convolution of `run`, without a classifier."""
    end = next((n for n, node in enumerate(run) if node.kind in ("gap", "linear")), len(run))
    return max((n + 1 for n, node in enumerate(run[:end]) if node.kind == "conv"), default=0)


def _residual(steps: list[Node | _Open | _Close]) -> tuple[list[Node], list[Block], list[Node]]:
    stem: list[Node] | None = None
    blocks: list[Block] = []
    run: list[Node] = []
    lead: list[Node] = []
    fork: Node | None = None
    for step in steps:
        if isinstance(step, Node):
            run.append(step)
        elif isinstance(step, _Open):
            if stem is None:
                stem, lead = run, []
            else:
                lead = _split(blocks, run)
            run, fork = [], step.fork
        elif fork is not None:
            blocks.append(Block(tuple(lead), tuple(run), step.shortcut, fork, step.node))
            run = []
    return stem or [], blocks, _split(blocks, run)


def _split(blocks: list[Block], run: list[Node]) -> list[Node]:
    """Append the layers of `run`, which no shortcut passes, as a block, and return what follows them."""
    end = _last_layer(run)
    if end:
        start = next(n for n, node in enumerate(run) if node.kind == "conv")
        blocks.append(Block(tuple(run[:start]), tuple(run[start:end]), None, blocks[-1].last, run[end - 1]))
    return run[end:]


def _plain(nodes: list[Node], spec: Spec | None) -> tuple[list[Node], list[Block], list[Node]]:
    """Cut a net without additions: the stem has one layer, unless the reference has none (VGG)."""
    places = [n for n, node in enumerate(nodes[: _last_layer(nodes)]) if node.kind == "conv"]
    lengths = [BLOCK_LAYERS[kind] for stage in spec.blocks for kind in stage] if spec else []
    stem_layers = 0 if spec and spec.stem == "none" else 1
    if stem_layers + sum(lengths) != len(places):
        usual = max(lengths, key=lengths.count) if lengths else 1
        count, rest = divmod(len(places) - stem_layers, usual)
        lengths = [usual] * count + ([rest] if rest > 0 else [])
    ends = [*places[stem_layers:], _last_layer(nodes)]
    stem, blocks, at = nodes[: ends[0]] if lengths else nodes[: _last_layer(nodes)], [], 0
    after = len(stem)
    for length in lengths:
        start, end = ends[at], places[stem_layers + at + length - 1] + 1
        first = nodes[start - 1] if start else nodes[0]
        blocks.append(Block(tuple(nodes[after:start]), tuple(nodes[start:end]), None, first, nodes[end - 1]))
        at, after = at + length, end
    return stem, blocks, nodes[after:]
