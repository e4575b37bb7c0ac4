"""The path of a trace from the image to its output, with what joins it: additions, gates, concatenations.

Operands that join parted at their latest common ancestor. The main operand has more weight layers since then; the
others are side paths: an addition's is its shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_

from reslab.conformance.record import Node
from reslab.conformance.trace import Trace
from reslab.errors import UserError


@dataclass(frozen=True)
class Path:
    """Nodes and joins in order of computation.

    layers     weight layers on it, along the main operands
    additions  additions on it, along the main operands
    kernel     largest kernel of its convolutions
    regular    it begins where its operands parted
    """

    items: tuple[Node | Join, ...]
    layers: int
    additions: int
    kernel: int
    regular: bool = True

    def nodes(self) -> list[Node]:
        """Return its nodes and those of all paths that join it, each once."""
        nodes: dict[int, Node] = {}
        ahead: list[Path] = [self]
        while ahead:
            for part in ahead.pop().items:
                if isinstance(part, Node):
                    nodes[part.index] = part
                elif part.node.index not in nodes:  # paths share their beginnings
                    nodes[part.node.index] = part.node
                    ahead += [part.main, *part.sides]
        return [nodes[index] for index in sorted(nodes)]


@dataclass(frozen=True)
class Join:
    """A node with several operands: the `main` one and the side paths, all from node `fork`."""

    node: Node
    fork: Node
    main: Path
    sides: tuple[Path, ...]


class _Walk:
    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = nodes
        self.known: dict[tuple[int, int], Path] = {}
        self.ancestors: list[int] = []  # of each node and itself, as bits
        for node in nodes:
            self.ancestors.append(reduce(or_, (self.ancestors[i] for i in node.inputs), 1 << node.index))

    def path(self, end: int, start: int) -> Path:
        """Return the path from after node `start` to node `end`."""
        if (end, start) not in self.known:
            self.known[end, start] = self._path(end, start)
        return self.known[end, start]

    def _path(self, end: int, start: int) -> Path:
        items: list[Node | Join] = []
        at, layers, additions, kernel = end, 0, 0, 0
        while at > start:
            node = self.nodes[at]
            if node.is_weight_layer:
                layers, kernel = layers + 1, max(kernel, node.facts.kernel)
            if len(node.inputs) < 2:
                items.append(node)
                at = node.inputs[0] if node.inputs else -1
                continue
            item = self._join(node)
            items.append(item)
            if isinstance(item, Join):
                layers, kernel = layers + item.main.layers, max(kernel, item.main.kernel)
                additions += item.main.additions + (node.kind == "add")
                at = item.fork.index
            else:
                at = item.inputs[0]
        return Path(tuple(reversed(items)), layers, additions, kernel, regular=at == start)

    def _join(self, node: Node) -> Join | Node:
        fork = reduce(and_, (self.ancestors[i] for i in node.inputs)).bit_length() - 1
        operands = [self.path(i, fork) for i in node.inputs]
        if node.kind == "mul" and (swish := _swish(node, operands, fork)):
            return swish

        def weight(n: int) -> tuple[int, ...]:
            size = reduce(int.__mul__, self.nodes[node.inputs[n]].shape, 1) if node.kind == "mul" else 0
            return size, operands[n].layers, operands[n].kernel, -n

        main = max(range(len(operands)), key=weight)
        sides = tuple(path for n, path in enumerate(operands) if n != main)
        return Join(node, self.nodes[fork], operands[main], sides)


def _swish(node: Node, operands: list[Path], fork: int) -> Node | None:
    """Return x times sigmoid(x) as one activation, or None."""
    gates = [[i.name if isinstance(i, Node) else "" for i in path.items] for path in operands]
    name = {"sigmoid": "silu", "hardsigmoid": "hardswish"}.get(gates[0][0] if gates[0] else (gates[1] or [""])[0])
    if sorted(map(len, gates)) != [0, 1] or name is None:
        return None
    return replace(node, facts=replace(node.facts, kind="act", name=name), inputs=(fork,))


def main_path(trace: Trace) -> Path:
    """Return the path from the image to the output of `trace`. Raises UserError if joins are nested too deeply."""
    try:
        return _Walk(trace.nodes).path(trace.output, 0)
    except RecursionError:
        raise UserError("this network's connections are nested too deeply to be followed; audit a part of it") from None
