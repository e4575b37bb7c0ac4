"""The items of an audit about layers: order, batch norm, activation, biases, head, and what the paper has not."""

from __future__ import annotations

from collections import Counter

from reslab.conformance.anatomy import Anatomy
from reslab.conformance.finding import Compare, Finding, counted, source
from reslab.conformance.net import Net
from reslab.conformance.order import differing_orders, order_words
from reslab.conformance.record import Node
from reslab.nets.spec import Spec


def _order(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = order_words(found.anatomy), order_words(paper.anatomy)
    places = differing_orders(found.anatomy, paper.anatomy)
    differs = "blocks" in places
    usual = b.most_common(1)[0][0]
    others = Counter({word: n for word, n in a.items() if word not in b}) if differs else Counter()
    if others and len(others) < len(a):  # the other blocks are as in the paper's net
        shown = ", ".join(f"{word} in {n} of {a.total()} blocks" for word, n in others.most_common())
    else:
        shown = counted(a if differs else Counter(dict(a.most_common(1))), "block")
    origin = "He et al. 2016" if spec.order == "pre" else "§3.4; Fig. 2"
    others_differ = [place for place in places if place != "blocks"]
    return Finding(f"{usual} ({origin})", "; ".join([shown, *others_differ]), bool(places))


def _norm(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = (_kinds(net.anatomy, "norm") for net in (found, paper))
    return Finding("batch norm (§3.4)" if b else "none", counted(a, "layer"), set(a) != set(b))


def _activation(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = (_kinds(net.anatomy, "act") for net in (found, paper))
    return Finding(f"{counted(b, 'layer')} (§3.2, Fig. 2)", counted(a, "layer"), set(a) != set(b))


def _kinds(anatomy: Anatomy, kind: str) -> Counter[str]:
    """Return the names of the nodes of a kind, outside of the head; batch norm also of shortcuts."""
    nodes = [*anatomy.trunk[: len(anatomy.trunk) - len(anatomy.head)]]
    if kind == "norm":
        nodes += [node for path in anatomy.shortcuts for node in path.nodes()]
    return Counter(node.name for node in nodes if node.kind == kind)


def _bias(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _biases(found.anatomy), _biases(paper.anatomy)
    words = "every convolution" if b[0] else "no convolution; BN's β takes its place (the authors' release)"
    shown = f"{a[0]} of {a[1]} convolutions" if a[0] else "no convolution"
    return Finding(words, shown, (a[0] > 0, a[0] == a[1]) != (b[0] > 0, b[0] == b[1]))


def _biases(anatomy: Anatomy) -> tuple[int, int]:
    """Return the convolutions with a bias, and all of them, of trunk and shortcuts."""
    nodes: list[Node] = [*anatomy.trunk, *(node for path in anatomy.shortcuts for node in path.nodes())]
    convolutions = [node for node in nodes if node.kind == "conv"]
    return sum(node.facts.has_bias for node in convolutions), len(convolutions)


def _extra(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _extras(found), _extras(paper)
    text = f"nothing else, no dropout{source(spec, '§4.2', '§3.4')}" if not b else _listed(b)
    return Finding(text, _listed(a) or "nothing", a != b)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{word} ({n})" if n > 1 else word for word, n in counts.items())


def _extras(net: Net) -> Counter[str]:
    unused = Counter({f"{net.unused:,} parameters that the forward pass does not use": 1} if net.unused else {})
    return net.anatomy.extras + net.dropouts + unused


def _head(found: Net, paper: Net, spec: Spec) -> Finding:
    a, b = _head_words(found.anatomy), _head_words(paper.anatomy)
    return Finding(b + source(spec, "§4.2", "§3.3, Table 1"), a, a != b)


def _head_words(anatomy: Anatomy) -> str:
    words = []
    for node in anatomy.head:
        if node.kind == "linear":
            words.append("linear layer" if node.facts.has_bias else "linear layer without bias")
        elif node.kind == "conv":
            words.append(f"{node.name} convolution")
        elif node.kind in ("gap", "act", "norm", "maxpool", "avgpool"):
            words.append(node.name)
    return ", ".join(words) or "none"


LAYERS: dict[str, Compare] = {
    "order": _order,
    "norm": _norm,
    "activation": _activation,
    "bias": _bias,
    "extra": _extra,
    "head": _head,
}
