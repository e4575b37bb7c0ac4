"""The order of convolution, BN, activation and addition: what follows each convolution of the main path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reslab.conformance.anatomy import Anatomy
from reslab.conformance.record import Node

FORK, ADD = "fork", "+"
_WORDS = {"conv": "conv", "linear": "conv", "norm": "BN", "act": "act"}


@dataclass(frozen=True)
class _Order:
    """What follows the stem, the inner convolutions of each block, the last one of each block, and projections."""

    stem: tuple[str, ...]
    inner: tuple[tuple[tuple[str, ...], ...], ...]
    last: tuple[tuple[str, ...], ...]
    projections: frozenset[tuple[str, ...]]


def _words(nodes: Iterable[Node]) -> list[str]:
    return [_WORDS[node.kind] for node in nodes if node.kind in _WORDS]


def _order(anatomy: Anatomy, ignored: set[str]) -> _Order:
    words: list[str] = _words(anatomy.stem)
    for block in anatomy.blocks:
        joined = block.shortcut is not None
        words += [*_words(block.lead), *([FORK] if joined else []), *_words(block.branch), *([ADD] if joined else [])]
    words += _words(anatomy.tail)
    gaps: list[list[str]] = [[]]
    for word in words:
        if word == "conv":
            gaps.append([])
        elif word not in ignored:
            gaps[-1].append(word)
    after = [tuple(gap) for gap in gaps]
    at = sum(node.is_weight_layer for node in anatomy.stem)
    stem, inner, last = after[at], [], []
    for block in anatomy.blocks:
        end = at + len(block.layers)
        inner.append(tuple(after[at + 1 : end]))
        last.append(after[end])
        at = end
    paths = (tuple(w for w in _words(path.nodes()) if w not in ignored) for path in anatomy.shortcuts)
    return _Order(stem, tuple(inner), tuple(last), frozenset(path for path in paths if "conv" in path))


def differing_orders(found: Anatomy, paper: Anatomy) -> list[str]:
    """Return where the order departs: "blocks", "stem conv BN", "projections conv"; empty if nowhere.

    Additions count only between residual nets, and BN and activations only if both nets have them: other items report
    those. With blocks of other lengths every order that is found must occur in the paper's net.
    """
    ignored: set[str] = set()
    for word in ("BN", "act"):
        if not all(word in _words(net.trunk) for net in (found, paper)):
            ignored.add(word)
    if not all(block.shortcut is not None for net in (found, paper) for block in net.blocks):
        ignored |= {FORK, ADD}
    a, b = _order(found, ignored), _order(paper, ignored)
    places = []
    if [len(block.layers) for block in found.blocks] == [len(block.layers) for block in paper.blocks]:
        blocks_differ = (a.inner, a.last) != (b.inner, b.last)
    else:
        inner = {gap for block in b.inner for gap in block}
        blocks_differ = not ({gap for block in a.inner for gap in block} <= inner and set(a.last) <= set(b.last))
    if blocks_differ:
        places.append("blocks")
    if a.stem != b.stem:
        places.append(" ".join(["stem conv", *("(shortcut begins)" if word == FORK else word for word in a.stem)]))
    if b.projections:
        places += [f"projections {' '.join(path)}" for path in sorted(a.projections - b.projections)]
    return places


def order_words(anatomy: Anatomy) -> Counter[str]:
    """Return the orders of the blocks in words, "conv BN relu conv BN + relu", with the number of blocks."""
    counts: Counter[str] = Counter()
    following = [*(block.lead for block in anatomy.blocks[1:]), anatomy.tail]
    for block, after in zip(anatomy.blocks, following, strict=False):
        counts[" ".join([*_named(block.branch), *([ADD] if block.shortcut is not None else []), *_named(after)])] += 1
    return counts


def _named(nodes: Iterable[Node]) -> list[str]:
    return [node.name if node.kind == "act" else _WORDS[node.kind] for node in nodes if node.kind in _WORDS]
